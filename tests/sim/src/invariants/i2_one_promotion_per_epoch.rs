//! 2. At most one node is promoted per epoch, and only the one in the committed plan. A command that
//!    lay in the socket of a stopped node is no promotion of ours any more: nothing can recall it.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeMap;
use vedette_model::{Command, Epoch, Instant, NodeAddr};

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct OnePromotionPerEpoch {
    promoted: BTreeMap<Epoch, NodeAddr>,
}

impl Invariant for OnePromotionPerEpoch {
    const NAME: &'static str = "2, one promotion per epoch";

    fn see(&mut self, seen: &Seen<'_>, chosen: &Chosen, _now: Instant) -> Result<(), String> {
        let Seen::Executed(_, node, Command::Promote { .. }, false) = seen else { return Ok(()) };
        let plan = chosen.newest.as_ref().and_then(|r| r.failover.as_ref());
        let Some(plan) = plan.filter(|plan| plan.target == **node) else {
            return Err(format!("{node} was promoted without a committed plan: {plan:?}"));
        };
        match self.promoted.insert(plan.epoch, (*node).clone()) {
            Some(other) if other != **node => {
                Err(format!("{other} and {node} were promoted in epoch {}", plan.epoch))
            }
            Some(_) | None => Ok(()),
        }
    }
}
