//! 7. Whatever is announced was committed before.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeSet;
use vedette_model::{Epoch, Instant, NodeAddr};

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct AnnouncedWasCommitted {
    committed: BTreeSet<(Epoch, NodeAddr)>,
}

impl Invariant for AnnouncedWasCommitted {
    const NAME: &'static str = "7, what is announced was committed";

    fn see(&mut self, seen: &Seen<'_>, _chosen: &Chosen, _now: Instant) -> Result<(), String> {
        if let Seen::Committed(_, record) = seen {
            self.committed.insert((record.epoch, record.master.clone()));
        }
        let Seen::Announced(master) = seen else { return Ok(()) };
        if self.committed.contains(&(master.epoch, master.master.clone())) {
            return Ok(());
        }
        Err(format!("{} of epoch {} was announced uncommitted", master.master, master.epoch))
    }
}
