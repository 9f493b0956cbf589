//! Ballots and records in short: as numbers for the properties, as words for people.

use super::table::Written;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, BeatReply, Candidacy, Fact, GroupRecord, Memory, Proposal,
    ProposalAnswer, ProposalReply, Purpose, RecordCommitted, RejoinAsk, RosterAnswer, RosterAsk,
    RosterVote,
};

/// A ballot as a small number in the same order.
pub fn code(ballot: &BallotNumber) -> u8 {
    let who = u64::from(ballot.proposer.as_str() != "o1");
    assert!(
        ballot.number < 8 && (1..=4).contains(&ballot.incarnation),
        "out of the model's bounds"
    );
    u8::try_from(ballot.number << 3 | who << 2 | (ballot.incarnation - 1)).unwrap_or(u8::MAX)
}

/// Bits of a ballot in a mark.
const DIGIT: u32 = 6;

/// The mark of the record that all begins with.
pub const FIRST_MARK: u64 = 1;

/// Who made this record on top of what: the codes of the ballots under which it was changed, the
/// newest in the lowest bits. It stands in a setting that no core looks at.
pub const fn mark(record: &GroupRecord) -> u64 {
    record.settings.busy_budget_ms
}

/// Writes the ballot of a change into the record's mark.
pub fn sign(record: &mut GroupRecord, ballot: &BallotNumber) {
    let mark = record.settings.busy_budget_ms;
    assert!(mark.leading_zeros() > DIGIT, "out of the model's bounds");
    record.settings.busy_budget_ms = mark << DIGIT | u64::from(code(ballot));
}

/// Whether a record of this mark was made from one of that mark, in so many changes or none.
pub const fn descends(mark: u64, from: u64) -> bool {
    let mut mark = mark;
    while mark > from {
        mark >>= DIGIT;
    }
    mark == from
}

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}

/// What the properties must know of a record.
pub fn written(ballot: &BallotNumber, record: &GroupRecord) -> Written {
    let mut hasher = DefaultHasher::new();
    record.hash(&mut hasher);
    Written {
        ballot: code(ballot),
        revision: small(record.revision.0),
        roster: small(record.roster.0),
        epoch: small(record.epoch.0),
        mark: mark(record),
        content: hasher.finish(),
    }
}

/// A ballot in a few characters.
#[derive(Debug)]
pub struct Short<'a>(pub &'a BallotNumber);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}/{}", self.0.number, self.0.proposer, self.0.incarnation)
    }
}

/// A record on one line.
#[derive(Debug)]
pub struct Line<'a>(pub &'a GroupRecord);

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = self.0;
        write!(f, "r{} (master {} of {}", record.revision, record.master, record.epoch)?;
        if record.roster.0 > 1 {
            write!(f, ", roster {}", record.roster)?;
        }
        if let Some(plan) = &record.failover {
            write!(f, ", {} promotes {} in {}", plan.leader, plan.target, plan.epoch)?;
        }
        write!(f, ", mark {:o})", mark(record))
    }
}

fn name(purpose: &Purpose) -> String {
    match purpose {
        Purpose::Failover { epoch, master } => format!("failover of {master} ({epoch})"),
        Purpose::Switchover { epoch, master } => format!("switchover of {master} ({epoch})"),
        Purpose::Takeover => "takeover".into(),
        Purpose::Configure => "configure".into(),
    }
}

/// A message on one line.
#[derive(Debug)]
pub struct Words<'a>(pub &'a Fact);

impl fmt::Display for Words<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fact::Candidacy(Candidacy { ballot, purpose, .. }) => {
                write!(f, "candidacy {} for {}", Short(ballot), name(purpose))
            }
            Fact::Ballot(answer) => promise(answer, f),
            Fact::Proposal(Proposal { ballot, record, .. }) => {
                write!(f, "proposal {} {}", Short(ballot), Line(record))
            }
            Fact::ProposalReply(ProposalReply { ballot, revision, voter, answer, .. }) => {
                let accepted = *answer == ProposalAnswer::Accepted;
                let said = if accepted { "accepted" } else { "did not accept" };
                write!(f, "{voter} {said} {} r{revision}", Short(ballot))
            }
            Fact::RecordCommitted(RecordCommitted { ballot, record }) => {
                write!(f, "committed {} {}", Short(ballot), Line(record))
            }
            Fact::BeatReply(BeatReply { ballot, beat, voter, granted, .. }) => {
                write!(f, "{voter} says {granted} to beat {beat} of {}", Short(ballot))
            }
            Fact::Beat(beat) => write!(f, "beat {} of {}", beat.beat, Short(&beat.ballot)),
            Fact::RosterBallot(m) => {
                let ask = match &m.ask {
                    RosterAsk::Prepare => "prepare".into(),
                    RosterAsk::Accept(roster) => format!("accept {roster}"),
                    RosterAsk::Adopt(roster) => format!("go by {roster}"),
                };
                write!(f, "roster {} {} {ask}", m.from, Short(&m.ballot))
            }
            Fact::RosterAnswer(RosterAnswer { voter, ballot, answer }) => {
                let said = match answer {
                    RosterVote::Promise { accepted: None } => "promises".into(),
                    RosterVote::Promise { accepted: Some((b, roster)) } => {
                        format!("promises, having accepted {} {roster}, in", Short(b))
                    }
                    RosterVote::Accepted => "accepted".into(),
                    RosterVote::Adopted => "goes by the roster of".into(),
                    RosterVote::Refused(why) => format!("refuses ({why:?})"),
                };
                write!(f, "{voter} {said} {}", Short(ballot))
            }
            Fact::Heartbeat(beat) => match &beat.roster {
                Some(roster) => write!(f, "{} is used", roster),
                None => write!(f, "a heartbeat"),
            },
            Fact::Rejoin(m) => match &m.ask {
                RejoinAsk::Memory => write!(f, "{} asks whether anybody remembers", m.voter),
                RejoinAsk::Floor => write!(f, "{} asks for the floor", m.voter),
                RejoinAsk::Records { floor, .. } => {
                    write!(f, "{} asks for records from floor {floor}", m.voter)
                }
            },
            Fact::RejoinAnswer(m) => match &m.memory {
                Memory::Floor(floor) => write!(f, "{} says floor {floor}", m.voter),
                Memory::Records { floor, accepted, .. } => {
                    write!(f, "{} says from floor {floor}, by {}:", m.voter, m.roster)?;
                    accepted.iter().try_for_each(|(b, r)| write!(f, " {} {}", Short(b), Line(r)))
                }
                Memory::Blank | Memory::Founded | Memory::Remembers => {
                    write!(f, "{} says {:?}", m.voter, m.memory)
                }
            },
            other => write!(f, "{other:?}"),
        }
    }
}

fn promise(answer: &Ballot, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Ballot { voter, ballot, answer, .. } = answer;
    match answer {
        BallotAnswer::Promise { accepted, lease_ms, .. } => {
            write!(f, "{voter} promises {}, ", Short(ballot))?;
            if *lease_ms > 0 {
                write!(f, "another has {lease_ms} ms left, ")?;
            }
            match accepted {
                None => write!(f, "accepted nothing"),
                Some((b, record)) => write!(f, "accepted {} {}", Short(b), Line(record)),
            }
        }
        BallotAnswer::Refused { why, .. } => write!(f, "{voter} refuses {}: {why}", Short(ballot)),
    }
}
