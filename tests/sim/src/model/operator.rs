//! A change of the roster under way: the real one. Its clock goes on only when it begins anew.

use super::names;
use super::scope::Scope;
use super::table::{Event, Heard, Outcome, Process};
use vedette_model::{
    BallotNumber, Fact, Instant, Roster, RosterAnswer, RosterAsk, RosterRefusal, RosterVote,
    VoterId,
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
    /// The roster that it counts by now.
    roster: Roster,
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
    /// The instruction arrives; its orchestrator has heard of this roster.
    Begin(Heard),
    /// Answers of a majority arrive, or the refusal of one that goes by a newer roster.
    Hear(Heard),
    /// Its time is over: it begins anew with a higher ballot.
    Again,
}

impl Operator {
    /// The instruction is still to come.
    pub fn new(index: usize, scope: &Scope) -> Self {
        let now = Instant::from_nanos(60_000_000_000);
        Self {
            index,
            change: None,
            now,
            asked: None,
            tries: scope.tries[index],
            roster: scope.roster.clone(),
        }
    }

    /// Whether the instruction has arrived.
    pub const fn has_begun(&self) -> bool {
        self.change.is_some()
    }

    /// Whether it asks for promises.
    pub fn prepares(&self) -> bool {
        matches!(self.asked, Some((_, Asked::Promises)))
    }

    /// How many answers change what it does.
    pub fn majority(&self) -> usize {
        self.roster.majority().get()
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
        (asked == ballot && fits && self.roster.contains(voter)).then(|| voter.clone())
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

    /// Where nobody else changes the roster, promises have no use but to hold back: it has them.
    fn promise_all(&mut self, ballot: &BallotNumber) {
        let Some(change) = &mut self.change else { return };
        for voter in self.roster.voters() {
            let answer = RosterVote::Promise { accepted: None };
            let (voter, ballot) = (voter.clone(), ballot.clone());
            change.answer(RosterAnswer { voter, ballot, answer }, self.now);
        }
    }

    fn settle(&mut self, scope: &Scope, out: &mut Outcome) {
        while let Some(output) = self.change.as_mut().and_then(Change::poll_output) {
            match output {
                Output::Ask(ballot) => {
                    let asked = match &ballot.ask {
                        RosterAsk::Prepare => Asked::Promises,
                        RosterAsk::Accept(_) => Asked::Accepts,
                        RosterAsk::Adopt(_) => Asked::Adoptions,
                    };
                    self.asked = Some((ballot.ballot.clone(), asked));
                    if asked == Asked::Promises && !scope.at_once {
                        self.promise_all(&ballot.ballot);
                    } else {
                        out.said.push(ballot.into());
                    }
                }
                Output::Learn(roster) => {
                    out.events.push(Event::RosterUsed {
                        version: names::version(roster.version),
                        voters: names::bits(&roster),
                    });
                    self.roster = roster;
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
            Input::Begin(heard) | Input::Hear(heard) => Some(*heard),
            Input::Again => None,
        }
    }

    fn step(&mut self, input: Input, heard: &[&Fact], scope: &Scope, out: &mut Outcome) -> bool {
        let (who, wanted) = &scope.changes_of_roster[self.index];
        match (input, &mut self.change) {
            (Input::Begin(_), None) => {
                let me = names::orchestrator(*who);
                let known = heard.iter().find_map(|fact| match fact {
                    Fact::Heartbeat(beat) => beat.roster.clone(),
                    _ => None,
                });
                let roster = known.unwrap_or_else(|| scope.roster.clone());
                let wanted = wanted.clone();
                self.roster = roster.clone();
                // One orchestrator carries out one after the other, each with a new number.
                let used = if scope.at_once { 0 } else { self.index as u64 };
                self.change = Some(Change::new(me, 1, roster, wanted, used, self.now));
            }
            (Input::Hear(_), Some(change)) => {
                // Which voters answer has no meaning: it is as if they were the first ones.
                for (n, fact) in heard.iter().enumerate() {
                    if let Fact::RosterAnswer(answer) = fact {
                        let voter = self.roster.voters()[n].clone();
                        change.answer(RosterAnswer { voter, ..answer.clone() }, self.now);
                    }
                }
            }
            (Input::Again, Some(change)) if self.tries > 0 && self.asked.is_some() => {
                self.tries -= 1;
                self.now = self.now + CANDIDACY_LIMIT;
                change.handle_timeout(self.now);
            }
            (Input::Begin(_) | Input::Hear(_) | Input::Again, _) => return false,
        }
        self.settle(scope, out);
        true
    }
}
