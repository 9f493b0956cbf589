//! The orchestrator's side of a change of the roster.
//!
//! ```text
//!  new ─► prepare ─ majority of the old ─► accept ─ majority of the old ─► adopt ─ majority of ─► End
//!           ▲  └ refused, or 500 ms over: again       └ again                the new answers │
//!           └──────────────────── what was adopted is somebody else's change ────────────────┘
//! ```

use crate::register::CANDIDACY_LIMIT;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    BallotNumber, Instant, OrchestratorId, Outcome, Roster, RosterAnswer, RosterAsk, RosterBallot,
    RosterRefusal, RosterVote, VoterId,
};

const ASK_AGAIN: Duration = Duration::from_millis(100);
/// A change for which no majority of voters answers is given up after this.
const SILENT_LIMIT: Duration = Duration::from_secs(3);
/// A change that voters keep refusing is given up after this.
const REFUSED_LIMIT: Duration = Duration::from_secs(15);

/// What an operator wants of the roster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// This voter on it.
    Add(VoterId),
    /// This voter off it.
    Remove(VoterId),
}

impl Wanted {
    /// The roster after this one; none if this one is as wanted, or would be empty.
    pub fn next(&self, roster: &Roster) -> Option<Roster> {
        let mut voters = roster.voters().to_vec();
        match self {
            Self::Add(voter) if roster.contains(voter) => return None,
            Self::Add(voter) => voters.push(voter.clone()),
            Self::Remove(voter) if roster.contains(voter) => voters.retain(|v| v != voter),
            Self::Remove(_) => return None,
        }
        Roster::parse(roster.version.next(), voters).ok()
    }
}

/// What comes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask the voters.
    Ask(RosterBallot),
    /// This roster is decided: go by it.
    Learn(Roster),
    /// It is over.
    End(Outcome),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Phase {
    /// Rests until then, to begin with a higher ballot.
    Rest(Instant),
    Prepare {
        promises: BTreeMap<VoterId, Option<(BallotNumber, Roster)>>,
        deadline: Instant,
    },
    Accept {
        value: Roster,
        accepted: BTreeSet<VoterId>,
    },
    Adopt {
        adopted: BTreeSet<VoterId>,
    },
    Over,
}

/// One instruction on its way.
#[derive(Debug, Clone)]
pub struct Change {
    me: OrchestratorId,
    incarnation: u64,
    /// Goes by it; the one that decides, but in the last step.
    roster: Roster,
    wanted: Wanted,
    number: u64,
    phase: Phase,
    ask_again: Instant,
    began: Instant,
    answered: BTreeSet<VoterId>,
    refusals: BTreeMap<VoterId, RosterRefusal>,
    outputs: VecDeque<Output>,
}

impl Change {
    /// Begins. `roster` is one that voters go by; `used` is what [`Self::used`] said of the change
    /// before in this life of the orchestrator, zero of the first. Without it a late answer to that
    /// one would count as an answer to this one.
    pub fn new(
        me: OrchestratorId,
        incarnation: u64,
        roster: Roster,
        wanted: Wanted,
        used: u64,
        now: Instant,
    ) -> Self {
        let mut change = Self {
            me,
            incarnation,
            roster,
            wanted,
            number: used,
            phase: Phase::Over,
            ask_again: now,
            began: now,
            answered: BTreeSet::new(),
            refusals: BTreeMap::new(),
            outputs: VecDeque::new(),
        };
        change.go_on(now);
        change
    }

    /// The highest ballot number that it has used.
    pub const fn used(&self) -> u64 {
        self.number
    }

    /// What it is to bring about.
    pub const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// Asks for the next roster; or, if this one is as wanted, whether the voters go by it.
    fn go_on(&mut self, now: Instant) {
        self.phase = if self.wanted.next(&self.roster).is_some() {
            self.number = self.number.saturating_add(1);
            Phase::Prepare { promises: BTreeMap::new(), deadline: now + CANDIDACY_LIMIT }
        } else {
            Phase::Adopt { adopted: BTreeSet::new() }
        };
        self.ask(now);
    }

    fn ask(&mut self, now: Instant) {
        let ask = match &self.phase {
            Phase::Prepare { .. } => RosterAsk::Prepare,
            Phase::Accept { value, .. } => RosterAsk::Accept(value.clone()),
            Phase::Adopt { .. } => RosterAsk::Adopt(self.roster.clone()),
            Phase::Rest(_) | Phase::Over => return,
        };
        self.ask_again = now + ASK_AGAIN;
        let (ballot, from) = (self.ballot(), self.roster.version);
        self.outputs.push_back(Output::Ask(RosterBallot { ballot, from, ask }));
    }

    fn ballot(&self) -> BallotNumber {
        BallotNumber {
            number: self.number,
            proposer: self.me.clone(),
            incarnation: self.incarnation,
        }
    }

    /// Takes a voter's answer.
    pub fn answer(&mut self, RosterAnswer { voter, ballot, answer }: RosterAnswer, now: Instant) {
        let mine = ballot == self.ballot() && self.phase != Phase::Over;
        if !mine || !self.roster.contains(&voter) {
            return;
        }
        self.answered.insert(voter.clone());
        self.refusals.remove(&voter);
        match answer {
            RosterVote::Promise { accepted } => self.promised(voter, accepted, now),
            RosterVote::Accepted => self.accepted(voter, now),
            RosterVote::Adopted => self.adopted(voter, now),
            RosterVote::Refused(why) => self.refused(voter, why, now),
        }
    }

