//! Do enough probers agree that the recorded master is down?
//!
//! ```text
//!  record (epoch, master, quorum) ──►┌─────────────────────────────┐
//!  SdownReport, fresh             ──►│ reached? ≥ quorum distinct  │──► OdownVerdict
//!  time (reports expire)          ──►│ probers, ≥ quorum_places    │    (on change; reached ones
//!                                    └─────────────────────────────┘     again every second)
//! ```
//!
//! Each prober counts once. The verdict depends on the set of fresh reports, not on their order.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    Epoch, GroupRecord, Instant, NodeAddr, NodeState, OdownVerdict, Opinion, ProberId, Quorum,
    SdownReport, VoterId,
};

/// A report that is not repeated for so long no longer counts.
pub const REPORT_EXPIRY: Duration = Duration::from_secs(3);
const REPEAT_EVERY: Duration = Duration::from_secs(1);
/// Probers counted; reports of more are ignored.
const PROBER_LIMIT: usize = 256;

/// A verdict to publish.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// The verdict.
    pub verdict: OdownVerdict,
    /// Whether it changed, or is repeated.
    pub changed: bool,
}

/// One voter's tally for one group.
#[derive(Debug, Clone)]
pub struct Tally {
    voter: VoterId,
    judged: Option<Judged>,
    opinions: BTreeMap<ProberId, (Instant, Opinion)>,
    reached: bool,
    next_repeat: Option<Instant>,
    outputs: VecDeque<Output>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Judged {
    group: vedette_model::GroupName,
    epoch: Epoch,
    master: NodeAddr,
    quorum: Quorum,
    places: usize,
}

impl Tally {
    /// A tally without a record: reaches nothing.
    pub const fn new(voter: VoterId) -> Self {
        Self {
            voter,
            judged: None,
            opinions: BTreeMap::new(),
            reached: false,
            next_repeat: None,
            outputs: VecDeque::new(),
        }
    }

    /// Takes the voter's record; reports on another epoch or master are forgotten. Of a removed
    /// group there is no verdict.
    pub fn judge(&mut self, record: &GroupRecord, now: Instant) {
        if record.removed {
            *self = Self::new(self.voter.clone());
            return;
        }
        let judged = Judged {
            group: record.group.clone(),
            epoch: record.epoch,
            master: record.master.clone(),
            quorum: record.settings.quorum,
            places: record.settings.quorum_places.unwrap_or(1) as usize,
        };
        let same_reign = self
            .judged
            .as_ref()
            .is_some_and(|j| j.epoch == judged.epoch && j.master == judged.master);
        if !same_reign {
            self.opinions.clear();
            self.reached = false;
            self.next_repeat = None;
        }
        self.judged = Some(judged);
        self.settle(now);
    }

    /// Takes a report that its sender proved fresh.
    pub fn report(&mut self, report: SdownReport, now: Instant) {
        let Some(judged) = &self.judged else { return };
        if report.epoch != judged.epoch || report.node != judged.master {
            return;
        }
        match report.state {
            NodeState::Up => {
                self.opinions.remove(&report.prober);
            }
            NodeState::Down(evidence) => {
                let known = self.opinions.contains_key(&report.prober);
                if known || self.opinions.len() < PROBER_LIMIT {
                    let opinion =
                        Opinion { prober: report.prober.clone(), place: report.place, evidence };
                    self.opinions.insert(report.prober, (now + REPORT_EXPIRY, opinion));
                }
            }
        }
        self.settle(now);
    }

    /// Whether the verdict is ODOWN.
    pub const fn reached(&self) -> bool {
        self.reached
    }

    /// The verdict in words, for people; empty while nobody reports the master down.
    pub fn standing(&self) -> String {
        let Some(judged) = &self.judged else { return String::new() };
        if self.opinions.is_empty() {
            return String::new();
        }
        let who: Vec<_> =
            self.opinions.values().map(|(_, o)| format!("{} ({})", o.prober, o.evidence)).collect();
        let count = who.len();
        let verdict = if self.reached { "odown" } else { "no verdict" };
        format!(
            "{verdict}: {count} of {} needed probers report {} down: {}",
            judged.quorum,
            judged.master,
            who.join(", ")
        )
    }

    /// Lets reports expire and repeats a verdict that stands.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.settle(now);
        if self.next_repeat.is_some_and(|at| now >= at) {
            self.say(false, now);
        }
    }

    /// Repeats a verdict that stands, for an orchestrator that may not have heard it.
    pub fn say_again(&mut self, now: Instant) {
        self.settle(now);
        if self.reached {
            self.say(false, now);
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let expiry = self.opinions.values().map(|(expiry, _)| *expiry).min();
        [expiry, self.next_repeat].into_iter().flatten().min()
    }

    /// The next verdict to publish.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn settle(&mut self, now: Instant) {
        // Here, and not when it is time only: who wakes late must not count what is over.
        self.opinions.retain(|_, (expiry, _)| *expiry > now);
        let Some(judged) = &self.judged else { return };
        let places: BTreeSet<_> = self.opinions.values().map(|(_, o)| &o.place).collect();
        let reached =
            self.opinions.len() >= judged.quorum.get() as usize && places.len() >= judged.places;
        if reached != self.reached {
            self.reached = reached;
            self.say(true, now);
        }
    }

    fn say(&mut self, changed: bool, now: Instant) {
        let Some(judged) = &self.judged else { return };
        self.next_repeat = self.reached.then(|| now + REPEAT_EVERY);
        let verdict = OdownVerdict {
            group: judged.group.clone(),
            epoch: judged.epoch,
            master: judged.master.clone(),
            voter: self.voter.clone(),
            reached: self.reached,
            quorum: judged.quorum,
            tally: self.opinions.values().map(|(_, o)| o.clone()).collect(),
        };
        self.outputs.push_back(Output { verdict, changed });
    }
}

#[cfg(test)]
mod tests;
