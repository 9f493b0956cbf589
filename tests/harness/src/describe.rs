//! Facts in words, for timelines.

use vedette_model::{
    Ballot, BallotAnswer, Fact, Health, NodeState, ProposalAnswer, ProposalReply, Purpose, Step,
};

/// A fact in one line; absent for those that only keep things going: heartbeats, digests,
/// questions, and what nodes say of themselves.
pub fn describe(fact: &Fact) -> Option<String> {
    let words = match fact {
        Fact::SdownReport(f) => match &f.state {
            NodeState::Up => format!("{} is up", f.node),
            NodeState::Down(evidence) => format!("{} is down: {evidence}", f.node),
        },
        Fact::OdownVerdict(f) => {
            let verdict = if f.reached { "odown" } else { "no odown" };
            format!("{verdict} of {}: {} of quorum {}", f.master, f.tally.len(), f.quorum.get())
        }
        Fact::Candidacy(f) => format!("asks for ballot {} to {}", f.ballot, purpose(&f.purpose)),
        Fact::Ballot(f) => ballot(f),
        Fact::Proposal(f) => {
            let record = &f.record;
            format!("proposes revision {} under ballot {}", record.revision, f.ballot)
        }
        Fact::ProposalReply(f) => reply(f),
        Fact::RecordCommitted(f) => {
            let record = &f.record;
            let failover = record.failover.as_ref();
            let failover =
                failover.map(|f| format!(", failing over to {}", f.target)).unwrap_or_default();
            format!(
                "committed revision {} epoch {}: master {}, {} members{failover}",
                record.revision,
                record.epoch,
                record.master,
                record.members.len()
            )
        }
        Fact::FailoverStep(f) => format!("{} after {:.1} ms", step(&f.step), ms(f.elapsed_us)),
        Fact::MasterRecord(f) => {
            let loss = f.loss.bytes.map_or_else(|| "unknown".into(), |b| format!("at most {b} B"));
            format!("MASTER of {} is {} (epoch {}, loss {loss})", f.group, f.master, f.epoch)
        }
        Fact::Event(f) => format!("{} {} | {}", f.name, f.payload, f.cause),
        Fact::Heartbeat(f) => match &f.health {
            Health::Impaired(why) => format!("impaired: {why}"),
            Health::Well => return None,
        },
        Fact::Beat(_)
        | Fact::BeatReply(_)
        | Fact::NodeReport(_)
        | Fact::Digest(_)
        | Fact::DigestReply(_)
        | Fact::StatusQuery(_)
        | Fact::MasterQuery(_) => return None,
    };
    Some(words)
}

fn purpose(purpose: &Purpose) -> String {
    match purpose {
        Purpose::Failover { epoch, master } => format!("replace {master} of epoch {epoch}"),
        Purpose::Takeover => "take a failover over".into(),
        Purpose::Configure => "change the record".into(),
    }
}

fn ballot(ballot: &Ballot) -> String {
    match &ballot.answer {
        BallotAnswer::Promise { .. } => format!("promises ballot {}", ballot.ballot),
        BallotAnswer::Refused { why, .. } => format!("refuses ballot {}: {why}", ballot.ballot),
    }
}

fn reply(reply: &ProposalReply) -> String {
    match &reply.answer {
        ProposalAnswer::Accepted => format!("accepts revision {}", reply.revision),
        ProposalAnswer::Superseded { promised } => {
            format!("refuses revision {}: promised {promised}", reply.revision)
        }
        ProposalAnswer::StoreFailed => {
            format!("refuses revision {}: its store failed", reply.revision)
        }
    }
}

fn step(step: &Step) -> String {
    match step {
        Step::Odown => "step: odown by a majority".into(),
        Step::Claimed => "step: elected".into(),
        Step::Surveyed { answered, asked } => {
            format!("step: {answered} of {asked} replicas surveyed")
        }
        Step::Selected { target } => format!("step: {target} selected"),
        Step::Promoted { target } => format!("step: {target} promoted"),
        Step::Committed { epoch } => format!("step: epoch {epoch} committed"),
        Step::Repaired { node } => format!("step: {node} follows"),
        Step::Ended => "step: ended".into(),
        Step::Aborted { why } => format!("step: aborted: {why}"),
    }
}

fn ms(us: u64) -> f64 {
    // Exact for every span a test can last.
    std::time::Duration::from_micros(us).as_secs_f64() * 1e3
}
