//! 8. Readers never move to an older epoch.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeMap;
use vedette_model::{Epoch, Instant, NodeAddr};

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct ReadersNeverGoBack {
    shown: BTreeMap<(usize, u64), (Epoch, NodeAddr)>,
}

impl Invariant for ReadersNeverGoBack {
    const NAME: &'static str = "8, readers never go back";

    fn see(&mut self, seen: &Seen<'_>, _chosen: &Chosen, _now: Instant) -> Result<(), String> {
        let Seen::Reads(process, life, record) = seen else { return Ok(()) };
        let now_shown = (record.epoch, record.master.clone());
        let before = self.shown.insert((*process, *life), now_shown);
        match before {
            Some((epoch, _)) if epoch > record.epoch => {
                Err(format!("process {process} went from epoch {epoch} to {}", record.epoch))
            }
            Some((epoch, master)) if epoch == record.epoch && master != record.master => {
                Err(format!("epoch {epoch} has two masters: {master} and {}", record.master))
            }
            Some(_) | None => Ok(()),
        }
    }
}
