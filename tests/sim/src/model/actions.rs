//! What can happen in a state of the whole.

use super::bug::Bug;
use super::records::code;
use super::scope::Scope;
use super::table::Heard;
use super::voter::{self, Voter};
use super::world::{Action, State, System, Tables};
use super::{leader, names, operator, relevance};
use std::collections::BTreeMap;
use vedette_model::Fact;

impl System {
    pub(super) fn voter_actions(
        &self,
        actions: &mut Vec<Action>,
        state: &State,
        tables: &mut Tables,
    ) {
        use voter::Input as V;
        for (v, id) in state.voters.iter().enumerate() {
            let voter = tables.voters.value(*id);
            for fact in &state.bus {
                if self.may_hear(tables.facts.fact(*fact), voter) {
                    actions.push(Action::Voter(v, V::Hear(Heard::these(&[*fact]))));
                }
            }
            if voter.is_syncing() {
                actions.push(Action::Voter(v, V::Sync));
                if state.crashes < self.scope.voter_crashes {
                    actions.push(Action::Voter(v, V::Crash));
                }
            }
            if v == Scope::FORGETS && voter.memory().is_some() && state.losses < self.scope.losses {
                actions.push(Action::Voter(v, V::LoseFile));
            }
            let impatient = self.scope.bug == Some(Bug::RejoinAtOnce);
            if voter.joins().is_some_and(|(_, waited)| !waited)
                && (state.awaits[v] == 0 || impatient)
            {
                actions.push(Action::Voter(v, V::Waited));
            }
        }
        for (asker, id) in state.voters.iter().enumerate() {
            let asks = tables.voters.value(*id).asks().to_vec();
            for ask in asks {
                let ask = tables.facts.number(ask);
                let others = state.voters.iter().enumerate();
                let others = others.filter(|(_, id)| tables.voters.value(**id).memory().is_some());
                actions.extend(others.map(|(other, _)| Action::Ask { asker, other, ask }));
            }
        }
    }

    fn may_hear(&self, fact: &Fact, voter: &Voter) -> bool {
        let joins = voter.joins().is_some();
        match fact {
            Fact::RecordCommitted(_) => !joins && self.scope.commits_heard,
            Fact::Candidacy(_) | Fact::Proposal(_) | Fact::RosterBallot(_) => !joins,
            Fact::Heartbeat(_) => true,
            _ => false,
        }
    }

    pub(super) fn leader_actions(&self, actions: &mut Vec<Action>, state: &State, tables: &Tables) {
        use leader::Input as L;
        let known = newest(state, tables);
        for (o, id) in state.leaders.iter().enumerate() {
            let leader = tables.leaders.value(*id);
            let mut push = |input| actions.push(Action::Leader(o, input));
            let known = known.filter(|_| self.stands_by_record());
            let heard = known.map_or(Heard::these(&[]), |(_, fact)| Heard::these(&[fact]));
            let (may, may_reborn) = leader.may_stand();
            for aim in self.scope.aims.iter().filter(|_| may) {
                for reborn in [false, true].into_iter().filter(|r| !r || may_reborn) {
                    let own = if reborn { 0 } else { leader.highest() };
                    for number in numbers(own, state, tables) {
                        push(L::Stand { aim: *aim, number, reborn, known: heard });
                    }
                }
            }
            let answers =
                |fact: &Fact| relevance::answers(leader, fact).map(|v| names::voter_index(&v));
            let majority = leader.roster().majority().get();
            let mut sets = majorities(state, tables, majority, answers);
            // What leaders do does not depend on who accepted.
            if leader.leads() {
                sets.truncate(1);
            }
            sets.into_iter().for_each(|set| push(L::Hear(set)));
            for fact in &state.bus {
                if matches!(tables.facts.fact(*fact), Fact::Heartbeat(_)) {
                    push(L::Hear(Heard::these(&[*fact])));
                }
            }
            if state.awaits.iter().any(|awaits| awaits >> o & 1 == 1) {
                push(L::GiveUp);
            }
            let others = [
                L::Write { next: true },
                L::Write { next: false },
                L::Walk,
                L::Survey,
                L::Promoted { worked: true },
                L::Promoted { worked: false },
                L::Repaired,
            ];
            others.into_iter().for_each(push);
        }
    }

    pub(super) fn operator_actions(
        &self,
        actions: &mut Vec<Action>,
        state: &State,
        tables: &Tables,
    ) {
        use operator::Input as C;
        for (c, id) in state.operators.iter().enumerate() {
            let operator = tables.operators.value(*id);
            let mut push = |input| actions.push(Action::Operator(c, input));
            let begins = if self.scope.at_once || c == 0 {
                Some(Heard::these(&[]))
            } else {
                let told = |fact: &&u32| match tables.facts.fact(**fact) {
                    Fact::Heartbeat(beat) => {
                        beat.roster.as_ref().is_some_and(|r| r.version.0 == c as u64 + 1)
                    }
                    _ => false,
                };
                state.bus.iter().find(told).map(|fact| Heard::these(&[*fact]))
            };
            if let Some(heard) = begins {
                push(C::Begin(heard));
            }
            push(C::Again);
            let answers = |fact: &Fact| operator.answers(fact).map(|v| names::voter_index(&v));
            let sets = majorities(state, tables, operator.majority(), answers);
            sets.into_iter().for_each(|set| push(C::Hear(set)));
            for fact in &state.bus {
                if operator.is_told(tables.facts.fact(*fact)) {
                    push(C::Hear(Heard::these(&[*fact])));
                }
            }
        }
    }
}

/// The newest committed record on the bus.
pub(super) fn newest(state: &State, tables: &Tables) -> Option<(u64, u32)> {
    let revision = |fact: &u32| match tables.facts.fact(*fact) {
        Fact::RecordCommitted(committed) => Some((committed.record.revision.0, *fact)),
        _ => None,
    };
    state.bus.iter().filter_map(revision).max()
}

/// The numbers that a candidate may use next: any above its own last, up to one more than any that
/// it can have heard of.
fn numbers(own: u8, state: &State, tables: &Tables) -> std::ops::RangeInclusive<u8> {
    let promised = |v: &u32| {
        let memory = tables.voters.value(*v).memory();
        memory.and_then(|disk| disk.stored.promised.as_ref()).map_or(0, code) >> 3
    };
    let asked = |o: &u32| tables.leaders.value(*o).ballot() >> 3;
    let promised = state.voters.iter().map(promised).max().unwrap_or(0);
    let asked = state.leaders.iter().map(asked).max().unwrap_or(0);
    own + 1..=own.max(promised).max(asked) + 1
}

/// The sets of answers that come from so many voters, one answer of each.
fn majorities(
    state: &State,
    tables: &Tables,
    size: usize,
    answers: impl Fn(&Fact) -> Option<usize>,
) -> Vec<Heard> {
    let mut by: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for fact in &state.bus {
        if let Some(voter) = answers(tables.facts.fact(*fact)) {
            by.entry(voter).or_default().push(*fact);
        }
    }
    let mut sets = vec![Vec::new()];
    for facts in by.into_values() {
        let with = sets.iter().flat_map(|set: &Vec<u32>| {
            facts.iter().map(|fact| set.iter().copied().chain([*fact]).collect())
        });
        let with: Vec<Vec<u32>> = with.collect();
        sets.extend(with);
    }
    sets.retain(|set| set.len() == size);
    sets.iter().map(|set| Heard::these(set)).collect()
}