    fn promised(&mut self, voter: VoterId, accepted: Option<(BallotNumber, Roster)>, now: Instant) {
        let Phase::Prepare { promises, deadline } = &mut self.phase else { return };
        // See `crate::rejoin`: a promise counts for so long and no longer.
        if now >= *deadline {
            return;
        }
        promises.insert(voter, accepted);
        if !self.roster.majority().reached(promises.len()) {
            return;
        }
        // What somebody accepted may be decided: it comes first.
        let pending = promises.values().flatten().max_by(|(a, _), (b, _)| a.cmp(b));
        let value = pending.map(|(_, roster)| roster.clone());
        let Some(value) = value.or_else(|| self.wanted.next(&self.roster)) else { return };
        self.phase = Phase::Accept { value, accepted: BTreeSet::new() };
        self.ask(now);
    }

    fn accepted(&mut self, voter: VoterId, now: Instant) {
        let Phase::Accept { value, accepted } = &mut self.phase else { return };
        accepted.insert(voter);
        if self.roster.majority().reached(accepted.len()) {
            let value = value.clone();
            self.decided(value, now);
        }
    }

    /// The roster is decided: see to it that the voters go by it.
    fn decided(&mut self, roster: Roster, now: Instant) {
        self.outputs.push_back(Output::Learn(roster.clone()));
        self.roster = roster;
        self.phase = Phase::Adopt { adopted: BTreeSet::new() };
        self.answered.clear();
        self.refusals.clear();
        self.began = now;
        self.ask(now);
    }

    fn adopted(&mut self, voter: VoterId, now: Instant) {
        let Phase::Adopt { adopted } = &mut self.phase else { return };
        adopted.insert(voter);
        if !self.roster.majority().reached(adopted.len()) {
            return;
        }
        if self.wanted.next(&self.roster).is_some() {
            self.go_on(now);
        } else {
            self.end(Outcome::Done { now: self.roster.to_string() });
        }
    }

    fn refused(&mut self, voter: VoterId, why: RosterRefusal, now: Instant) {
        match &why {
            RosterRefusal::OtherRoster(roster) if roster.version > self.roster.version => {
                self.decided(roster.clone(), now);
                return;
            }
            RosterRefusal::OlderBallot(ballot) => {
                self.number = self.number.max(ballot.number);
                self.phase = Phase::Rest(now + ASK_AGAIN);
            }
            RosterRefusal::OtherRoster(_)
            | RosterRefusal::NotOneVoter
            | RosterRefusal::Unsettled(_)
            | RosterRefusal::Joining
            | RosterRefusal::StoreFailed => {}
        }
        self.refusals.insert(voter, why);
    }

    fn end(&mut self, outcome: Outcome) {
        self.phase = Phase::Over;
        self.outputs.push_back(Output::End(outcome));
    }

    /// Asks again, begins anew, gives up.
    pub fn handle_timeout(&mut self, now: Instant) {
        let silent = !self.roster.majority().reached(self.answered.len());
        let limit = if silent { SILENT_LIMIT } else { REFUSED_LIMIT };
        if self.phase != Phase::Over && now >= self.began + limit {
            let why = self.why(silent);
            self.end(Outcome::Refused { why });
            return;
        }
        match &self.phase {
            Phase::Rest(until) if now >= *until => self.go_on(now),
            Phase::Prepare { deadline, .. } if now >= *deadline => self.go_on(now),
            Phase::Prepare { .. } | Phase::Accept { .. } | Phase::Adopt { .. }
                if now >= self.ask_again =>
            {
                self.ask(now);
            }
            Phase::Rest(_)
            | Phase::Prepare { .. }
            | Phase::Accept { .. }
            | Phase::Adopt { .. }
            | Phase::Over => {}
        }
    }

    fn why(&self, silent: bool) -> String {
        let (all, needed) = (self.roster.voters().len(), self.roster.majority().get());
        let missing = self.roster.voters().iter().filter(|voter| !self.answered.contains(voter));
        let missing: Vec<_> = missing.map(ToString::to_string).collect();
        let refusals = self.refusals.iter().map(|(voter, why)| format!("{voter}: {why}"));
        let refusals: Vec<_> = refusals.collect();
        let reason = if silent {
            format!(
                "only {} of {all} voters of {} answer and {needed} are needed: start {}",
                self.answered.len(),
                self.roster,
                missing.join(", ")
            )
        } else {
            format!("refused by {}; try again", refusals.join(", "))
        };
        match &self.phase {
            Phase::Adopt { .. } => format!("{} is decided, but {reason}", self.roster),
            Phase::Accept { .. } => {
                format!("{reason}. It may still come to pass: see `vedette roster`, then repeat it")
            }
            Phase::Rest(_) | Phase::Prepare { .. } | Phase::Over => reason,
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Over => None,
            Phase::Rest(until) => Some(*until),
            Phase::Prepare { deadline, .. } => Some(self.ask_again.min(*deadline)),
            Phase::Accept { .. } | Phase::Adopt { .. } => Some(self.ask_again),
        }
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
