//! 1. At most one record is committed per revision; epochs never fall.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeMap;
use vedette_model::{GroupRecord, Instant};

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct OneRecordPerRevision {
    committed: BTreeMap<u64, GroupRecord>,
}

impl Invariant for OneRecordPerRevision {
    const NAME: &'static str = "1, one record per revision";

    fn see(&mut self, seen: &Seen<'_>, _chosen: &Chosen, _now: Instant) -> Result<(), String> {
        let Seen::Committed(_, record) = seen else { return Ok(()) };
        let revision = record.revision.0;
        if let Some(before) = self.committed.insert(revision, (*record).clone())
            && before != **record
        {
            return Err(format!("two records of revision {revision}: {before:?} and {record:?}"));
        }
        let lower = self.committed.range(..revision).next_back().map(|(_, r)| r.epoch);
        let higher = self.committed.range(revision + 1..).next().map(|(_, r)| r.epoch);
        if lower > Some(record.epoch) || higher.is_some_and(|h| h < record.epoch) {
            return Err(format!("the epoch fell around revision {revision}"));
        }
        Ok(())
    }
}
