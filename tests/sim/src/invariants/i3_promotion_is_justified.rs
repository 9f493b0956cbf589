//! 3. No promotion without a majority of promises and, unless a person wants it, `quorum` fresh
//!    SDOWN reports.

use super::{Chosen, Invariant, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_model::{
    BallotNumber, Epoch, GroupRecord, Instant, NodeAddr, PlanReason, ProberId, VoterId,
};

/// A report may lie at a voter for 3 s, having been 2 s under way, by a clock that is slow by 1 %.
const FRESH: Duration = Duration::from_millis(5_150);
/// A plan is proposed within half a second of the election and until a majority has it, by a leader
/// that gives up when it hears of no majority for 2 s.
const PROMPT: Duration = Duration::from_millis(4_000);

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct PromotionIsJustified {
    reports: BTreeMap<(Epoch, NodeAddr), BTreeMap<ProberId, Instant>>,
    promises: BTreeMap<BallotNumber, BTreeMap<VoterId, Instant>>,
    planned: BTreeSet<Epoch>,
    /// Epochs whose master a person wanted to be replaced.
    wanted: BTreeSet<Epoch>,
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
        let mut promises: Vec<_> = self.promises.get(ballot).into_iter().flatten().collect();
        promises.sort_by_key(|(_, at)| **at);
        let until = |n: usize| promises[..=n].iter().map(|(voter, _)| (*voter).clone()).collect();
        let elects = |n: &usize| chosen.is_majority(record.roster, &until(*n));
        let Some(elected) = (0..promises.len()).find(elects).map(|n| *promises[n].1) else {
            return Err(format!("ballot {ballot} had only these promises: {promises:?}"));
        };
        if record.epoch == plan.epoch {
            return Ok(());
        }
        let wanted = plan.reason != PlanReason::Odown;
        if wanted && !self.wanted.contains(&record.epoch) {
            return Err(format!("nobody wanted another master than {}", plan.failed));
        }
        // A plan that replaces one that failed, or goes on with it, stands on the same reports.
        if !wanted && self.planned.insert(record.epoch) {
            let key = (record.epoch, plan.failed.clone());
            // A report that came after the election stands for the one before it.
            let fresh = |at: &&Instant| elected.since(**at) <= FRESH;
            let count = self.reports.get(&key).map_or(0, |r| r.values().filter(fresh).count());
            if now.since(elected) > PROMPT {
                return Err(format!("{:?} after the promises of {ballot}", now.since(elected)));
            }
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
        } else if let Seen::Wanted(epoch) = seen {
            self.wanted.insert(*epoch);
        } else if let Seen::Promised(voter, ballot) = seen {
            let promises = self.promises.entry((*ballot).clone()).or_default();
            promises.entry((*voter).clone()).or_insert(now);
        } else if let Seen::Committed(ballot, record) = seen {
            return self.judge(ballot, record, chosen, now);
        }
        Ok(())
    }
}
