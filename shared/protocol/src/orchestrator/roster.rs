//! Operators' instructions that change the roster: taken, carried out, answered.

use super::Orchestrator;
use crate::roster::change::{self, Change, Wanted};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    Fact, GroupName, Heartbeat, Instant, Instruction, InstructionReply, OrchestratorId, Outcome,
    Roster, RosterAnswer, Verb, VoterId,
};

/// A voter that has not been heard for so long does not count as running.
const VOTER_EXPIRY: Duration = Duration::from_secs(3);
/// Voters remembered.
const VOTERS_KEPT: usize = 256;
/// Askers answered.
const ASKERS: usize = 16;

/// What the roster is called where the orchestrators' order for a group is asked for.
const ROSTER: &str = "roster";

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Output {
    Publish(Fact),
    Reply {
        to: String,
        fact: Fact,
    },
    /// Voters go by this roster.
    Learn(Roster),
}

/// The one change under way, and who waits for it.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    me: OrchestratorId,
    incarnation: u64,
    roster: Roster,
    /// Voters that run: when heard, and the roster of one that has memory.
    voters: BTreeMap<VoterId, (Instant, Option<Roster>)>,
    change: Option<(Change, Instruction, Vec<String>)>,
    /// The highest ballot number of the changes before.
    used: u64,
    outputs: VecDeque<Output>,
}

impl Desk {
    pub(super) const fn new(me: OrchestratorId, incarnation: u64, roster: Roster) -> Self {
        let outputs = VecDeque::new();
        Self { me, incarnation, roster, voters: BTreeMap::new(), change: None, used: 0, outputs }
    }

    /// A voter lives.
    pub(super) fn heard(&mut self, beat: &Heartbeat, now: Instant) {
        let Ok(voter) = VoterId::parse(&beat.id) else { return };
        if self.voters.len() < VOTERS_KEPT || self.voters.contains_key(&voter) {
            self.voters.insert(voter, (now, beat.roster.clone()));
        }
        if let Some(roster) = &beat.roster {
            self.learn(roster);
        }
    }

    fn learn(&mut self, roster: &Roster) {
        if roster.version > self.roster.version {
            self.roster = roster.clone();
            self.outputs.push_back(Output::Learn(roster.clone()));
        }
    }

    /// An operator wants a change.
    pub(super) fn instruct(
        &mut self,
        instruction: Instruction,
        wanted: Wanted,
        reply_to: String,
        now: Instant,
    ) {
        if let Some((change, _, askers)) = &mut self.change {
            if *change.wanted() != wanted {
                let why = "another change of the roster is under way: try again in a moment";
                self.reply(instruction, &[reply_to], Outcome::Refused { why: why.into() });
            } else if askers.len() < ASKERS && !askers.contains(&reply_to) {
                askers.push(reply_to);
            }
            return;
        }
        if let Err(why) = self.check(&wanted, now) {
            self.reply(instruction, &[reply_to], Outcome::Refused { why });
            return;
        }
        let (me, roster) = (self.me.clone(), self.roster.clone());
        let change = Change::new(me, self.incarnation, roster, wanted, self.used, now);
        self.change = Some((change, instruction, [reply_to].into()));
        self.pump();
    }

    /// What would not work, or leave a system that cannot decide anything.
    fn check(&mut self, wanted: &Wanted, now: Instant) -> Result<(), String> {
        self.voters.retain(|_, (at, _)| now.since(*at) < VOTER_EXPIRY);
        let goes = |voter: &&VoterId| {
            self.voters.get(*voter).is_some_and(|(_, by)| by.as_ref() == Some(&self.roster))
        };
        self.enough(&self.roster, goes, "go by it")?;
        match wanted {
            Wanted::Add(voter) if self.roster.contains(voter) => return Ok(()),
            Wanted::Add(voter) if !self.voters.contains_key(voter) => {
                return Err(format!("voter {voter} is not heard: start it first"));
            }
            Wanted::Remove(voter) if self.roster.voters() == [voter.clone()] => {
                return Err(format!("{voter} is the last voter: without one nothing is decided"));
            }
            Wanted::Add(_) | Wanted::Remove(_) => {}
        }
        let Some(next) = wanted.next(&self.roster) else { return Ok(()) };
        let runs =
            |voter: &&VoterId| goes(voter) || matches!(wanted, Wanted::Add(v) if v == *voter);
        self.enough(&next, runs, "would run")
    }

