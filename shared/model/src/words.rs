//! Facts in words, for people who watch.

use crate::{
    Ballot, BallotAnswer, Fact, FactKind, GroupName, GroupRecord, Health, Instruction, LossBound,
    MasterRecord, Memory, NodeReport, NodeState, OdownVerdict, Outcome, ProposalAnswer,
    ProposalReply, Purpose, Role, RosterAnswer, RosterAsk, RosterBallot, RosterVote, SdownReport,
    Step, Verb,
};
use core::fmt;
use core::time::Duration;

/// The fact in one line.
impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SdownReport(fact) => sdown(fact, f),
            Self::NodeReport(fact) => node(fact, f),
            Self::OdownVerdict(fact) => odown(fact, f),
            Self::Candidacy(fact) => {
                write!(f, "asks for ballot {} to {}", fact.ballot, fact.purpose)
            }
            Self::Ballot(fact) => ballot(fact, f),
            Self::Proposal(fact) => {
                f.write_str("proposes ")?;
                record(&fact.record, f)?;
                write!(f, " under ballot {}", fact.ballot)
            }
            Self::ProposalReply(fact) => accepted(fact, f),
            Self::Beat(fact) => write!(f, "leads with ballot {}, beat {}", fact.ballot, fact.beat),
            Self::BeatReply(fact) => {
                let answer = if fact.granted { "grants" } else { "refuses" };
                write!(f, "{answer} ballot {} its beat {}", fact.ballot, fact.beat)
            }
            Self::RecordCommitted(fact) => {
                f.write_str("committed ")?;
                record(&fact.record, f)
            }
            // Nothing has begun yet.
            Self::FailoverStep(fact) if matches!(fact.step, Step::Waiting { .. }) => {
                write!(f, "step: {}", fact.step)
            }
            Self::FailoverStep(fact) => {
                let ms = Duration::from_micros(fact.elapsed_us).as_secs_f64() * 1e3;
                write!(f, "step: {} after {ms:.1} ms", fact.step)
            }
            Self::Digest(fact) => {
                write!(f, "asks for what is newer than {} records", fact.have.len())
            }
            Self::DigestReply(fact) => write!(f, "knows {} newer records", fact.records.len()),
            Self::Heartbeat(fact) => {
                write!(f, "is alive at place {}, {}", fact.place, fact.health)
            }
            Self::RosterBallot(fact) => roster_ballot(fact, f),
            Self::RosterAnswer(fact) => roster_answer(fact, f),
            Self::Rejoin(fact) => write!(f, "{} has no memory and asks for it", fact.voter),
            Self::RejoinAnswer(fact) => {
                write!(f, "{}, roster {}", fact.memory, fact.roster.version)
            }
            Self::Instruction(fact) => write!(f, "{fact}"),
            Self::InstructionReply(fact) => write!(f, "{}: {}", fact.instruction, fact.outcome),
            Self::StatusQuery(_) => f.write_str("asks everybody how they are"),
            Self::MasterQuery(fact) => write!(f, "asks who is master of {}", fact.group),
            Self::MasterRecord(fact) => master(fact, f),
            Self::Event(fact) => write!(f, "{} {} | {}", fact.name, fact.payload, fact.cause),
        }
    }
}

