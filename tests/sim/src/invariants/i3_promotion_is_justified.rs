//! 3. No promotion without `quorum` fresh SDOWN reports and a majority of promises.

use super::{Chosen, Invariant, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_model::{BallotNumber, Epoch, GroupRecord, Instant, NodeAddr, ProberId, VoterId};

/// A report may lie at a voter for 3 s, having been 2 s under way, by a clock that is slow by 1 %.
const FRESH: Duration = Duration::from_millis(5_150);

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct PromotionIsJustified {
    reports: BTreeMap<(Epoch, NodeAddr), BTreeMap<ProberId, Instant>>,
    promises: BTreeMap<BallotNumber, BTreeSet<VoterId>>,
    planned: BTreeSet<Epoch>,
}

impl PromotionIsJustified {
    fn judge(
        &mut self,
        ballot: &BallotNumber,
        record: &GroupRecord,
        chosen: &Chosen,
        now: Instant,
    ) -> Result<(), String> {
        let Some(plan) = &record.failover else { return Ok(()) };
        let promises = self.promises.get(ballot);
        if promises.is_none_or(|promises| !chosen.is_majority(record.roster, promises)) {
            return Err(format!("ballot {ballot} had only these promises: {promises:?}"));
        }
        // A plan that replaces one that failed, or goes on with it, stands on the same reports.
        if record.epoch != plan.epoch && self.planned.insert(record.epoch) {
            let key = (record.epoch, plan.failed.clone());
            let fresh = |at: &&Instant| now.since(**at) <= FRESH;
            let count = self.reports.get(&key).map_or(0, |r| r.values().filter(fresh).count());
            if count < record.settings.quorum.get() as usize {
                return Err(format!("{count} fresh reports on {}", plan.failed));
            }
        }
        Ok(())
    }
}

impl Invariant for PromotionIsJustified {
    const NAME: &'static str = "3, a promotion is justified";

    fn see(&mut self, seen: &Seen<'_>, chosen: &Chosen, now: Instant) -> Result<(), String> {
        if let Seen::ReportedDown(prober, epoch, node) = seen {
            let key = (*epoch, (*node).clone());
            self.reports.entry(key).or_default().insert((*prober).clone(), now);
        } else if let Seen::Promised(voter, ballot) = seen {
            self.promises.entry((*ballot).clone()).or_default().insert((*voter).clone());
        } else if let Seen::Committed(ballot, record) = seen {
            return self.judge(ballot, record, chosen, now);
        }
        Ok(())
    }
}
