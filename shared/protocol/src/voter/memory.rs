//! What a voter remembers as a whole: the roster it goes by, its floor, and how it came by them.

use super::{Barred, Mind, Output, Voter};
use crate::roster::Meta;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Bound;
use vedette_model::{
    BallotNumber, GroupName, Heartbeat, Instant, Memory, Rejoin, RejoinAnswer, RejoinAsk, Roster,
    RosterAnswer, RosterAsk, RosterBallot, RosterRefusal, RosterVersion, RosterVote, Service,
};

impl Voter {
    /// What it remembers as a whole; nothing while it has no memory.
    pub const fn meta(&self) -> Option<&Meta> {
        match &self.mind {
            Mind::Knows(meta) => Some(meta),
            Mind::Joining(_) => None,
        }
    }

    pub(super) const fn roster(&self) -> &Roster {
        match &self.mind {
            Mind::Knows(meta) => &meta.roster,
            Mind::Joining(joining) => joining.first(),
        }
    }

    /// Only a voter with memory says by which roster it goes: others believe that one was decided.
    pub(super) fn tell_roster(&mut self) {
        let roster = self.meta().map(|meta| meta.roster.clone());
        self.pulse.set_roster(roster);
    }

    /// Why the ballot is refused, whatever the group.
    pub(super) fn barred(&self, ballot: &BallotNumber) -> Option<Barred> {
        if self.store_failed.is_some() {
            return Some(Barred::StoreFailed);
        }
        match &self.mind {
            Mind::Joining(_) => Some(Barred::Joining),
            Mind::Knows(meta) => meta.below_floor(ballot).map(Barred::Floor),
        }
    }

    /// Another service lives: a voter may go by a newer roster.
    pub(super) fn heard(&mut self, beat: &Heartbeat, now: Instant) {
        let Some(roster) = beat.roster.as_ref().filter(|_| beat.service == Service::Voter) else {
            return;
        };
        self.adopt(roster, now);
    }

    fn adopt(&mut self, roster: &Roster, now: Instant) {
        match &mut self.mind {
            Mind::Joining(joining) => joining.roster(roster),
            Mind::Knows(meta) => {
                if self.store_failed.is_none() && meta.adopt(roster) {
                    self.outputs.push_back(Output::PersistMeta(meta.clone()));
                    self.tell_roster();
                    self.heartbeat(Vec::new(), now);
                }
            }
        }
    }

    pub(super) fn roster_ballot(
        &mut self,
        ballot: &RosterBallot,
        reply_to: Option<String>,
        now: Instant,
    ) {
        let before = self.roster().version;
        let groups = &self.groups;
        let unsettled = |roster: RosterVersion| -> Vec<GroupName> {
            let open = groups.iter().filter(|(_, group)| !group.acceptor.is_settled(roster));
            open.map(|(name, _)| name.clone()).take(UNSETTLED_TOLD).collect()
        };
        let answer = match &mut self.mind {
            _ if self.store_failed.is_some() => RosterVote::Refused(RosterRefusal::StoreFailed),
            Mind::Joining(joining) => {
                if let RosterAsk::Adopt(roster) = &ballot.ask {
                    joining.roster(roster);
                }
                RosterVote::Refused(RosterRefusal::Joining)
            }
            Mind::Knows(meta) => {
                let (persist, vote) = meta.vote(ballot, unsettled);
                if persist {
                    self.outputs.push_back(Output::PersistMeta(meta.clone()));
                }
                vote
            }
        };
        let (voter, ballot) = (self.config.id.clone(), ballot.ballot.clone());
        self.answer(None, reply_to, RosterAnswer { voter, ballot, answer }.into());
        if self.roster().version != before {
            self.tell_roster();
            self.heartbeat(Vec::new(), now);
        }
    }

