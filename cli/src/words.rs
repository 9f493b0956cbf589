//! Facts in words.

use vedette_model::{
    Ballot, BallotAnswer, Fact, FactKind, GroupName, GroupRecord, Health, Heartbeat, LossBound,
    NodeReport, NodeState, ProposalAnswer, ProposalReply, Purpose, Role, Step,
};

/// The fact in one line.
pub fn describe(fact: &Fact) -> String {
    match fact {
        Fact::SdownReport(f) => match &f.state {
            NodeState::Up => format!("{} is up", f.node),
            NodeState::Down(evidence) => format!("{} is down: {evidence}", f.node),
        },
        Fact::NodeReport(f) => node(f),
        Fact::OdownVerdict(f) => {
            let verdict = if f.reached { "odown" } else { "no odown" };
            let probers: Vec<_> = f.tally.iter().map(|opinion| opinion.prober.as_str()).collect();
            let probers = if probers.is_empty() { "nobody".into() } else { probers.join(", ") };
            format!("{verdict} of {}: {probers} of quorum {}", f.master, f.quorum)
        }
        Fact::Candidacy(f) => format!("asks for ballot {} to {}", f.ballot, purpose(&f.purpose)),
        Fact::Ballot(f) => ballot(f),
        Fact::Proposal(f) => format!("proposes {} under ballot {}", record(&f.record), f.ballot),
        Fact::ProposalReply(f) => accepted(f),
        Fact::Beat(f) => format!("leads with ballot {}, beat {}", f.ballot, f.beat),
        Fact::BeatReply(f) => {
            let answer = if f.granted { "grants" } else { "refuses" };
            format!("{answer} ballot {} its beat {}", f.ballot, f.beat)
        }
        Fact::RecordCommitted(f) => format!("committed {}", record(&f.record)),
        Fact::FailoverStep(f) => {
            let ms = std::time::Duration::from_micros(f.elapsed_us).as_secs_f64() * 1e3;
            format!("{} after {ms:.1} ms", step(&f.step))
        }
        Fact::Digest(f) => format!("asks for what is newer than {} records", f.have.len()),
        Fact::DigestReply(f) => format!("knows {} newer records", f.records.len()),
        Fact::Heartbeat(f) => heartbeat(f),
        Fact::StatusQuery(_) => "asks everybody how they are".into(),
        Fact::MasterQuery(f) => format!("asks who is master of {}", f.group),
        Fact::MasterRecord(f) => {
            let previous = f.previous.as_ref().map(|p| format!(" after {p}")).unwrap_or_default();
            let loss = loss(f.loss);
            format!("MASTER of {} is {}{previous} (epoch {}{loss})", f.group, f.master, f.epoch)
        }
        Fact::Event(f) => format!("{} {} | {}", f.name, f.payload, f.cause),
    }
}

/// The group a fact is about, where it is about one.
pub const fn group(fact: &Fact) -> Option<&GroupName> {
    match fact {
        Fact::SdownReport(f) => Some(&f.group),
        Fact::NodeReport(f) => Some(&f.group),
        Fact::OdownVerdict(f) => Some(&f.group),
        Fact::Candidacy(f) => Some(&f.group),
        Fact::Ballot(f) => Some(&f.group),
        Fact::Proposal(f) => Some(&f.record.group),
        Fact::ProposalReply(f) => Some(&f.group),
        Fact::Beat(f) => Some(&f.group),
        Fact::BeatReply(f) => Some(&f.group),
        Fact::RecordCommitted(f) => Some(&f.record.group),
        Fact::FailoverStep(f) => Some(&f.group),
        Fact::MasterQuery(f) => Some(&f.group),
        Fact::MasterRecord(f) => Some(&f.group),
        Fact::Event(f) => Some(&f.group),
        Fact::Digest(_) | Fact::DigestReply(_) | Fact::Heartbeat(_) | Fact::StatusQuery(_) => None,
    }
}

/// Whether facts of this kind only keep things going.
pub const fn is_quiet(kind: FactKind) -> bool {
    match kind {
        FactKind::NodeReport
        | FactKind::Beat
        | FactKind::BeatReply
        | FactKind::Digest
        | FactKind::DigestReply
        | FactKind::Heartbeat
        | FactKind::StatusQuery
        | FactKind::MasterQuery => true,
        FactKind::SdownReport
        | FactKind::OdownVerdict
        | FactKind::Candidacy
        | FactKind::Ballot
        | FactKind::Proposal
        | FactKind::ProposalReply
        | FactKind::RecordCommitted
        | FactKind::FailoverStep
        | FactKind::MasterRecord
        | FactKind::Event => false,
    }
}

/// A service's health.
pub fn health(health: &Health) -> String {
    match health {
        Health::Well => "well".into(),
        Health::Impaired(why) => format!("impaired: {why}"),
    }
}

fn heartbeat(beat: &Heartbeat) -> String {
    format!("is alive at place {}, {}", beat.place, health(&beat.health))
}

fn node(report: &NodeReport) -> String {
    let view = &report.view;
    let rest = match (view.role, &view.upstream) {
        (Role::Master, _) => format!("with {} replicas", view.replicas.len()),
        (Role::Replica, Some(upstream)) => {
            let link = if upstream.link_up { "up" } else { "down" };
            format!("of {}, link {link}", upstream.addr)
        }
        (Role::Replica, None) => "of nobody".into(),
    };
    format!("{} says: {} {rest}, offset {}", report.node, view.role, view.offset)
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

fn accepted(reply: &ProposalReply) -> String {
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

fn record(record: &GroupRecord) -> String {
    let failover = record.failover.as_ref();
    let failover = failover
        .map(|f| format!(", failing over from {} to {}", f.failed, f.target))
        .unwrap_or_default();
    format!(
        "revision {} epoch {}: master {}, {} members{failover}",
        record.revision,
        record.epoch,
        record.master,
        record.members.len()
    )
}

fn loss(loss: LossBound) -> String {
    match loss {
        LossBound { bytes: Some(bytes), as_of_ms: Some(ms) } => {
            format!(", at most {bytes} bytes lost as of {ms} ms before")
        }
        LossBound { bytes: Some(bytes), as_of_ms: None } => format!(", at most {bytes} bytes lost"),
        LossBound { bytes: None, .. } => String::new(),
    }
}

fn step(step: &Step) -> String {
    match step {
        Step::Odown => "step: odown by a majority of the voters".into(),
        Step::Claimed => "step: elected".into(),
        Step::Surveyed { answered, asked } => {
            format!("step: {answered} of {asked} replicas answered the survey")
        }
        Step::Selected { target } => format!("step: {target} selected"),
        Step::Promoted { target } => format!("step: {target} promoted"),
        Step::Committed { epoch } => format!("step: epoch {epoch} committed"),
        Step::Repaired { node } => format!("step: {node} follows"),
        Step::Ended => "step: ended".into(),
        Step::Aborted { why } => format!("step: aborted: {why}"),
    }
}
