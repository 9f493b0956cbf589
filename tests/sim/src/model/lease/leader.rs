//! An orchestrator by the clock: the real proposer.

use super::super::bug::Bug;
use super::super::names;
use super::super::scope::Scope;
use super::super::table::{Heard, Outcome, Process};
use super::digest::{Horizon, digest};
use super::{TICK, start};
use std::time::Duration;
use vedette_model::{BallotNumber, Fact, Instant, Purpose, Revision};
use vedette_protocol::register::{CANDIDACY_LIMIT, LEASE, Proposer, ProposerOutput};

/// Code of the ballot that `o1` holds at the beginning.
pub const FIRST: u8 = 1 << 3;

/// Whether `o2` asks.
pub fn is_second(ballot: &BallotNumber) -> bool {
    ballot.proposer == names::orchestrator(1)
}

/// One orchestrator.
#[derive(Debug, Clone)]
pub struct Leader {
    index: u8,
    proposer: Proposer,
    now: Instant,
    /// Candidacies left.
    stands: u8,
    tenure: Option<Tenure>,
    /// The ballot that it asked for last.
    asked: Option<BallotNumber>,
}

/// What an orchestrator that was elected goes by.
#[derive(Debug, Clone, Hash)]
struct Tenure {
    act_after: Instant,
    /// A bug counts the lease from here.
    lease_from: Option<Instant>,
    /// When it asked last for what gives a lease.
    asked: Option<Instant>,
    /// Beats left.
    beats: u8,
    /// Records left.
    writes: u8,
}

/// What can happen to an orchestrator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LeaderInput {
    /// An answer arrives.
    Hear(Heard),
    /// It asks for a ballot of this number, or a higher one if it has had that.
    Stand(u8),
    /// A beat is due.
    Beat,
    /// It writes a record.
    Write,
    /// Time passes.
    Tick,
    /// It lets go of its ballot.
    Retire,
}

impl Leader {
    /// An orchestrator at its start.
    pub fn new(index: u8, scope: &Scope) -> Self {
        let roster = scope.roster.clone();
        Self {
            index,
            proposer: Proposer::new(names::orchestrator(index), 1, names::group(), roster),
            now: start(),
            stands: scope.stands[usize::from(index)],
            tenure: None,
            asked: None,
        }
    }

    /// Whether it may send commands that change nodes at this moment.
    pub fn may_act(&self, scope: &Scope) -> bool {
        let Some(Tenure { act_after, lease_from, .. }) = &self.tenure else { return false };
        let longer = if scope.bug == Some(Bug::LeaseTooLong) { TICK } else { Duration::ZERO };
        let end = self.proposer.lease_end().map(|end| end + longer);
        let end = end.max(lease_from.map(|from| from + LEASE));
        self.now >= *act_after && end.is_some_and(|end| self.now < end)
    }

    /// Whether it leads and can act no more, whatever it hears: it has nothing left to ask, and what
    /// it asked was too long ago to give a lease.
    pub fn is_spent(&self, scope: &Scope) -> bool {
        self.tenure.as_ref().is_some_and(|tenure| {
            let over = tenure.asked.is_none_or(|at| self.now >= at + LEASE);
            over && tenure.beats == 0 && tenure.writes == 0 && !self.may_act(scope)
        })
    }

    /// Whether it will not be elected again.
    pub fn stands_no_more(&self) -> bool {
        self.stands == 0 && (self.tenure.is_some() || self.proposer.is_idle())
    }

    /// Whether it waits for such an answer, or for an answer to such a question.
    pub fn waits_for(&self, fact: &Fact) -> bool {
        let of_vote = matches!(fact, Fact::Candidacy(_) | Fact::Ballot(_));
        !self.proposer.is_idle()
            && self.asked.as_ref() == super::ballot(fact)
            && of_vote == self.tenure.is_none()
    }

