//! The whole: voters, orchestrators, changes of the roster, and what was said.

use super::actions::newest;
use super::bug::Bug;
use super::ghost::{Fault, Ghost};
use super::leader::{self, Leader};
use super::names;
use super::operator::{self, Operator};
use super::records::{Words, code, written};
use super::relevance::{self, Present};
use super::scope::{Aim, Scope};
use super::table::{Event, Facts, Heard, Kind, RENAMINGS, Step};
use super::voter::{self, Disk, Voter};
use stateright::{Model, Property};
use std::sync::{Mutex, MutexGuard, PoisonError};
use vedette_model::{BallotNumber, RecordCommitted, RosterVersion};
use vedette_protocol::roster::Meta;
use vedette_protocol::voter::Stored;

/// A state of the whole. Numbers stand for states of processes and for messages.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    pub(super) voters: Vec<u32>,
    pub(super) leaders: [u32; 2],
    pub(super) operators: Vec<u32>,
    /// What was said and may still matter, ordered. It may be heard at any time, any number of
    /// times, by anybody, or never.
    pub(super) bus: Vec<u32>,
    ghost: Ghost,
    pub(super) crashes: u8,
    pub(super) losses: u8,
    /// For each voter without memory, candidacies that were under way when it lost it: one bit for
    /// each orchestrator, then for each change of the roster. It waits until they are over.
    pub(super) awaits: Vec<u8>,
}

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// To a voter.
    Voter(usize, voter::Input),
    /// To an orchestrator.
    Leader(usize, leader::Input),
    /// To a change of the roster.
    Operator(usize, operator::Input),
    /// A voter without memory asks this, the other voter answers, and it hears the answer. Questions
    /// and answers that come later or again are as good as none: the asker does nothing else.
    Ask {
        /// The one without memory.
        asker: usize,
        /// The other one.
        other: usize,
        /// The question.
        ask: u32,
    },
}

/// All processes and messages so far.
#[derive(Debug, Default)]
pub struct Tables {
    /// Messages.
    pub facts: Facts,
    pub(super) voters: Kind<Voter>,
    pub(super) leaders: Kind<Leader>,
    pub(super) operators: Kind<Operator>,
}