impl Fact {
    /// The group it is about, where it is about one.
    pub const fn group(&self) -> Option<&GroupName> {
        match self {
            Self::SdownReport(fact) => Some(&fact.group),
            Self::NodeReport(fact) => Some(&fact.group),
            Self::OdownVerdict(fact) => Some(&fact.group),
            Self::Candidacy(fact) => Some(&fact.group),
            Self::Ballot(fact) => Some(&fact.group),
            Self::Proposal(fact) => Some(&fact.record.group),
            Self::ProposalReply(fact) => Some(&fact.group),
            Self::Beat(fact) => Some(&fact.group),
            Self::BeatReply(fact) => Some(&fact.group),
            Self::RecordCommitted(fact) => Some(&fact.record.group),
            Self::FailoverStep(fact) => Some(&fact.group),
            Self::MasterQuery(fact) => Some(&fact.group),
            Self::MasterRecord(fact) => Some(&fact.group),
            Self::Event(fact) => Some(&fact.group),
            Self::Instruction(fact) => fact.group.as_ref(),
            Self::InstructionReply(fact) => fact.instruction.group.as_ref(),
            Self::Digest(_)
            | Self::DigestReply(_)
            | Self::Heartbeat(_)
            | Self::StatusQuery(_)
            | Self::RosterBallot(_)
            | Self::RosterAnswer(_)
            | Self::Rejoin(_)
            | Self::RejoinAnswer(_) => None,
        }
    }
}

impl FactKind {
    /// Whether facts of this kind only keep things going.
    pub const fn is_quiet(self) -> bool {
        match self {
            Self::NodeReport
            | Self::Beat
            | Self::BeatReply
            | Self::Digest
            | Self::DigestReply
            | Self::Heartbeat
            | Self::StatusQuery
            | Self::MasterQuery => true,
            Self::SdownReport
            | Self::OdownVerdict
            | Self::Candidacy
            | Self::Ballot
            | Self::Proposal
            | Self::ProposalReply
            | Self::RecordCommitted
            | Self::FailoverStep
            | Self::RosterBallot
            | Self::RosterAnswer
            | Self::Rejoin
            | Self::RejoinAnswer
            | Self::Instruction
            | Self::InstructionReply
            | Self::MasterRecord
            | Self::Event => false,
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Well => f.write_str("well"),
            Self::Impaired(why) => write!(f, "impaired: {why}"),
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failover { epoch, master } => write!(f, "replace {master} of epoch {epoch}"),
            Self::Takeover => f.write_str("take a failover over"),
            Self::Configure => f.write_str("change the record"),
            Self::Switchover { master, .. } => write!(f, "have another than {master}, as wanted"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Odown => f.write_str("odown by a majority of the voters"),
            Self::Claimed => f.write_str("elected"),
            Self::Surveyed { answered, asked } => {
                write!(f, "{answered} of {asked} replicas answered the survey")
            }
            Self::Selected { target } => write!(f, "{target} selected"),
            Self::Promoted { target } => write!(f, "{target} promoted"),
            Self::Committed { epoch } => write!(f, "epoch {epoch} committed"),
            Self::Repaired { node } => write!(f, "{node} follows"),
            Self::Ended => f.write_str("ended"),
            Self::Aborted { why } => write!(f, "aborted: {why}"),
            Self::Paused => f.write_str("writes wait at the old master"),
            Self::Level { target } => write!(f, "{target} holds all of it"),
            Self::Frozen => f.write_str("the old master takes no writes any more"),
            Self::Waiting { why } => write!(f, "no attempt: {why}"),
        }
    }
}

fn sdown(report: &SdownReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &report.state {
        NodeState::Up => write!(f, "{} is up", report.node),
        NodeState::Down(evidence) => write!(f, "{} is down: {evidence}", report.node),
    }
}

fn node(report: &NodeReport, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let view = &report.view;
    write!(f, "{} says: {} ", report.node, view.role)?;
    match (view.role, &view.upstream) {
        (Role::Master, _) => write!(f, "with {} replicas", view.replicas.len())?,
        (Role::Replica, Some(upstream)) => {
            let link = if upstream.link_up { "up" } else { "down" };
            write!(f, "of {}, link {link}", upstream.addr)?;
        }
        (Role::Replica, None) => f.write_str("of nobody")?,
    }
    write!(f, ", offset {}", view.offset)
}

fn odown(verdict: &OdownVerdict, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let word = if verdict.reached { "odown" } else { "no odown" };
    write!(f, "{word} of {}: ", verdict.master)?;
    for (n, opinion) in verdict.tally.iter().enumerate() {
        let comma = if n == 0 { "" } else { ", " };
        write!(f, "{comma}{}", opinion.prober)?;
    }
    let nobody = if verdict.tally.is_empty() { "nobody" } else { "" };
    write!(f, "{nobody} of quorum {}", verdict.quorum)
}

fn ballot(ballot: &Ballot, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &ballot.answer {
        BallotAnswer::Promise { .. } => write!(f, "promises ballot {}", ballot.ballot),
        BallotAnswer::Refused { why, .. } => write!(f, "refuses ballot {}: {why}", ballot.ballot),
    }
}

fn accepted(reply: &ProposalReply, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match &reply.answer {
        ProposalAnswer::Accepted => write!(f, "accepts revision {}", reply.revision),
        ProposalAnswer::Superseded { promised } => {
            write!(f, "refuses revision {}: promised {promised}", reply.revision)
        }
        ProposalAnswer::OtherRoster { version } => {
            write!(f, "refuses revision {}: it goes by roster {version}", reply.revision)
        }
        ProposalAnswer::Lapsed => {
            write!(
                f,
                "refuses revision {}: heard nothing of its ballot for too long",
                reply.revision
            )
        }
        ProposalAnswer::Joining => {
            write!(f, "refuses revision {}: it has no memory yet", reply.revision)
        }
        ProposalAnswer::StoreFailed => {
            write!(f, "refuses revision {}: its store failed", reply.revision)
        }
    }
}

fn roster_ballot(ballot: &RosterBallot, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = &ballot.ballot;
    match &ballot.ask {
        RosterAsk::Prepare => write!(f, "asks for ballot {number} to change the roster"),
        RosterAsk::Accept(roster) => write!(f, "proposes {roster} under ballot {number}"),
        RosterAsk::Adopt(roster) => write!(f, "says that {roster} is decided"),
    }
}

fn roster_answer(answer: &RosterAnswer, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let number = &answer.ballot;
    match &answer.answer {
        RosterVote::Promise { .. } => write!(f, "promises roster ballot {number}"),
        RosterVote::Accepted => write!(f, "accepts the roster of ballot {number}"),
        RosterVote::Adopted => f.write_str("goes by the new roster"),
        RosterVote::Refused(why) => write!(f, "refuses roster ballot {number}: {why}"),
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Blank => f.write_str("has no memory either"),
            Self::Founded => f.write_str("has founded the system with it"),
            Self::Remembers => f.write_str("remembers"),
            Self::Floor(number) => write!(f, "has heard of ballots up to {number}"),
            Self::Records { floor, accepted, .. } => {
                write!(f, "refuses ballots up to {floor} now, tells of {} groups", accepted.len())
            }
        }
    }
}