    /// Another voter has no memory, and asks.
    pub(super) fn rejoin(&mut self, rejoin: &Rejoin, reply_to: Option<String>) {
        if rejoin.voter == self.config.id {
            return;
        }
        if let Mind::Joining(joining) = &mut self.mind {
            joining.asked(rejoin);
        }
        if self.store_failed.is_some() {
            return;
        }
        let memory = self.tell(rejoin);
        let answer = RejoinAnswer {
            voter: self.config.id.clone(),
            incarnation: self.config.sender.incarnation,
            to: rejoin.incarnation,
            roster: self.roster().clone(),
            memory,
        };
        self.answer(None, reply_to, answer.into());
        self.join_on();
    }

    fn tell(&mut self, rejoin: &Rejoin) -> Memory {
        let groups = self.groups.values().map(|group| group.acceptor.stored());
        let numbers = groups.flat_map(|stored| {
            let accepted = stored.accepted.as_ref().map(|(ballot, _)| ballot.number);
            stored.promised.as_ref().map(|ballot| ballot.number).into_iter().chain(accepted)
        });
        let highest = numbers.max().unwrap_or(0);
        let Mind::Knows(meta) = &mut self.mind else { return Memory::Blank };
        let life = (rejoin.voter.clone(), rejoin.incarnation);
        if meta.previous.is_none() && meta.founders.contains(&life) {
            return Memory::Founded;
        }
        match &rejoin.ask {
            RejoinAsk::Memory => Memory::Remembers,
            RejoinAsk::Floor => Memory::Floor(highest.max(meta.highest())),
            RejoinAsk::Records { floor, after } => {
                if meta.floor < *floor {
                    meta.floor = *floor;
                    self.outputs.push_back(Output::PersistMeta(meta.clone()));
                }
                let meta = meta.clone();
                self.page(&meta, after.clone())
            }
        }
    }

    fn page(&self, meta: &Meta, after: Option<GroupName>) -> Memory {
        let from = after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.groups.range((from, Bound::Unbounded));
        let page: Vec<_> = rest.by_ref().take(Memory::LIMIT).collect();
        let last = page.last().map(|(name, _)| (*name).clone());
        let stored = || page.iter().map(|(_, group)| group.acceptor.stored());
        Memory::Records {
            floor: meta.floor,
            after,
            accepted: stored().filter_map(|stored| stored.accepted.clone()).collect(),
            committed: stored().filter_map(|stored| stored.committed.clone()).collect(),
            more_after: last.filter(|_| rest.next().is_some()),
            previous: meta.previous.clone(),
            next: meta.accepted.clone(),
        }
    }

    pub(super) fn rejoin_answer(&mut self, answer: RejoinAnswer, now: Instant) {
        if let Mind::Joining(joining) = &mut self.mind {
            joining.answer(answer, now);
        }
        self.remember(now);
    }

    /// Does what is due while there is no memory.
    pub(super) fn join(&mut self, now: Instant) {
        if let Mind::Joining(joining) = &mut self.mind {
            joining.handle_timeout(now);
        }
        self.remember(now);
    }

    fn join_on(&mut self) {
        let Mind::Joining(joining) = &mut self.mind else { return };
        for ask in joining.take_asks() {
            self.outputs.push_back(Output::Publish(ask.into()));
        }
    }

    /// Goes on asking, or begins to vote. Groups are written first: a memory that is written is
    /// whole.
    fn remember(&mut self, now: Instant) {
        self.join_on();
        let Mind::Joining(joining) = &mut self.mind else { return };
        let Some((meta, stored)) = joining.take_done() else { return };
        for group in &stored {
            self.outputs.push_back(Output::Persist(group.clone()));
        }
        self.outputs.push_back(Output::PersistMeta(meta.clone()));
        self.mind = Mind::Knows(meta);
        self.restore(stored, now);
        self.next_ask = now;
        self.tell_roster();
        self.heartbeat(Vec::new(), now);
    }
}

/// Groups that a refusal names.
const UNSETTLED_TOLD: usize = 8;
