//! A group's place among those that ask for a ballot.

use super::super::places::{Holds, Line};
use super::{Group, Tenure};

impl Group {
    /// Whether so many ballots are being asked for that another has to wait.
    pub(in crate::orchestrator) const fn set_crowded(&mut self, crowded: bool) {
        self.candidate.set_crowded(crowded);
    }

    /// Where it waits if it waits for that alone.
    pub(in crate::orchestrator) fn waits_for_place(&self) -> Option<Line> {
        let line = match (self.candidate.is_odown(), self.candidate.owns()) {
            (true, true) => Line::Own,
            (true, false) => Line::Others,
            (false, _) => Line::Quiet,
        };
        self.candidate.waits_for_place().then_some(line)
    }

    /// What it holds a place for: until its new master is committed, or its quiet work done.
    pub(in crate::orchestrator) fn holds_place(&self) -> Option<Holds> {
        match &self.tenure {
            Tenure::None => None,
            Tenure::Walk(walk) => self.stood.filter(|_| !walk.is_repairing()).map(Holds::Walk),
            Tenure::Mend { .. } => self.stood.map(Holds::Quiet),
        }
    }
}
