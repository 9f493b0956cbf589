//! Leases: the same register by the clock.
//!
//! ```text
//!  o1 leads from the beginning ─┐  candidacies,  ┌─► voters (the real Acceptor)
//!  o2 may stand                ─┴─ proposals,   ─┘   may be restarted
//!  (both the real Proposer)        beats
//! ```
//!
//! All clocks are one; it goes on in steps of 100 ms, for ever. A question is heard by any voter at any
//! time, any number of times, or never. So is its answer where [`Scope::slow_answers`] says so;
//! elsewhere it is heard at once, since late or lost it gives a lease that ends no later, or a wait
//! that ends no earlier. Refusals are lost, and so are candidacies that are over: they could only
//! take voters from the other. Once nobody stands any more, nobody asks voters for leases.

mod digest;
mod leader;
mod voter;

use self::leader::{Leader, LeaderInput};
use self::voter::{Voter, VoterInput};
use super::records::{Words, code};
use super::scope::Scope;
use super::table::{Facts, Heard, Kind};
use stateright::{Model, Property};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use vedette_model::{BallotNumber, Fact, Instant};

/// The step of the clock; every limit of the register is a multiple of it.
const TICK: Duration = Duration::from_millis(100);

/// Longer than any limit of the register.
const LONG: Duration = Duration::from_secs(9);

/// Worth reaching.
pub const WAITS: &str = "a new leader waits for the old lease";
pub const WAITED: &str = "a leader that waited sends commands";

/// When it begins.
fn start() -> Instant {
    Instant::from_nanos(digest::ORIGIN) + LONG
}

/// A state of the whole, by numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    voters: [u32; 3],
    leaders: [u32; 2],
    /// Messages that may still matter, ordered.
    said: Vec<u32>,
    crashes: u8,
    /// Which orchestrators may send commands now.
    acts: [bool; 2],
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Time passes, for all.
    Tick,
    /// A voter hears a question, and answers it.
    Ask {
        /// The voter.
        voter: usize,
        /// The question.
        question: u32,
    },
    /// Whoever asked hears an answer.
    Answer(u32),
    /// A voter is restarted.
    Crash(usize),
    /// To an orchestrator.
    Leader(usize, LeaderInput),
}

/// All processes and messages so far.
#[derive(Debug, Default)]
pub struct Tables {
    /// Messages.
    pub facts: Facts,
    voters: Kind<Voter>,
    leaders: Kind<Leader>,
}

/// The model within a scope.
#[derive(Debug)]
pub struct System {
    /// The bounds.
    pub scope: Scope,
    tables: Mutex<Tables>,
}

impl State {
    fn say(&mut self, fact: u32) {
        if let Err(place) = self.said.binary_search(&fact) {
            self.said.insert(place, fact);
        }
    }
}

/// Whether voters hear it, and not orchestrators.
fn is_question(fact: &Fact) -> bool {
    matches!(fact, Fact::Candidacy(_) | Fact::Proposal(_) | Fact::Beat(_))
}

/// The ballot that a question is asked under or an answer is about.
fn ballot(fact: &Fact) -> Option<&BallotNumber> {
    match fact {
        Fact::Candidacy(m) => Some(&m.ballot),
        Fact::Proposal(m) => Some(&m.ballot),
        Fact::Beat(m) => Some(&m.ballot),
        Fact::Ballot(m) => Some(&m.ballot),
        Fact::ProposalReply(m) => Some(&m.ballot),
        Fact::BeatReply(m) => Some(&m.ballot),
        _ => None,
    }
}

impl System {
    /// The model within these bounds.
    pub fn new(scope: Scope) -> Self {
        Self { scope, tables: Mutex::default() }
    }

    /// Everything computed so far.
    pub fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an action is, in words.
    pub fn describe(&self, action: Action) -> String {
        let tables = self.tables();
        match action {
            Action::Tick => format!("{} ms pass", TICK.as_millis()),
            Action::Ask { voter, question } => {
                format!("v{} hears: {}", voter + 1, Words(tables.facts.fact(question)))
            }
            Action::Answer(answer) => {
                format!("it is heard that {}", Words(tables.facts.fact(answer)))
            }
            Action::Crash(voter) => format!("v{} is restarted", voter + 1),
            Action::Leader(o, input) => format!("o{}: {input:?}", o + 1),
        }
    }

    fn lead(&self, next: &mut State, o: usize, input: LeaderInput, tables: &mut Tables) -> bool {
        let Tables { facts, leaders, .. } = tables;
        let Some(step) = leaders.step(next.leaders[o], input, facts, &self.scope) else {
            return false;
        };
        next.leaders[o] = step.next;
        step.said.iter().for_each(|fact| next.say(*fact));
        true
    }

    fn vote(&self, next: &mut State, v: usize, input: VoterInput, tables: &mut Tables) -> Vec<u32> {
        let Tables { facts, voters, .. } = tables;
        let step = voters.step(next.voters[v], input, facts, &self.scope);
        step.map_or_else(Vec::new, |step| {
            next.voters[v] = step.next;
            step.said.clone()
        })
    }

