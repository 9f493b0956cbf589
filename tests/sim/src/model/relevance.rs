//! Which messages can still change anything. Those that cannot are left out of the state, so that
//! states that differ in them only are one.

use super::leader::Leader;
use super::operator::Operator;
use super::records::{self, code, descends};
use super::voter::Voter;
use vedette_model::{BallotNumber, Fact, RosterAsk, RosterVersion, VoterId};

/// Who is there.
#[derive(Debug)]
pub struct Present<'a> {
    /// The voters.
    pub voters: Vec<&'a Voter>,
    /// The orchestrators.
    pub leaders: [&'a Leader; 2],
    /// The changes of the roster.
    pub operators: Vec<&'a Operator>,
    /// Voters may yet lose their file, and with it what they know.
    pub losses: bool,
    /// Orchestrators stand because of records that they heard of.
    pub records_known: bool,
}

impl Present<'_> {
    /// Code of the ballot below which a voter surely accepts nothing more.
    fn promised(voter: &Voter) -> u8 {
        let code_of = |ballot: Option<&BallotNumber>| ballot.map_or(0, code);
        let of = |disk: Option<&super::voter::Disk>| {
            disk.map_or(0, |disk| code_of(disk.stored.promised.as_ref()))
        };
        of(voter.disk()).min(of(voter.memory()))
    }

    /// The voters that may yet vote under a ballot, one bit for each.
    pub fn open(&self, ballot: u8) -> u8 {
        let open = |voter: &&Voter| self.may_forget(voter) || Self::promised(voter) <= ballot;
        let bits = self.voters.iter().enumerate().filter(|(_, voter)| open(voter));
        bits.map(|(v, _)| 1 << v).sum()
    }

    /// Whether it knows nothing, or may yet forget everything.
    fn may_forget(&self, voter: &Voter) -> bool {
        voter.joins().is_some() || (self.losses && voter.forgets())
    }

    /// Voters that go by this roster and hold nothing that was made from this record, one bit for
    /// each.
    pub fn lacking(&self, version: RosterVersion, mark: u64) -> u8 {
        let lacks = |voter: &&Voter| {
            voter.disk().is_some_and(|disk| {
                let accepted = disk.stored.accepted.as_ref();
                disk.meta.roster.version == version
                    && !accepted.is_some_and(|(_, held)| descends(records::mark(held), mark))
            })
        };
        let bits = self.voters.iter().enumerate().filter(|(_, voter)| lacks(voter));
        bits.map(|(v, _)| 1 << v).sum()
    }

    fn goes_by(voter: &Voter) -> RosterVersion {
        let version = |disk: &super::voter::Disk| disk.meta.roster.version;
        let known = voter.disk().map(version).min(voter.memory().map(version));
        known.unwrap_or(RosterVersion(0))
    }

    /// Whether a message can still change anything, whoever hears it; `newest` is the newest
    /// revision that is known to be committed.
    pub fn matters(&self, fact: &Fact, newest: u64) -> bool {
        let any = |may: &dyn Fn(&Voter) -> bool| self.voters.iter().any(|v| may(v));
        let asked =
            |ballot: &BallotNumber| self.leaders.iter().any(|l| l.standing() == Some(ballot));
        match fact {
            Fact::Ballot(_) | Fact::ProposalReply(_) => {
                self.leaders.iter().any(|l| answers(l, fact).is_some())
            }
            Fact::Candidacy(m) => {
                let ballot = code(&m.ballot);
                any(&|v| {
                    let promised = Self::promised(v);
                    self.may_forget(v)
                        || promised < ballot
                        || (promised == ballot && asked(&m.ballot))
                })
            }
            Fact::Proposal(m) => {
                let ballot = code(&m.ballot);
                let proposed = self
                    .leaders
                    .iter()
                    .any(|l| l.proposing() == Some((&m.ballot, m.record.revision)));
                any(&|v| {
                    let promised = Self::promised(v);
                    let held = v.disk().and_then(|d| d.stored.accepted.as_ref());
                    let behind =
                        held.is_none_or(|(b, r)| (b, r.revision) < (&m.ballot, m.record.revision));
                    self.may_forget(v)
                        || promised < ballot
                        || (promised == ballot && (behind || proposed))
                })
            }
            Fact::RecordCommitted(m) => {
                let revision = m.record.revision;
                let known = |v: &Voter| {
                    v.disk().and_then(|d| d.stored.committed.as_ref()).map(|c| c.record.revision)
                };
                (self.records_known && revision.0 == newest)
                    || any(&|v| self.may_forget(v) || known(v) < Some(revision))
            }
            Fact::RosterBallot(m) => match &m.ask {
                RosterAsk::Adopt(roster) => {
                    any(&|v| Self::goes_by(v) < roster.version)
                        || self.operators.iter().any(|o| o.waits_for(&m.ballot))
                }
                RosterAsk::Prepare | RosterAsk::Accept(_) => any(&|v| Self::goes_by(v) <= m.from),
            },
            Fact::RosterAnswer(_) => {
                self.operators.iter().any(|o| o.answers(fact).is_some() || o.is_told(fact))
            }
            Fact::Heartbeat(m) => m.roster.as_ref().is_some_and(|roster| {
                any(&|v| Self::goes_by(v) < roster.version)
                    || self.leaders.iter().any(|l| l.roster().version < roster.version)
                    || self.operators.iter().any(|o| !o.has_begun())
            }),
            _ => false,
        }
    }
}

/// Who answers, if the fact is an answer to this orchestrator in its present state.
pub fn answers(leader: &Leader, fact: &Fact) -> Option<VoterId> {
    let voter = match fact {
        Fact::Ballot(m) if leader.standing() == Some(&m.ballot) => Some(&m.voter),
        Fact::ProposalReply(m) if leader.proposing() == Some((&m.ballot, m.revision)) => {
            Some(&m.voter)
        }
        _ => None,
    };
    voter.filter(|voter| leader.roster().contains(voter)).cloned()
}
