//! What a prober saw.

use crate::context::trace_of;
use crate::names;
use crate::{Context, Heard, Notes, Span, Witness};
use std::collections::{BTreeMap, VecDeque};
use vedette_model::{
    Epoch, Evidence, Fact, GroupName, GroupRecord, NodeAddr, NodeState, Revision, SdownReport,
    TraceId,
};

/// Two silences that began within so many microseconds are one.
const SAME_SILENCE_US: u64 = 250_000;
/// Attempts remembered for each group's master.
const ATTEMPTS_KEPT: usize = 64;

/// A prober's witness: records each detection of a recorded master's failure.
#[derive(Debug, Default)]
pub struct Probers {
    groups: BTreeMap<GroupName, Watched>,
    notes: Notes,
}

#[derive(Debug)]
struct Watched {
    revision: Revision,
    epoch: Epoch,
    master: NodeAddr,
    trace: TraceId,
    down: bool,
    /// When the silence began that was recorded last.
    recorded: Option<u64>,
    attempts: VecDeque<u64>,
}

impl Probers {
    /// A ping goes out to a node, or a connection to it is tried.
    pub fn tries(&mut self, group: &GroupName, node: &NodeAddr, at_us: u64) {
        let Some(watched) = self.groups.get_mut(group).filter(|w| w.master == *node) else {
            return;
        };
        if watched.attempts.len() == ATTEMPTS_KEPT {
            watched.attempts.pop_front();
        }
        watched.attempts.push_back(at_us);
    }

    fn learn(&mut self, record: &GroupRecord) {
        let known = self.groups.get(&record.group);
        if known.is_some_and(|known| known.revision >= record.revision) {
            return;
        }
        if record.removed {
            self.groups.remove(&record.group);
            return;
        }
        let trace = trace_of(record);
        let same = known.is_some_and(|known| {
            (known.epoch, &known.master, known.trace) == (record.epoch, &record.master, trace)
        });
        if same {
            if let Some(known) = self.groups.get_mut(&record.group) {
                known.revision = record.revision;
            }
            return;
        }
        self.notes.context(&record.group, Context::quiet(trace));
        let watched = Watched {
            revision: record.revision,
            epoch: record.epoch,
            master: record.master.clone(),
            trace,
            down: false,
            recorded: None,
            attempts: VecDeque::new(),
        };
        self.groups.insert(record.group.clone(), watched);
    }

    fn reported(&mut self, report: &SdownReport, at_us: u64) {
        let Some(watched) = self.groups.get_mut(&report.group) else { return };
        if (&report.node, report.epoch) != (&watched.master, watched.epoch) {
            return;
        }
        let trace = watched.trace;
        let evidence = match &report.state {
            NodeState::Up => {
                if std::mem::take(&mut watched.down) {
                    self.notes.context(&report.group, Context::quiet(trace));
                }
                return;
            }
            NodeState::Down(evidence) => evidence,
        };
        if std::mem::replace(&mut watched.down, true) {
            return;
        }
        let (word, for_ms) = word(evidence);
        // A server that says it is busy answers, and is wrong all the same.
        let silence_ms = report.last_good_ms.unwrap_or(0).max(for_ms);
        let began_us = at_us.saturating_sub(silence_ms.saturating_mul(1_000));
        // A prober that took its word back for its own sake, and finds the same silence again.
        let again = watched.recorded.filter(|known| known.abs_diff(began_us) <= SAME_SILENCE_US);
        let began_us = again.unwrap_or(began_us);
        watched.recorded = Some(began_us);
        let attempts = watched.attempts.iter().filter(|at| **at >= began_us).count();
        let context = Context { trace, live: true, began_us: Some(began_us) };
        self.notes.context(&report.group, context);
        let who = detection(report.prober.as_str(), began_us);
        let who = if again.is_some() { format!("{who}/{at_us}") } else { who };
        let span = Span::new(trace, names::DETECT, &who, began_us, at_us)
            .with(names::GROUP, report.group.as_str())
            .with(names::EPOCH, report.epoch.0)
            .with(names::PROBER, report.prober.as_str())
            .with(names::PLACE, report.place.as_str())
            .with(names::EVIDENCE, word)
            .with(names::REASON, evidence.to_string())
            .with(names::SILENCE, silence_ms)
            .with(names::ATTEMPTS, u64::try_from(attempts).unwrap_or(u64::MAX))
            .with(names::NODE, report.node.to_string());
        self.notes.span(span);
    }
}

/// What tells a detection apart; a voter knows it too.
pub(crate) fn detection(prober: &str, began_us: u64) -> String {
    format!("{prober}/{began_us}")
}

/// The evidence as a word, and since how many milliseconds it holds by its own account.
fn word(evidence: &Evidence) -> (&'static str, u64) {
    match evidence {
        Evidence::Silence { for_ms } => ("silence", *for_ms),
        Evidence::Crash { .. } => ("crash", 0),
        Evidence::Busy { for_ms } => ("busy", *for_ms),
        Evidence::Loading { for_ms } => ("loading", *for_ms),
        Evidence::Rebirth { .. } => ("rebirth", 0),
        Evidence::WrongRole { for_ms } => ("wrong-role", *for_ms),
        Evidence::WriteImpaired { for_ms } => ("write-impaired", *for_ms),
    }
}

impl Witness for Probers {
    fn heard(&mut self, heard: &Heard<'_>) {
        heard.records().for_each(|record| self.learn(record));
    }

    fn says(&mut self, fact: &Fact, at_us: u64) {
        if let Fact::SdownReport(report) = fact {
            self.reported(report, at_us);
        }
    }

    fn take(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }
}