/// The model within a scope.
#[derive(Debug)]
pub struct System {
    /// The bounds.
    pub scope: Scope,
    tables: Mutex<Tables>,
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
        let words = |heard: Heard| {
            let words: Vec<_> =
                heard.iter().map(|f| Words(tables.facts.fact(f)).to_string()).collect();
            words.join("; ")
        };
        match action {
            Action::Voter(v, voter::Input::Hear(heard)) => {
                format!("v{} hears: {}", v + 1, words(heard))
            }
            Action::Voter(v, input) => format!("v{}: {input:?}", v + 1),
            Action::Leader(o, leader::Input::Hear(heard)) => {
                format!("o{} hears: {}", o + 1, words(heard))
            }
            Action::Leader(o, leader::Input::Stand { aim, number, reborn, .. }) => {
                let reborn = if reborn { "is restarted and " } else { "" };
                format!("o{} {reborn}stands for {aim:?} with number {number}", o + 1)
            }
            Action::Leader(o, input) => format!("o{}: {input:?}", o + 1),
            Action::Ask { asker, other, ask } => {
                let ask = Words(tables.facts.fact(ask));
                format!("{ask}; v{} answers, v{} hears it", other + 1, asker + 1)
            }
            Action::Operator(c, operator::Input::Hear(heard)) => {
                format!("change {} hears: {}", c + 1, words(heard))
            }
            Action::Operator(c, input) => format!("change {}: {input:?}", c + 1),
        }
    }

    /// What happens to the whole when a process takes a step.
    fn apply(&self, next: &mut State, who: usize, step: &Step) {
        for event in &step.events {
            next.ghost.happened(who, *event);
            self.note(next, who, *event);
        }
        for fact in &step.said {
            if let Err(place) = next.bus.binary_search(fact) {
                next.bus.insert(place, *fact);
            }
        }
    }

    /// Keeps in mind what a voter may have decided that forgets it.
    fn note(&self, next: &mut State, who: usize, event: Event) {
        let forgets = self.scope.losses > 0;
        match event {
            Event::Elected { ballot, voters, .. } if forgets => {
                for (v, bound) in next.ghost.bound.iter_mut().enumerate() {
                    if voters >> v & 1 == 1 && v == Scope::FORGETS {
                        *bound = ballot.max(*bound);
                    }
                }
            }
            Event::Promised { ballot } if !forgets => {
                next.ghost.bound[who] = ballot.max(next.ghost.bound[who]);
            }
            Event::Accepted(what) if !forgets || who == Scope::FORGETS => {
                next.ghost.bound[who] = what.ballot.max(next.ghost.bound[who]);
            }
            _ => {}
        }
    }

    fn voter(&self, state: &State, v: usize, input: voter::Input) -> Option<State> {
        let mut tables = self.tables();
        let Tables { facts, voters, .. } = &mut *tables;
        let step = voters.step(state.voters[v], input, facts, &self.scope)?.clone();
        let mut next = state.clone();
        next.voters[v] = step.next;
        match input {
            voter::Input::Crash => next.crashes += 1,
            voter::Input::LoseFile => {
                next.losses += 1;
                next.awaits[v] = under_way(state, &tables);
            }
            voter::Input::Hear(_) | voter::Input::Sync | voter::Input::Waited => {}
        }
        // A voter's word counts from when it is given, and what it remembers of that itself is not
        // noted twice.
        let remembers = |id: u32| {
            let disk = tables.voters.value(id).disk();
            disk.and_then(|disk| disk.stored.promised.as_ref()).map_or(0, code)
        };
        let words_count = self.scope.losses == 0;
        if words_count {
            next.ghost.bound[v] = next.ghost.bound[v].max(remembers(state.voters[v]));
        }
        self.apply(&mut next, v, &step);
        if words_count && next.ghost.bound[v] <= remembers(next.voters[v]) {
            next.ghost.bound[v] = 0;
        }
        self.finish(state, next, &mut tables)
    }

    fn ask(&self, state: &State, asker: usize, other: usize, ask: u32) -> Option<State> {
        let mut tables = self.tables();
        let Tables { facts, voters, .. } = &mut *tables;
        let question = voter::Input::Hear(Heard::these(&[ask]));
        let asked = voters.step(state.voters[other], question, facts, &self.scope)?.clone();
        let mut next = state.clone();
        next.voters[other] = asked.next;
        for answer in &asked.said {
            let answer = voter::Input::Hear(Heard::these(&[*answer]));
            let heard = voters.step(next.voters[asker], answer, facts, &self.scope)?.clone();
            next.voters[asker] = heard.next;
        }
        self.finish(state, next, &mut tables)
    }

    fn leader(&self, state: &State, o: usize, input: leader::Input) -> Option<State> {
        let mut tables = self.tables();
        let Tables { facts, leaders, .. } = &mut *tables;
        let step = leaders.step(state.leaders[o], input, facts, &self.scope)?.clone();
        let mut next = state.clone();
        next.leaders[o] = step.next;
        let stood_anew = matches!(input, leader::Input::Stand { .. });
        if stood_anew || tables.leaders.value(step.next).standing().is_none() {
            for awaits in &mut next.awaits {
                *awaits &= !(1 << o);
            }
        }
        self.apply(&mut next, o, &step);
        self.finish(state, next, &mut tables)
    }

    fn operator(&self, state: &State, c: usize, input: operator::Input) -> Option<State> {
        let mut tables = self.tables();
        let Tables { facts, operators, .. } = &mut *tables;
        let step = operators.step(state.operators[c], input, facts, &self.scope)?.clone();
        let mut next = state.clone();
        next.operators[c] = step.next;
        if input == operator::Input::Again || !tables.operators.value(step.next).prepares() {
            for awaits in &mut next.awaits {
                *awaits &= !(4 << c);
            }
        }
        self.apply(&mut next, c, &step);
        self.finish(state, next, &mut tables)
    }

    fn present<'a>(&self, state: &State, tables: &'a Tables) -> Present<'a> {
        Present {
            voters: state.voters.iter().map(|v| tables.voters.value(*v)).collect(),
            leaders: state.leaders.map(|o| tables.leaders.value(o)),
            operators: state.operators.iter().map(|c| tables.operators.value(*c)).collect(),
            losses: state.losses < self.scope.losses,
            records_known: self.stands_by_record(),
        }
    }

    /// Whether orchestrators stand because of a record that they heard of.
    pub(super) fn stands_by_record(&self) -> bool {
        let by_record = self.scope.aims.iter().any(|aim| *aim != Aim::Configure);
        by_record || self.scope.bug == Some(Bug::AdoptOwnMemory)
    }

    /// Leaves out what can have no effect any more; none if nothing has changed at all.
    fn finish(&self, before: &State, mut next: State, tables: &mut Tables) -> Option<State> {
        let present = self.present(&next, tables);
        next.ghost.check(|version, mark| present.lacking(RosterVersion(version), mark));
        if self.scope.bug.is_none() {
            self.rest(&mut next, tables);
            let present = self.present(&next, tables);
            let newest = newest(&next, tables).map_or(0, |(revision, _)| revision);
            next.bus.retain(|fact| present.matters(tables.facts.fact(*fact), newest));
            next.ghost.forget(|ballot| present.open(ballot));
        }
        (next != *before).then(|| self.canonical(next, tables))
    }

    /// Where voters are told apart by nothing but their names, the least of the states that differ
    /// in those only stands for all.
    fn canonical(&self, state: State, tables: &mut Tables) -> State {
        if !self.scope.is_symmetric() {
            return state;
        }
        let mut least = state.clone();
        for (which, renaming) in RENAMINGS.iter().enumerate() {
            let mut voters = state.voters.clone();
            for (v, id) in state.voters.iter().enumerate() {
                voters[renaming[v]] =
                    tables.voters.renamed(*id, which, |voter| voter.renamed(renaming));
            }
            if voters > least.voters {
                continue;
            }
            let mut bus: Vec<_> =
                state.bus.iter().map(|fact| tables.facts.renamed(*fact, which)).collect();
            bus.sort_unstable();
            let ghost = state.ghost.renamed(renaming);
            least = least.min(State { voters, bus, ghost, ..state.clone() });
        }
        least
    }

    /// Leaders that can bring about nothing more are all alike.
    fn rest(&self, state: &mut State, tables: &mut Tables) {
        for o in 0..state.leaders.len() {
            let present = self.present(state, tables);
            let leader = tables.leaders.value(state.leaders[o]);
            let open = present.open(leader.ballot());
            let said: u8 = state
                .bus
                .iter()
                .filter_map(|fact| relevance::answers(leader, tables.facts.fact(*fact)))
                .fold(0, |said, voter| said | 1 << names::voter_index(&voter));
            let possible = (open | said).count_ones() as usize >= leader.roster().majority().get();
            let waits = leader.standing().is_some() || leader.proposing().is_some();
            let over = if waits { !possible } else { leader.only_writes() && open == 0 };
            if leader.is_at_rest() || over {
                let Tables { facts, leaders, .. } = tables;
                let step =
                    leaders.step(state.leaders[o], leader::Input::GiveUp, facts, &self.scope);
                state.leaders[o] = step.map_or(state.leaders[o], |step| step.next);
            }
        }
    }
}

