//! What a voter's happenings look like in its log.

use tracing::{debug, error, info};
use vedette_model::{Ballot, BallotAnswer, Event, Fact, ProposalAnswer, ProposalReply};
use vedette_protocol::roster::Meta;
use vedette_runtime::telemetry;

/// Writes a happening down once, as it is told to the bus. Facts that repeat are no happenings.
pub fn published(fact: &Fact) {
    let Fact::Event(event) = fact else { return };
    let _inside = telemetry::happening(event).entered();
    let Event { name, payload, cause, .. } = event;
    info!(payload, cause, "{name}");
}

/// Writes down what this voter bound itself to, and why it did not.
pub fn answered(fact: &Fact) {
    if let Fact::Ballot(ballot) = fact {
        voted(ballot);
    } else if let Fact::ProposalReply(reply) = fact {
        wrote(reply);
    }
}

fn voted(Ballot { group, ballot, answer, .. }: &Ballot) {
    match answer {
        BallotAnswer::Promise { .. } => info!(%group, %ballot, "voted for the candidate"),
        BallotAnswer::Refused { why, .. } => {
            debug!(%group, %ballot, cause = %why, "did not vote for the candidate");
        }
    }
}

fn wrote(ProposalReply { group, ballot, revision, answer, .. }: &ProposalReply) {
    match answer {
        ProposalAnswer::Accepted => info!(%group, %ballot, %revision, "accepted the record"),
        ProposalAnswer::Superseded { promised } => {
            debug!(%group, %ballot, %revision, %promised, "refused the record of an older ballot");
        }
        ProposalAnswer::OtherRoster { version } => {
            debug!(%group, %ballot, %revision, %version, "refused a record of another roster");
        }
        ProposalAnswer::Lapsed => {
            debug!(%group, %ballot, %revision, "refused the record: its ballot was silent too long");
        }
        ProposalAnswer::Joining => {
            debug!(%group, %ballot, %revision, "refused the record: no memory yet");
        }
        ProposalAnswer::StoreFailed => {
            debug!(%group, %ballot, %revision, "refused the record: the store failed");
        }
    }
}

/// Writes down by what this voter goes from now on, whatever the group.
pub fn remembers(meta: &Meta) {
    let Meta { roster, accepted, floor, .. } = meta;
    let next = accepted.as_ref().map(|(_, roster)| tracing::field::display(roster));
    info!(%roster, next, floor, "wrote down the roster and the floor of ballots");
}

/// The store failed: what it was to protect is not said.
pub fn store_failed(why: &crate::store::Error, unsaid: usize) {
    error!(
        from = "voting",
        to = "refusing",
        cause = %why,
        unsaid,
        "the store failed: this voter votes no more; mend the disk and restart it"
    );
}
