//! What a voter counts.

use std::time::Duration;
use vedette_model::{BallotAnswer, EventName, Fact, ProposalAnswer};
use vedette_runtime::metrics::{Counter, Counters, Labels, Meter, Times, label, took};

/// The voter's counters.
#[derive(Debug)]
pub struct Metrics {
    ballots: Counters,
    proposals: Counters,
    verdicts: Counters,
    saves: Times,
    failed: Counter,
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new(meter: &Meter) -> Self {
        Self {
            ballots: meter.counts("voter_ballots", "Candidacies answered, by answer"),
            proposals: meter.counts("voter_proposals", "Records answered, by answer"),
            verdicts: meter.counts(
                "voter_verdicts",
                "Times that a quorum called a master down, or did so no longer",
            ),
            saves: meter.times("voter_save_seconds", "To write what was promised to disk"),
            failed: meter.count("voter_saves_failed", "Times that the store failed"),
        }
    }

    /// Whether this voter can vote, to be asked at any time.
    pub fn well(&self) -> impl Fn() -> Result<(), String> + use<> {
        let failed = self.failed.clone();
        move || match failed.get() {
            0 => Ok(()),
            _ => Err("the store failed: mend the disk and restart the voter".into()),
        }
    }

    /// What was promised is on disk, or not.
    pub fn saved(&self, well: bool, after: Duration) {
        if well {
            took(&self.saves, &Labels::new(), after);
        } else {
            self.failed.inc();
        }
    }

    /// This was told.
    pub fn told(&self, fact: &Fact) {
        if let Fact::Ballot(ballot) = fact {
            let word = match &ballot.answer {
                BallotAnswer::Promise { .. } => "promised",
                BallotAnswer::Refused { .. } => "refused",
            };
            self.ballots.get_or_create(&label("answer", word)).inc();
        } else if let Fact::ProposalReply(reply) = fact {
            self.proposals.get_or_create(&label("answer", word(&reply.answer))).inc();
        } else if let Fact::Event(event) = fact {
            // Its verdict itself is said again and again.
            if event.name == EventName::Odown {
                self.verdicts.get_or_create(&label("verdict", "down")).inc();
            } else if event.name == EventName::OdownOver {
                self.verdicts.get_or_create(&label("verdict", "withdrawn")).inc();
            }
        }
    }
}

const fn word(answer: &ProposalAnswer) -> &'static str {
    match answer {
        ProposalAnswer::Accepted => "accepted",
        ProposalAnswer::Superseded { .. } => "superseded",
        ProposalAnswer::OtherRoster { .. } => "other_roster",
        ProposalAnswer::Lapsed => "lapsed",
        ProposalAnswer::Joining => "joining",
        ProposalAnswer::StoreFailed => "store_failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voter_whose_store_failed_is_not_ready_any_more() {
        let metrics = Metrics::new(&Meter::default());
        let well = metrics.well();
        metrics.saved(true, Duration::from_millis(4));
        assert_eq!(well(), Ok(()));
        metrics.saved(false, Duration::from_millis(4));
        assert!(well().unwrap_err().contains("mend the disk"));
    }
}
