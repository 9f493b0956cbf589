//! A group's place among those that ask for a ballot.

use super::super::places::Line;
use super::{Group, Tenure};
use vedette_model::Instant;

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

    /// Since when it has been on its way to another master, or at quiet work; absent if it is not.
    pub(in crate::orchestrator) fn hurries_since(&self) -> Option<Instant> {
        match &self.tenure {
            Tenure::None => None,
            Tenure::Walk(walk) => self.stood.filter(|_| !walk.is_repairing()),
            Tenure::Mend { .. } => self.stood,
        }
    }
}
