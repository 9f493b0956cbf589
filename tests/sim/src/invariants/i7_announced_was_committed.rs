//! 7. Whatever is announced was committed before.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeSet;
use vedette_model::{Epoch, Instant, NodeAddr};

/// See the file's head.
#[derive(Debug)]
pub struct AnnouncedWasCommitted {
    chosen: Chosen,
    committed: BTreeSet<(Epoch, NodeAddr)>,
}

impl AnnouncedWasCommitted {
    /// For a roster of so many.
    pub fn new(voters: usize) -> Self {
        Self { chosen: Chosen::new(voters), committed: BTreeSet::new() }
    }
}

impl Invariant for AnnouncedWasCommitted {
    fn see(&mut self, seen: &Seen<'_>, _now: Instant) -> Result<(), String> {
        if let Seen::Accepted(voter, ballot, record) = seen
            && let Some(record) = self.chosen.accepted(voter, ballot, record)
        {
            self.committed.insert((record.epoch, record.master.clone()));
        }
        let Seen::Announced(master) = seen else { return Ok(()) };
        if self.committed.contains(&(master.epoch, master.master.clone())) {
            return Ok(());
        }
        Err(format!("{} of epoch {} was announced uncommitted", master.master, master.epoch))
    }
}
