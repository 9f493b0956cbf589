//! Who votes: how the roster changes while everything runs.
//!
//! ```text
//!  RosterBallot ─► Meta::vote ─► persist, then RosterAnswer     a voter
//!  Heartbeat    ─► Meta::adopt   (a newer roster, seen anywhere)
//!
//!  Instruction  ─► change::Change: prepare ─► accept ─► adopt   the first of the orchestrators
//! ```
//!
//! Each version of the roster is one Paxos decision of the voters of the version before, and adds
//! or removes one voter. Every question of the register names a version, and a voter answers only
//! those of its own; so a ballot has all its votes under one roster.
//!
//! # Why no record is lost
//!
//! *One step.* Any majority of a roster and any majority of the next share a voter, because they
//! differ by one. That voter goes by one of them at a time and never back. So what is true of two
//! majorities of one roster is true here: it either refused the older ballot, or handed its value
//! to the newer one.
//!
//! *Two steps.* Majorities of versions `v` and `v + 2` need not share anybody. Therefore a voter of
//! `v + 1` consents to `v + 2` only when every record it holds is known to be committed by a
//! majority of `v + 1` itself ([`Acceptor::is_settled`]). Whatever a majority of `v` ever committed
//! is held by at least one voter of any majority of `v + 1`, so also by one that consented; it, or
//! its successor, is therefore committed under `v + 1`, and one step away from `v + 2`. And nothing
//! is committed under `v` any more: of every majority of `v` one voter goes by `v + 1` by then.
//!
//! [`Acceptor::is_settled`]: crate::register::Acceptor::is_settled

pub mod change;

use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use vedette_model::{
    BallotNumber, GroupName, Roster, RosterAsk, RosterBallot, RosterRefusal, RosterVersion,
    RosterVote, VoterId,
};

/// What a voter keeps on disk that is not of one group. A voter that has it has memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Meta {
    /// The roster it goes by.
    pub roster: Roster,
    /// The one it went by before; absent while it goes by its first one.
    pub previous: Option<Roster>,
    /// The highest ballot promised for the next roster.
    pub promised: Option<BallotNumber>,
    /// What it accepted as the next roster.
    pub accepted: Option<(BallotNumber, Roster)>,
    /// Every ballot number up to this one is refused; see [`crate::rejoin`].
    pub floor: u64,
    /// The lives of the other voters that it saw without memory when it founded the system.
    pub founders: Vec<(VoterId, u64)>,
}

impl Meta {
    /// Of a voter that goes by its first roster.
    pub const fn first(roster: Roster) -> Self {
        Self {
            roster,
            previous: None,
            promised: None,
            accepted: None,
            floor: 0,
            founders: Vec::new(),
        }
    }

    /// Goes by a newer roster, which a majority has decided on. Whether that is news.
    pub fn adopt(&mut self, roster: &Roster) -> bool {
        let newer = roster.version > self.roster.version;
        if newer {
            self.previous = Some(core::mem::replace(&mut self.roster, roster.clone()));
            self.promised = None;
            self.accepted = None;
        }
        newer
    }

    /// The highest ballot number it has to do with, groups aside.
    pub fn highest(&self) -> u64 {
        let accepted = self.accepted.as_ref().map(|(ballot, _)| ballot.number);
        let promised = self.promised.as_ref().map(|ballot| ballot.number);
        accepted.max(promised).unwrap_or(0).max(self.floor)
    }

    /// Votes on the next roster; `unsettled` are the groups that are not settled under the present
    /// one. Whether the vote must be on disk before it is told.
    pub fn vote(
        &mut self,
        RosterBallot { ballot, from, ask }: &RosterBallot,
        unsettled: impl FnOnce(RosterVersion) -> Vec<GroupName>,
    ) -> (bool, RosterVote) {
        if let RosterAsk::Adopt(roster) = ask {
            let news = self.adopt(roster);
            let same = self.roster == *roster;
            return (news, if same { RosterVote::Adopted } else { self.other() });
        }
        if *from != self.roster.version {
            return (false, self.other());
        }
        if let Some(promised) = self.older(ballot) {
            return (false, RosterVote::Refused(RosterRefusal::OlderBallot(promised)));
        }
        let unsettled = unsettled(self.roster.version);
        if !unsettled.is_empty() {
            return (false, RosterVote::Refused(RosterRefusal::Unsettled(unsettled)));
        }
        let before = (self.promised.clone(), self.accepted.clone());
        let vote = match ask {
            RosterAsk::Prepare => {
                self.promised = Some(ballot.clone());
                RosterVote::Promise { accepted: self.accepted.clone() }
            }
            RosterAsk::Accept(roster) if !is_one_step(&self.roster, roster) => {
                RosterVote::Refused(RosterRefusal::NotOneVoter)
            }
            RosterAsk::Accept(roster) => {
                self.promised = Some(ballot.clone());
                self.accepted = Some((ballot.clone(), roster.clone()));
                RosterVote::Accepted
            }
            RosterAsk::Adopt(_) => self.other(),
        };
        (before != (self.promised.clone(), self.accepted.clone()), vote)
    }

    fn other(&self) -> RosterVote {
        RosterVote::Refused(RosterRefusal::OtherRoster(self.roster.clone()))
    }

    fn older(&self, ballot: &BallotNumber) -> Option<BallotNumber> {
        let promised = self.promised.clone().filter(|promised| promised > ballot);
        promised.or_else(|| self.below_floor(ballot))
    }

    /// Whether the ballot is refused because of the floor, and then the ballot to go above.
    pub fn below_floor(&self, ballot: &BallotNumber) -> Option<BallotNumber> {
        let highest = || BallotNumber {
            number: self.floor,
            proposer: ballot.proposer.clone(),
            incarnation: u64::MAX,
        };
        (self.floor > 0 && ballot.number <= self.floor).then(highest)
    }
}

/// Whether the one roster follows on the other, with one voter more or one less.
fn is_one_step(from: &Roster, to: &Roster) -> bool {
    let gone = from.voters().iter().filter(|voter| !to.contains(voter)).count();
    let new = to.voters().iter().filter(|voter| !from.contains(voter)).count();
    to.version == from.version.next() && gone + new == 1
}

/// How many voters of a roster besides this one share somebody with each of its majorities that
/// holds this one.
pub(crate) fn others_needed(roster: &Roster) -> usize {
    roster.voters().len() - roster.majority().get() + 1
}

#[cfg(test)]
mod tests;
