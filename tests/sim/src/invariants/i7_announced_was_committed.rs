//! 7. Whatever is announced was committed before: as the record's master; or as the target of the plan
//!    of its epoch, and it has been promoted. So an epoch never has two masters for anybody.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeSet;
use vedette_model::{Command, Epoch, Instant, NodeAddr};

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct AnnouncedWasCommitted {
    committed: BTreeSet<(Epoch, NodeAddr)>,
    /// Targets of plans that were promoted.
    promoted: BTreeSet<(Epoch, NodeAddr)>,
}

impl Invariant for AnnouncedWasCommitted {
    const NAME: &'static str = "7, what is announced was committed";

    fn see(&mut self, seen: &Seen<'_>, chosen: &Chosen, _now: Instant) -> Result<(), String> {
        if let Seen::Committed(_, record) = seen {
            self.committed.insert((record.epoch, record.master.clone()));
        } else if let Seen::Executed(_, node, Command::Promote { .. }, _) = seen {
            let plan = chosen.newest.as_ref().and_then(|record| record.failover.as_ref());
            if let Some(plan) = plan.filter(|plan| plan.target == **node) {
                self.promoted.insert((plan.epoch, (*node).clone()));
            }
        }
        let Seen::Announced(master) = seen else { return Ok(()) };
        let said = (master.epoch, master.master.clone());
        if self.committed.contains(&said) || self.promoted.contains(&said) {
            return Ok(());
        }
        Err(format!("{} of epoch {} was announced uncommitted", master.master, master.epoch))
    }
}