impl fmt::Display for Instruction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.verb {
            Verb::Pause { reason, for_ms: None } => write!(f, "pause ({reason})"),
            Verb::Pause { reason, for_ms: Some(ms) } => write!(f, "pause for {ms} ms ({reason})"),
            Verb::Resume => f.write_str("resume"),
            Verb::Release => f.write_str("release"),
            Verb::Set { changes } => write!(f, "set {}", crate::change::line(changes)),
            Verb::Monitor { master, quorum, .. } => write!(f, "monitor {master} quorum {quorum}"),
            Verb::Remove => f.write_str("remove"),
            Verb::Reset => f.write_str("reset"),
            Verb::Switchover { epoch, to, dry_run } => {
                f.write_str(if *dry_run { "look into a switchover" } else { "switch over" })?;
                to.as_ref().map_or(Ok(()), |to| write!(f, " to {to}"))?;
                write!(f, " (epoch {epoch})")
            }
            Verb::Failover { epoch } => write!(f, "fail over (epoch {epoch})"),
            Verb::AddVoter(voter) => write!(f, "add voter {voter}"),
            Verb::RemoveVoter(voter) => write!(f, "remove voter {voter}"),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { now } => write!(f, "started: {now}"),
            Self::Done { now } => write!(f, "done: {now}"),
            Self::NoCandidate { why } => write!(f, "nobody can be promoted: {why}"),
            Self::Refused { why } => write!(f, "refused: {why}"),
        }
    }
}