    fn settle(&mut self, scope: &Scope, out: &mut Outcome) {
        while let Some(output) = self.proposer.poll_output() {
            match output {
                ProposerOutput::Prepare(m) => {
                    self.asked = Some(m.ballot.clone());
                    out.said.push(m.into())
                }
                ProposerOutput::Accept(m) => out.said.push(m.into()),
                ProposerOutput::Beat(m) => out.said.push(m.into()),
                ProposerOutput::Elected { act_after, .. } => {
                    let at_once = scope.bug == Some(Bug::ActAtOnce);
                    let from_promise = scope.bug == Some(Bug::LeaseFromPromise);
                    if self.now < act_after {
                        out.seen.push(super::WAITS);
                    }
                    self.tenure = Some(Tenure {
                        act_after: if at_once { self.now } else { act_after },
                        lease_from: from_promise.then_some(self.now),
                        asked: None,
                        beats: scope.beats,
                        writes: scope.changes,
                    });
                }
                ProposerOutput::Lost(why) => assert!(self.tenure.is_none(), "{why:?}"),
                ProposerOutput::Committed(_) => {}
            }
        }
    }

    fn stand(&mut self, number: u8) -> bool {
        if self.stands == 0 {
            return false;
        }
        self.stands -= 1;
        self.tenure = None;
        self.proposer.heard_of(&BallotNumber {
            number: u64::from(number) - 1,
            proposer: names::orchestrator(self.index),
            incarnation: 1,
        });
        self.proposer.stand(Purpose::Configure, self.now);
        true
    }

    /// Records are all alike but for the revision; there is one under each ballot.
    fn write(&mut self) -> bool {
        let Some(tenure) = self.tenure.as_mut().filter(|t| t.writes > 0) else { return false };
        let Some(ballot) = self.proposer.ballot() else { return false };
        tenure.writes -= 1;
        tenure.asked = Some(self.now);
        let mut record = names::first();
        record.revision = Revision(record.revision.0 + ballot.number);
        self.proposer.propose(record, self.now);
        true
    }

    fn beat(&mut self) -> bool {
        let due = self.proposer.poll_timeout().is_some_and(|due| due <= self.now);
        let Some(tenure) = self.tenure.as_mut().filter(|t| due && t.beats > 0) else {
            return false;
        };
        tenure.beats -= 1;
        tenure.asked = Some(self.now);
        self.proposer.handle_timeout(self.now);
        true
    }

    fn hear(&mut self, answer: &Fact) {
        match answer {
            Fact::Ballot(m) => self.proposer.ballot_answer(m.clone(), self.now),
            Fact::ProposalReply(m) => self.proposer.proposal_answer(m.clone(), self.now),
            Fact::BeatReply(m) => self.proposer.beat_answer(m.clone()),
            _ => {}
        }
    }
}

impl Process for Leader {
    type Input = LeaderInput;

    fn heard(input: &LeaderInput) -> Option<Heard> {
        match input {
            LeaderInput::Hear(heard) => Some(*heard),
            LeaderInput::Stand(_)
            | LeaderInput::Beat
            | LeaderInput::Write
            | LeaderInput::Tick
            | LeaderInput::Retire => None,
        }
    }

    fn step(
        &mut self,
        input: LeaderInput,
        heard: &[&Fact],
        scope: &Scope,
        out: &mut Outcome,
    ) -> bool {
        let happens = match input {
            LeaderInput::Hear(_) => {
                heard.iter().for_each(|answer| self.hear(answer));
                true
            }
            LeaderInput::Stand(number) => self.stand(number),
            LeaderInput::Beat => self.beat(),
            LeaderInput::Write => self.write(),
            LeaderInput::Tick => {
                let waited = self.tenure.is_some() && !self.may_act(scope);
                self.now = self.now + TICK;
                if waited && self.may_act(scope) {
                    out.seen.push(super::WAITED);
                }
                // A candidacy is over at its limit; until then it is asked for again.
                if self.tenure.is_none() {
                    self.proposer.handle_timeout(self.now);
                }
                true
            }
            LeaderInput::Retire => {
                self.tenure = None;
                self.proposer.resign();
                true
            }
        };
        if happens {
            self.settle(scope, out);
        }
        happens
    }

    /// What was asked longer ago than a lease gives none; who leads nothing has only time to come.
    fn key(&self) -> u128 {
        let Self { index, proposer, now, stands, tenure, .. } = self;
        let past = if tenure.is_some() { LEASE } else { Duration::ZERO };
        let horizon = Horizon { past, future: CANDIDACY_LIMIT };
        digest(&(index, proposer, stands, tenure), *now, horizon)
    }
}
