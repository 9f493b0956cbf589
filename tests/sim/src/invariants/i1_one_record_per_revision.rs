//! 1. At most one record is committed per revision; epochs never fall.

use super::{Chosen, Invariant, Seen};
use std::collections::BTreeMap;
use vedette_model::{GroupRecord, Instant};

/// See the file's head.
#[derive(Debug)]
pub struct OneRecordPerRevision {
    chosen: Chosen,
    committed: BTreeMap<u64, GroupRecord>,
}

impl OneRecordPerRevision {
    /// For a roster of so many.
    pub fn new(voters: usize) -> Self {
        Self { chosen: Chosen::new(voters), committed: BTreeMap::new() }
    }
}

impl Invariant for OneRecordPerRevision {
    fn see(&mut self, seen: &Seen<'_>, _now: Instant) -> Result<(), String> {
        let Seen::Accepted(voter, ballot, record) = seen else { return Ok(()) };
        let Some(record) = self.chosen.accepted(voter, ballot, record) else { return Ok(()) };
        let revision = record.revision.0;
        if let Some(before) = self.committed.insert(revision, record.clone())
            && before != *record
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
