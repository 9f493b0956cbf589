//! 3. No promotion without `quorum` fresh SDOWN reports and a majority of promises.

use super::{Chosen, Invariant, Seen};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use vedette_model::{BallotNumber, Epoch, Instant, NodeAddr, ProberId, VoterId};

/// A report may lie at a voter for 3 s, having been 2 s under way.
const FRESH: Duration = Duration::from_millis(5_100);

/// See the file's head.
#[derive(Debug)]
pub struct PromotionIsJustified {
    chosen: Chosen,
    majority: usize,
    quorum: usize,
    reports: BTreeMap<(Epoch, NodeAddr), BTreeMap<ProberId, Instant>>,
    promises: BTreeMap<BallotNumber, BTreeSet<VoterId>>,
    planned: BTreeSet<Epoch>,
}

impl PromotionIsJustified {
    /// For a roster and a quorum of so many.
    pub fn new(voters: usize, quorum: usize) -> Self {
        Self {
            chosen: Chosen::new(voters),
            majority: voters / 2 + 1,
            quorum,
            reports: BTreeMap::new(),
            promises: BTreeMap::new(),
            planned: BTreeSet::new(),
        }
    }
}

impl Invariant for PromotionIsJustified {
    fn see(&mut self, seen: &Seen<'_>, now: Instant) -> Result<(), String> {
        match seen {
            Seen::ReportedDown(prober, epoch, node) => {
                let key = (*epoch, (*node).clone());
                self.reports.entry(key).or_default().insert((*prober).clone(), now);
                Ok(())
            }
            Seen::Promised(voter, ballot) => {
                self.promises.entry((*ballot).clone()).or_default().insert((*voter).clone());
                Ok(())
            }
            Seen::Accepted(voter, ballot, record) => {
                let Some(record) = self.chosen.accepted(voter, ballot, record) else {
                    return Ok(());
                };
                let Some(plan) = &record.failover else { return Ok(()) };
                let promises = self.promises.get(ballot).map_or(0, BTreeSet::len);
                if promises < self.majority {
                    return Err(format!("ballot {ballot} had {promises} promises"));
                }
                // A plan that replaces one that failed, or goes on with it, stands on the same
                // reports.
                if record.epoch != plan.epoch && self.planned.insert(record.epoch) {
                    let key = (record.epoch, plan.failed.clone());
                    let fresh = |at: &&Instant| now.since(**at) <= FRESH;
                    let count =
                        self.reports.get(&key).map_or(0, |r| r.values().filter(fresh).count());
                    if count < self.quorum {
                        return Err(format!("{count} fresh reports on {}", plan.failed));
                    }
                }
                Ok(())
            }
            Seen::Commanded(..) | Seen::Promoted(_) | Seen::Announced(_) | Seen::Reads(..) => {
                Ok(())
            }
        }
    }
}