    /// False if the voter refuses.
    fn ask(&self, next: &mut State, voter: usize, question: u32, tables: &mut Tables) -> bool {
        let said = self.vote(next, voter, VoterInput::Hear(Heard::these(&[question])), tables);
        for answer in &said {
            if self.scope.slow_answers {
                next.say(*answer);
            } else {
                self.answer(next, *answer, tables);
            }
        }
        !said.is_empty()
    }

    fn answer(&self, next: &mut State, answer: u32, tables: &mut Tables) -> bool {
        let o2 = ballot(tables.facts.fact(answer)).is_some_and(leader::is_second);
        self.lead(next, usize::from(o2), LeaderInput::Hear(Heard::these(&[answer])), tables)
    }

    fn apply(&self, next: &mut State, action: Action, tables: &mut Tables) -> bool {
        match action {
            Action::Tick => {
                for v in 0..next.voters.len() {
                    self.vote(next, v, VoterInput::Tick, tables);
                }
                (0..next.leaders.len()).all(|o| self.lead(next, o, LeaderInput::Tick, tables))
            }
            Action::Ask { voter, question } => self.ask(next, voter, question, tables),
            Action::Answer(answer) => self.answer(next, answer, tables),
            Action::Crash(voter) => {
                next.crashes += 1;
                self.vote(next, voter, VoterInput::Crash, tables);
                !Self::is_decided(next, tables)
            }
            Action::Leader(o, input) => self.lead(next, o, input, tables),
        }
    }

    /// Whether nobody will be elected any more.
    fn is_decided(state: &State, tables: &Tables) -> bool {
        state.leaders.iter().all(|o| tables.leaders.value(*o).stands_no_more())
    }

    /// Forgets what cannot matter any more.
    fn settle(&self, next: &mut State, tables: &mut Tables) {
        for o in 0..next.leaders.len() {
            if tables.leaders.value(next.leaders[o]).is_spent(&self.scope) {
                self.lead(next, o, LeaderInput::Retire, tables);
            }
        }
        let decided = Self::is_decided(next, tables);
        for v in (0..next.voters.len()).filter(|_| decided) {
            self.vote(next, v, VoterInput::Rest, tables);
        }
        let leaders = next.leaders.map(|o| tables.leaders.value(o));
        let open = next.voters.map(|v| tables.voters.value(v).promised()).into_iter().min();
        next.said.retain(|fact| {
            let fact = tables.facts.fact(*fact);
            let awaited = leaders.iter().any(|leader| leader.waits_for(fact));
            let grants = matches!(fact, Fact::Proposal(_) | Fact::Beat(_)) && !decided;
            (awaited || grants) && (!is_question(fact) || ballot(fact).map(code) >= open)
        });
        next.acts = leaders.map(|leader| leader.may_act(&self.scope));
    }

    /// Voters are told apart by nothing but their names, so they may be named in the order in which
    /// they leave the first ballot: the last one first.
    fn is_named_in_order(state: &State, tables: &Tables) -> bool {
        let left = state.voters.map(|v| tables.voters.value(v).promised() != leader::FIRST);
        left.is_sorted()
    }
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut tables = self.tables();
        let voters = [0, 1, 2].map(|v| tables.voters.number(Voter::new(v)));
        let leaders = [0, 1].map(|o| tables.leaders.number(Leader::new(o, &self.scope)));
        let mut first = State { voters, leaders, said: Vec::new(), crashes: 0, acts: [false; 2] };
        self.lead(&mut first, 0, LeaderInput::Stand(1), &mut tables);
        for question in first.said.clone() {
            for voter in 0..voters.len() {
                let hear = VoterInput::Hear(Heard::these(&[question]));
                for answer in self.vote(&mut first, voter, hear, &mut tables) {
                    self.answer(&mut first, answer, &mut tables);
                }
            }
        }
        first.said.clear();
        vec![first]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.push(Action::Tick);
        let tables = self.tables();
        for fact in state.said.iter().copied() {
            if is_question(tables.facts.fact(fact)) {
                let ask = |voter| Action::Ask { voter, question: fact };
                actions.extend((0..state.voters.len()).map(ask));
            } else {
                actions.push(Action::Answer(fact));
            }
        }
        for voter in 0..state.voters.len() {
            if state.crashes < self.scope.voter_crashes {
                actions.push(Action::Crash(voter));
            }
        }
        // The other's candidacies fall before, between and after those of `o2`.
        let numbers = [2..=2 + self.scope.stands[1], 2..=2];
        for (o, numbers) in numbers.into_iter().enumerate() {
            let inputs = [LeaderInput::Beat, LeaderInput::Write].into_iter();
            let inputs = inputs.chain(numbers.map(LeaderInput::Stand));
            actions.extend(inputs.map(|input| Action::Leader(o, input)));
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut tables = self.tables();
        let mut next = state.clone();
        if !self.apply(&mut next, action, &mut tables) || !Self::is_named_in_order(&next, &tables) {
            return None;
        }
        self.settle(&mut next, &mut tables);
        (next != *state).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("no two leaders may send commands at once", |_, s: &State| {
            s.acts != [true; 2]
        })]
    }
}
