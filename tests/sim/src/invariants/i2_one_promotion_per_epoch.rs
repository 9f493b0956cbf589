//! 2. At most one node is promoted per epoch, and only the one in the committed plan.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeMap;
use vedette_model::{Command, Epoch, Instant, NodeAddr};

/// See the file's head.
#[derive(Debug)]
pub struct OnePromotionPerEpoch {
    chosen: Chosen,
    promoted: BTreeMap<Epoch, NodeAddr>,
}

impl OnePromotionPerEpoch {
    /// For a roster of so many.
    pub fn new(voters: usize) -> Self {
        Self { chosen: Chosen::new(voters), promoted: BTreeMap::new() }
    }
}

impl Invariant for OnePromotionPerEpoch {
    fn see(&mut self, seen: &Seen<'_>, _now: Instant) -> Result<(), String> {
        if let Seen::Accepted(voter, ballot, record) = seen {
            let _ = self.chosen.accepted(voter, ballot, record);
        }
        let Seen::Commanded(node, Command::Promote) = seen else { return Ok(()) };
        let plan = self.chosen.newest.as_ref().and_then(|r| r.failover.as_ref());
        let Some(plan) = plan.filter(|plan| plan.target == **node) else {
            return Err(format!("{node} is to be promoted without a committed plan: {plan:?}"));
        };
        match self.promoted.insert(plan.epoch, (*node).clone()) {
            Some(other) if other != **node => {
                Err(format!("{other} and {node} were promoted in epoch {}", plan.epoch))
            }
            Some(_) | None => Ok(()),
        }
    }
}
