//! 10. When the target of a planned switchover is promoted the old master was frozen, takes no
//!     writes any more, and the target holds all that it holds: nothing acknowledged is lost, and no
//!     write is taken by two nodes. An old master whose process ended after it was frozen is another
//!     matter: the next one knows nothing of what was asked of it.

use super::{Chosen, Handover, Invariant, Seen};
use std::collections::BTreeMap;
use vedette_model::{Epoch, Instant};

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct SwitchoversLoseNothing {
    /// Of each plan's epoch the life in which the old master was frozen.
    frozen: BTreeMap<Epoch, u64>,
}

impl Invariant for SwitchoversLoseNothing {
    const NAME: &'static str = "10, switchovers lose nothing";

    fn see(&mut self, seen: &Seen<'_>, _chosen: &Chosen, _now: Instant) -> Result<(), String> {
        if let Seen::Froze(epoch, life) = seen {
            self.frozen.entry(*epoch).or_insert(*life);
        }
        let Seen::HandsOver(Handover { epoch, life, takes_writes, lacks }) = seen else {
            return Ok(());
        };
        match self.frozen.get(epoch) {
            None => Err(format!("the target of epoch {epoch} is promoted, nobody was frozen")),
            Some(then) if then != life => Ok(()),
            Some(_) if *takes_writes => {
                Err("the target is promoted while the old master takes writes".into())
            }
            Some(_) if *lacks > 0 => {
                Err(format!("the target is promoted, and lacks {lacks} bytes"))
            }
            Some(_) => Ok(()),
        }
    }
}
