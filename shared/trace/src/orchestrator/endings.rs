//! Incidents that are over.

use super::case::Case;
use crate::Span;
use std::collections::{BTreeSet, VecDeque};
use vedette_model::{GroupName, NodeAddr, TraceId};

/// How long an incident that is over waits for the last answers, in microseconds.
const LINGER_US: u64 = 1_000_000;
/// Incidents that wait so; with more, the oldest wait no longer.
const LINGERING_LIMIT: usize = 256;
/// Incidents remembered, so that none has two roots.
const ROOTS_KEPT: usize = 4_096;

/// Those whose root this orchestrator records, until the last answers came, and those that have one.
#[derive(Debug, Default)]
pub(super) struct Endings {
    lingering: VecDeque<Ending>,
    rooted: BTreeSet<TraceId>,
    order: VecDeque<TraceId>,
}

/// An incident that is over, whose root this orchestrator records.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) group: GroupName,
    pub(super) case: Case,
    /// The master since.
    pub(super) master: NodeAddr,
    pub(super) refused: Option<String>,
    pub(super) at_us: u64,
}

impl Endings {
    pub(super) fn push(&mut self, ending: Ending) {
        self.lingering.push_back(ending);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lingering.is_empty()
    }

    /// Those of a group that still wait.
    pub(super) fn cases(&mut self, group: &GroupName) -> impl Iterator<Item = &mut Case> {
        let over = self.lingering.iter_mut().filter(move |ending| ending.group == *group);
        over.map(|ending| &mut ending.case)
    }

    /// The roots of those that nobody has to add to any more: of one group or of all.
    pub(super) fn roots(
        &mut self,
        group: Option<&GroupName>,
        voters: &[&str],
        at_us: u64,
    ) -> Vec<Span> {
        let mut roots = Vec::new();
        let mut next = 0;
        while let Some(ending) = self.lingering.get(next) {
            let late = self.lingering.len() > LINGERING_LIMIT
                || at_us.saturating_sub(ending.at_us) > LINGER_US;
            let asked = group.is_none_or(|group| ending.group == *group);
            let ends = late || (asked && ending.case.is_answered_by(voters));
            if !ends {
                next += 1;
            } else if let Some(ending) = self.lingering.remove(next) {
                let Ending { case, master, refused, at_us, .. } = ending;
                let first = self.rooted(case.trace);
                roots.push(case.root(&master, refused, first, at_us));
            }
        }
        roots
    }

    /// The incident's root is recorded, here or by another. Whether it is the first one.
    pub(super) fn rooted(&mut self, trace: TraceId) -> bool {
        let first = self.rooted.insert(trace);
        if first {
            self.order.push_back(trace);
        }
        if self.order.len() > ROOTS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.rooted.remove(&oldest);
        }
        first
    }
}
