//! A change of the roster under way: the real one. Its clock goes on only when it begins anew.

use super::names;
use super::scope::Scope;
use super::table::{Event, Heard, Outcome, Process};
use vedette_model::{
    BallotNumber, Fact, Instant, RosterAnswer, RosterAsk, RosterRefusal, RosterVote, VoterId,
};
use vedette_protocol::register::CANDIDACY_LIMIT;
use vedette_protocol::roster::change::{Change, Output};

/// One instruction to change the roster, carried out by one orchestrator.
#[derive(Debug, Clone)]
pub struct Operator {
    index: usize,
    change: Option<Change>,
    now: Instant,
    /// What it asked last.
    asked: Option<(BallotNumber, Asked)>,
    tries: u8,
    /// Voters of the roster that it counts by now.
    majority: usize,
}

/// What it waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asked {
    Promises,
    Accepts,
    Adoptions,
}

/// What can happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// The instruction arrives.
    Begin,
    /// Answers of a majority arrive, or the refusal of one that goes by a newer roster.
    Hear(Heard),
    /// Its time is over: it begins anew with a higher ballot.
    Again,
}

impl Operator {
    /// The instruction is still to come.
    pub fn new(index: usize, scope: &Scope) -> Self {
        let majority = scope.roster.majority().get();
        let now = Instant::from_nanos(60_000_000_000);
        Self { index, change: None, now, asked: None, tries: scope.tries, majority }
    }

    /// Whether it asks for promises.
    pub fn prepares(&self) -> bool {
        matches!(self.asked, Some((_, Asked::Promises)))
    }

    /// How many answers change what it does.
    pub const fn majority(&self) -> usize {
        self.majority
    }

    /// Who answers, if the fact is an answer that it waits for.
    pub fn answers(&self, fact: &Fact) -> Option<VoterId> {
        let Fact::RosterAnswer(RosterAnswer { voter, ballot, answer }) = fact else { return None };
        let (asked, what) = self.asked.as_ref()?;
        let fits = matches!(
            (what, answer),
            (Asked::Promises, RosterVote::Promise { .. })
                | (Asked::Accepts, RosterVote::Accepted)
                | (Asked::Adoptions, RosterVote::Adopted)
        );
        (asked == ballot && fits).then(|| voter.clone())
    }

    /// Whether it waits for answers to this ballot.
    pub fn waits_for(&self, ballot: &BallotNumber) -> bool {
        self.asked.as_ref().is_some_and(|(asked, _)| asked == ballot)
    }

    /// Whether the fact tells it that a newer roster is decided.
    pub fn is_told(&self, fact: &Fact) -> bool {
        let Fact::RosterAnswer(RosterAnswer { ballot, answer, .. }) = fact else { return false };
        let newer = matches!(answer, RosterVote::Refused(RosterRefusal::OtherRoster(_)));
        newer && self.asked.as_ref().is_some_and(|(asked, _)| asked == ballot)
    }

    fn settle(&mut self, out: &mut Outcome) {
        while let Some(output) = self.change.as_mut().and_then(Change::poll_output) {
            match output {
                Output::Ask(ballot) => {
                    let asked = match &ballot.ask {
                        RosterAsk::Prepare => Asked::Promises,
                        RosterAsk::Accept(_) => Asked::Accepts,
                        RosterAsk::Adopt(_) => Asked::Adoptions,
                    };
                    self.asked = Some((ballot.ballot.clone(), asked));
                    out.said.push(ballot.into());
                }
                Output::Learn(roster) => {
                    self.majority = roster.majority().get();
                    out.events.push(Event::RosterUsed {
                        version: names::version(roster.version),
                        voters: names::bits(&roster),
                    });
                }
                Output::End(_) => {
                    out.seen.push("a change of the roster is completed");
                    self.asked = None;
                }
            }
        }
    }
}

impl Process for Operator {
    type Input = Input;

    fn heard(input: &Input) -> Option<Heard> {
        match input {
            Input::Hear(heard) => Some(*heard),
            Input::Begin | Input::Again => None,
        }
    }

    fn step(&mut self, input: Input, heard: &[&Fact], scope: &Scope, out: &mut Outcome) -> bool {
        let (who, wanted) = &scope.changes_of_roster[self.index];
        match (input, &mut self.change) {
            (Input::Begin, None) => {
                let me = names::orchestrator(*who);
                let (roster, wanted) = (scope.roster.clone(), wanted.clone());
                // One orchestrator carries out one after the other, each with a new number.
                let used = self.index as u64;
                self.change = Some(Change::new(me, 1, roster, wanted, used, self.now));
            }
            (Input::Hear(_), Some(change)) => {
                for fact in heard {
                    if let Fact::RosterAnswer(answer) = fact {
                        change.answer(answer.clone(), self.now);
                    }
                }
            }
            (Input::Again, Some(change)) if self.tries > 0 && self.asked.is_some() => {
                self.tries -= 1;
                self.now = self.now + CANDIDACY_LIMIT;
                change.handle_timeout(self.now);
            }
            (Input::Begin | Input::Hear(_) | Input::Again, _) => return false,
        }
        self.settle(out);
        true
    }
}