fn record(record: &GroupRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let (revision, epoch, members) = (record.revision, record.epoch, record.members.len());
    let master = &record.master;
    if record.removed {
        return write!(f, "revision {revision} epoch {epoch}: removed, its master was {master}");
    }
    write!(f, "revision {revision} epoch {epoch}: master {master}, {members} members")?;
    record.failover.as_ref().map_or(Ok(()), |failover| {
        write!(f, ", failing over from {} to {}", failover.failed, failover.target)
    })
}

fn master(record: &MasterRecord, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(f, "MASTER of {} is {}", record.group, record.master)?;
    if let Some(previous) = &record.previous {
        write!(f, " after {previous}")?;
    }
    write!(f, " (epoch {}", record.epoch)?;
    let LossBound { bytes, as_of_ms } = record.loss;
    if let Some(bytes) = bytes {
        write!(f, ", at most {bytes} bytes lost")?;
        if let Some(ms) = as_of_ms {
            write!(f, " as of {ms} ms before")?;
        }
    }
    f.write_str(")")
}

#[cfg(test)]
mod tests {
    use crate::{
        Epoch, Evidence, Fact, GroupName, GroupRecord, LossBound, MasterRecord, NodeAddr,
        OdownVerdict, Opinion, Place, ProberId, Quorum, Settings, VoterId,
    };
    use alloc::string::ToString;
    use alloc::vec::Vec;

    fn group() -> GroupName {
        GroupName::parse("orders").unwrap()
    }

    fn addr(text: &str) -> NodeAddr {
        NodeAddr::parse(text).unwrap()
    }

    fn verdict(probers: &[&str]) -> Fact {
        let opinion = |name: &&str| Opinion {
            prober: ProberId::parse(name).unwrap(),
            place: Place::parse("here").unwrap(),
            evidence: Evidence::Crash { refused: 3 },
        };
        let tally: Vec<_> = probers.iter().map(opinion).collect();
        let fact = OdownVerdict {
            group: group(),
            epoch: Epoch(1),
            master: addr("10.0.0.1:6379"),
            voter: VoterId::parse("v1").unwrap(),
            reached: tally.len() >= 2,
            quorum: Quorum::parse(2).unwrap(),
            tally,
        };
        fact.into()
    }

    #[test]
    fn a_verdict_names_who_agrees() {
        let (none, two) = (verdict(&[]).to_string(), verdict(&["p1", "p2"]).to_string());
        assert_eq!(none, "no odown of 10.0.0.1:6379: nobody of quorum 2");
        assert_eq!(two, "odown of 10.0.0.1:6379: p1, p2 of quorum 2");
        assert_eq!(verdict(&[]).group(), Some(&group()));
    }

    #[test]
    fn a_master_is_told_with_what_is_known_of_the_loss() {
        let record = |previous, bytes, as_of_ms| {
            let settings = Settings::with_quorum(Quorum::parse(1).unwrap());
            let mut record = GroupRecord::first(group(), addr("10.0.0.2:6379"), settings);
            record.switch.previous = previous;
            record.switch.loss = LossBound { bytes, as_of_ms };
            Fact::from(MasterRecord::from(&record)).to_string()
        };
        assert_eq!(record(None, None, None), "MASTER of orders is 10.0.0.2:6379 (epoch 1)");
        let known = record(Some(addr("10.0.0.1:6379")), Some(7), Some(90));
        assert_eq!(
            known,
            "MASTER of orders is 10.0.0.2:6379 after 10.0.0.1:6379 \
             (epoch 1, at most 7 bytes lost as of 90 ms before)"
        );
    }
}