fn under_way(state: &State, tables: &Tables) -> u8 {
    let standing =
        |(o, id): (usize, &u32)| u8::from(tables.leaders.value(*id).standing().is_some()) << o;
    let preparing =
        |(c, id): (usize, &u32)| u8::from(tables.operators.value(*id).prepares()) << (2 + c);
    let leaders: u8 = state.leaders.iter().enumerate().map(standing).sum();
    let operators: u8 = state.operators.iter().enumerate().map(preparing).sum();
    leaders | operators
}

impl Model for System {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut tables = self.tables();
        let scope = &self.scope;
        let (group, record) = (names::group(), names::first());
        let ballot = BallotNumber { number: 0, proposer: names::orchestrator(0), incarnation: 1 };
        let committed = RecordCommitted { ballot: ballot.clone(), record: record.clone() };
        let first = written(&ballot, &record);
        let stored = Stored {
            group,
            promised: Some(ballot.clone()),
            accepted: Some((ballot, record)),
            committed: Some(committed.clone()),
        };
        let disk = Disk { meta: Meta::first(scope.roster.clone()), stored };
        let second = scope.second();
        let voter = |v| {
            if let Some(second) = second.as_ref().filter(|_| v > 1) {
                let mut disk = disk.clone();
                disk.meta.adopt(second);
                Voter::new(v, scope.roster.clone(), disk)
            } else if scope.roster.contains(&names::voter(v)) {
                Voter::new(v, scope.roster.clone(), disk.clone())
            } else {
                Voter::blank(v, 1, scope.roster.clone())
            }
        };
        let voters = (0..scope.voters).map(|v| tables.voters.number(voter(v))).collect();
        let leaders = [0, 1].map(|o| tables.leaders.number(Leader::new(o, scope)));
        let operators = 0..scope.changes_of_roster.len();
        let operators =
            operators.map(|c| tables.operators.number(Operator::new(c, scope))).collect();
        let mut ghost = Ghost::new(scope.voters, names::bits(&scope.roster), first);
        let mut bus = vec![tables.facts.number(committed.into())];
        if let Some(second) = second {
            ghost.decided(names::bits(&second));
            bus.push(tables.facts.number(voter::uses(second)));
        }
        vec![State {
            voters,
            leaders,
            operators,
            bus,
            ghost,
            crashes: 0,
            losses: 0,
            awaits: vec![0; scope.voters],
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        // What went wrong is found; what comes of it is of no interest.
        if state.ghost.fault.is_none() {
            let mut tables = self.tables();
            self.voter_actions(actions, state, &mut tables);
            self.leader_actions(actions, state, &tables);
            self.operator_actions(actions, state, &tables);
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        match action {
            Action::Voter(v, input) => self.voter(state, v, input),
            Action::Leader(o, input) => self.leader(state, o, input),
            Action::Operator(c, input) => self.operator(state, c, input),
            Action::Ask { asker, other, ask } => self.ask(state, asker, other, ask),
        }
    }

    fn properties(&self) -> Vec<Property<Self>> {
        const fn fault(state: &State, fault: Fault) -> bool {
            matches!(state.ghost.fault, Some(f) if f as u8 == fault as u8)
        }
        let mut properties = vec![
            Property::always("what was chosen is never lost", |_, s: &State| {
                !fault(s, Fault::Lost)
            }),
            Property::always("a ballot has one record for a revision", |_, s: &State| {
                !fault(s, Fault::TwoUnderOneBallot)
            }),
            Property::always("what a leader takes for committed is chosen", |_, s: &State| {
                !fault(s, Fault::NotChosen)
            }),
            Property::always("a leader starts from what was chosen", |_, s: &State| {
                !fault(s, Fault::StartsTooEarly)
            }),
            Property::always("every majority holds what was chosen", |_, s: &State| {
                !fault(s, Fault::Forgotten)
            }),
            Property::always("epochs never fall", |_, s: &State| !fault(s, Fault::EpochFell)),
            Property::always("an epoch promotes one node at most", |_, s: &State| {
                !fault(s, Fault::TwoInOneEpoch)
            }),
            Property::always("a voter keeps its word", |_, s: &State| !fault(s, Fault::WordBroken)),
            Property::always("a version is one roster, and decided", |_, s: &State| {
                !fault(s, Fault::TwoRosters)
            }),
        ];
        if self.scope.stands.iter().any(|stands| *stands > 0) {
            let more = |_: &Self, s: &State| s.ghost.revision() > 1;
            properties.push(Property::sometimes("a record is committed", more));
        }
        if self.scope.stands.iter().all(|stands| *stands > 0) {
            let both = |m: &Self, s: &State| {
                let tables = m.tables();
                s.leaders.iter().all(|o| tables.leaders.value(*o).leads())
            };
            properties.push(Property::sometimes("both orchestrators think they lead", both));
        }
        properties
    }
}