    fn enough(
        &self,
        roster: &Roster,
        counts: impl Fn(&&VoterId) -> bool,
        what: &str,
    ) -> Result<(), String> {
        let count = roster.voters().iter().filter(|voter| counts(voter)).count();
        if roster.majority().reached(count) {
            return Ok(());
        }
        let missing: Vec<_> =
            roster.voters().iter().filter(|v| !counts(v)).map(ToString::to_string).collect();
        Err(format!(
            "of {roster} {} voters are needed and only {count} {what}: start {} first; `vedette \
             status` says how they are",
            roster.majority().get(),
            missing.join(", ")
        ))
    }

    pub(super) fn answer(&mut self, answer: RosterAnswer, now: Instant) {
        if let Some((change, ..)) = &mut self.change {
            change.answer(answer, now);
            self.pump();
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some((change, ..)) = &mut self.change {
            if change.poll_timeout().is_some_and(|at| at <= now) {
                change.handle_timeout(now);
            }
            self.pump();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.change.as_ref()?.0.poll_timeout()
    }

    pub(super) fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn pump(&mut self) {
        while let Some(output) = self.change.as_mut().and_then(|(c, ..)| c.poll_output()) {
            match output {
                change::Output::Ask(ballot) => {
                    self.outputs.push_back(Output::Publish(ballot.into()));
                }
                change::Output::Learn(roster) => self.learn(&roster),
                change::Output::End(outcome) => {
                    if let Some((change, instruction, askers)) = self.change.take() {
                        self.used = change.used();
                        self.reply(instruction, &askers, outcome);
                    }
                }
            }
        }
    }

    fn reply(&mut self, instruction: Instruction, askers: &[String], outcome: Outcome) {
        let fact: Fact = InstructionReply { instruction, outcome, revision: None }.into();
        let replies = askers.iter().map(|to| Output::Reply { to: to.clone(), fact: fact.clone() });
        self.outputs.extend(replies);
    }
}

impl Orchestrator {
    /// The first of the orchestrators sees to what is everybody's.
    pub(super) fn roster_instruction(
        &mut self,
        instruction: Instruction,
        to: Option<String>,
        now: Instant,
    ) {
        let wanted = match &instruction.verb {
            Verb::AddVoter(voter) => Wanted::Add(voter.clone()),
            Verb::RemoveVoter(voter) => Wanted::Remove(voter.clone()),
            Verb::Pause { .. }
            | Verb::Resume
            | Verb::Release
            | Verb::Set { .. }
            | Verb::Monitor { .. }
            | Verb::Remove
            | Verb::Reset
            | Verb::Switchover { .. }
            | Verb::Failover { .. } => return,
        };
        let (Some(to), Ok(name)) = (to, GroupName::parse(ROSTER)) else { return };
        if self.rank(&name) == 0 {
            self.desk.instruct(instruction, wanted, to, now);
            self.roster_news(now);
        }
    }

    /// Does what the roster's desk wants done.
    pub(super) fn roster_news(&mut self, now: Instant) {
        while let Some(output) = self.desk.poll_output() {
            match output {
                Output::Publish(fact) => self.outputs.push_back(super::Output::Publish(fact)),
                Output::Reply { to, fact } => {
                    self.outputs.push_back(super::Output::Reply { to, fact });
                }
                Output::Learn(roster) => self.learn_roster(&roster, now),
            }
        }
    }

    fn learn_roster(&mut self, roster: &Roster, now: Instant) {
        self.config.roster = roster.clone();
        self.pulse.set_roster(Some(roster.clone()));
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            self.with(&name, now, |group| group.set_roster(roster));
        }
    }
}

#[cfg(test)]
mod tests;
