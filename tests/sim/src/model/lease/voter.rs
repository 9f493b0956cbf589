//! A voter by the clock: the real acceptor. Its disk has synced before it answers.

use super::super::bug::Bug;
use super::super::names;
use super::super::records::code;
use super::super::scope::Scope;
use super::super::table::{Heard, Outcome, Process};
use super::digest::{Horizon, digest};
use super::{LONG, TICK, start};
use std::time::Duration;
use vedette_model::{
    BallotAnswer, BallotNumber, Candidacy, Fact, Instant, ProposalAnswer, RecordCommitted,
};
use vedette_protocol::register::{Acceptor, LEASE};
use vedette_protocol::voter::Stored;

/// One voter.
#[derive(Debug, Clone)]
pub struct Voter {
    index: usize,
    acceptor: Acceptor,
    now: Instant,
}

/// What can happen to a voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VoterInput {
    /// A question arrives.
    Hear(Heard),
    /// It is restarted.
    Crash,
    /// Time passes.
    Tick,
    /// Nobody will ask for its promise again, so leases matter no more.
    Rest,
}

impl Voter {
    /// A voter that has been running for long, and all know of the first record.
    pub fn new(index: usize) -> Self {
        let (group, record) = (names::group(), names::first());
        let ballot = BallotNumber { number: 0, proposer: names::orchestrator(0), incarnation: 1 };
        let committed = RecordCommitted { ballot: ballot.clone(), record: record.clone() };
        let stored = Stored {
            group,
            promised: Some(ballot.clone()),
            accepted: Some((ballot, record)),
            committed: Some(committed),
        };
        let acceptor = Acceptor::restore(names::voter(index), stored, start() - LONG);
        Self { index, acceptor, now: start() }
    }

    /// Code of the ballot that it promised.
    pub fn promised(&self) -> u8 {
        self.acceptor.stored().promised.as_ref().map_or(0, code)
    }

    fn restore(&mut self, since: Instant) {
        let id = names::voter(self.index);
        self.acceptor = Acceptor::restore(id, self.acceptor.stored().clone(), since);
    }

    /// How long others than this one may still act, as far as it tells.
    fn lease_ms(&self, candidacy: &Candidacy, scope: &Scope) -> Option<u64> {
        let said = self.acceptor.clone().candidacy(candidacy, &scope.roster, false, self.now);
        match said.answer.answer {
            BallotAnswer::Promise { lease_ms, .. } => Some(lease_ms),
            BallotAnswer::Refused { .. } => None,
        }
    }

    /// The promise; of what it accepted it says nothing, since time does not matter for that.
    fn vote(&mut self, candidacy: &Candidacy, scope: &Scope) -> Option<Fact> {
        let mut lease_ms = self.lease_ms(candidacy, scope)?;
        let mut said = self.acceptor.candidacy(candidacy, &scope.roster, false, self.now).answer;
        match scope.bug {
            Some(Bug::LeaseNotTold) => lease_ms = 0,
            Some(Bug::OneLeaseKept) => {
                let mut stranger = candidacy.clone();
                stranger.ballot.proposer = names::orchestrator(2);
                // Somebody else would be told of more: the candidate was granted last.
                if self.lease_ms(&stranger, scope) > Some(lease_ms) {
                    lease_ms = 0;
                }
            }
            _ => {}
        }
        said.answer = BallotAnswer::Promise { accepted: None, lease_ms, failover_ms_ago: None };
        Some(said.into())
    }

    /// The answer, unless it is a refusal.
    fn answer(&mut self, question: &Fact, scope: &Scope) -> Option<Fact> {
        match question {
            Fact::Candidacy(m) => self.vote(m, scope),
            Fact::Proposal(m) => {
                let said = self.acceptor.proposal(m, self.now).answer;
                assert!(said.answer != ProposalAnswer::Lapsed, "a promise lapses");
                (said.answer == ProposalAnswer::Accepted).then(|| said.into())
            }
            Fact::Beat(m) => {
                let said = self.acceptor.beat(m, self.now);
                assert!(said.granted || self.promised() > code(&m.ballot), "a promise lapses");
                said.granted.then(|| said.into())
            }
            _ => None,
        }
    }
}

impl Process for Voter {
    type Input = VoterInput;

    fn heard(input: &VoterInput) -> Option<Heard> {
        match input {
            VoterInput::Hear(heard) => Some(*heard),
            VoterInput::Crash | VoterInput::Tick | VoterInput::Rest => None,
        }
    }

    fn step(
        &mut self,
        input: VoterInput,
        heard: &[&Fact],
        scope: &Scope,
        out: &mut Outcome,
    ) -> bool {
        match input {
            VoterInput::Hear(_) => {
                let said = heard.iter().filter_map(|fact| self.answer(fact, scope));
                out.said.extend(said);
            }
            VoterInput::Crash if scope.bug == Some(Bug::LeaseForgotten) => {
                self.restore(self.now - LEASE);
            }
            VoterInput::Crash => self.restore(self.now),
            VoterInput::Rest => self.restore(self.now - LEASE),
            VoterInput::Tick => self.now = self.now + TICK,
        }
        true
    }

    /// Nobody stands for a takeover and no promise lapses, so of what is past only that it is past
    /// matters. (Of the states that are one by that, the first is gone on from; its promises might
    /// lapse, but then `answer` would have panicked.)
    fn key(&self) -> u128 {
        digest(&self.acceptor, self.now, Horizon { past: Duration::ZERO, future: LEASE })
    }
}
