//! Scripts: how an instruction becomes the roster that voters go by, and how it does not.

use super::*;
use crate::tests::{at, drain, orchestrator, roster, voter};
use alloc::vec;
use vedette_model::{GroupName, RosterVersion};

fn of(version: u64, voters: &[usize]) -> Roster {
    Roster::parse(RosterVersion(version), voters.iter().map(|n| voter(*n)).collect()).unwrap()
}

struct Script(Change);

impl Script {
    fn new(wanted: Wanted) -> Self {
        Self(Change::new(orchestrator(1), 1, roster(3), wanted, 0, at(0)))
    }

    fn asks(&mut self) -> Vec<Output> {
        drain(|| self.0.poll_output())
    }

    fn hear(&mut self, now: u64, voters: &[usize], answer: &RosterVote) -> Vec<Output> {
        let ballot = self.0.ballot();
        for n in voters {
            let (voter, ballot, answer) = (voter(*n), ballot.clone(), answer.clone());
            self.0.answer(RosterAnswer { voter, ballot, answer }, at(now));
        }
        self.asks()
    }

    /// Wakes it whenever it wants; what it says at last.
    fn run(&mut self, until: u64) -> Option<Output> {
        let mut last = None;
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            self.0.handle_timeout(due);
            last = self.asks().pop().or(last);
        }
        last
    }
}

fn asked(number: u64, from: u64, ask: RosterAsk) -> Output {
    let ballot = BallotNumber { number, proposer: orchestrator(1), incarnation: 1 };
    Output::Ask(RosterBallot { ballot, from: RosterVersion(from), ask })
}

fn done(roster: &Roster) -> Output {
    Output::End(Outcome::Done { now: roster.to_string() })
}

const fn promise() -> RosterVote {
    RosterVote::Promise { accepted: None }
}

fn why(output: Option<Output>) -> String {
    let Some(Output::End(Outcome::Refused { why })) = output else { panic!("{output:?}") };
    why
}

#[test]
fn a_voter_is_added_by_majorities_of_the_old_and_then_of_the_new_roster() {
    let next = of(2, &[1, 2, 3, 4]);
    let mut script = Script::new(Wanted::Add(voter(4)));
    assert_eq!(script.asks(), [asked(1, 1, RosterAsk::Prepare)]);
    assert_eq!(script.hear(1, &[1, 1, 4], &promise()), [], "one voter, and one not on it yet");
    assert_eq!(script.hear(1, &[2], &promise()), [asked(1, 1, RosterAsk::Accept(next.clone()))]);
    assert_eq!(script.hear(2, &[1, 1], &RosterVote::Accepted), []);
    let adopt = asked(1, 2, RosterAsk::Adopt(next.clone()));
    let said = script.hear(2, &[3], &RosterVote::Accepted);
    assert_eq!(said, [Output::Learn(next.clone()), adopt]);
    assert_eq!(script.hear(3, &[1, 2], &RosterVote::Adopted), [], "three of four are needed now");
    assert_eq!(script.hear(3, &[4], &RosterVote::Adopted), [done(&next)]);
    assert_eq!(script.0.poll_timeout(), None);
}

#[test]
fn what_is_so_already_is_done_once_a_majority_says_so() {
    for wanted in [Wanted::Add(voter(2)), Wanted::Remove(voter(9))] {
        let mut script = Script::new(wanted);
        assert_eq!(script.asks(), [asked(0, 1, RosterAsk::Adopt(roster(3)))]);
        assert_eq!(script.hear(1, &[2], &RosterVote::Adopted), []);
        assert_eq!(script.hear(1, &[3], &RosterVote::Adopted), [done(&roster(3))]);
    }
}

#[test]
fn what_somebody_accepted_before_is_finished_first() {
    let (pending, then) = (of(2, &[1, 2]), of(3, &[1, 2, 4]));
    let mut script = Script::new(Wanted::Add(voter(4)));
    let _ = script.asks();
    let other = BallotNumber { number: 1, proposer: orchestrator(2), incarnation: 1 };
    let told = RosterVote::Promise { accepted: Some((other, pending.clone())) };
    let _ = script.hear(1, &[3], &told);
    let said = script.hear(1, &[1], &promise());
    assert_eq!(said, [asked(1, 1, RosterAsk::Accept(pending.clone()))]);
    let _ = script.hear(2, &[1, 3], &RosterVote::Accepted);
    let said = script.hear(3, &[1, 2], &RosterVote::Adopted);
    assert_eq!(said, [asked(2, 2, RosterAsk::Prepare)], "and now what was wanted");
    let said = script.hear(4, &[1, 2], &promise());
    assert_eq!(said, [asked(2, 2, RosterAsk::Accept(then.clone()))]);
    let _ = script.hear(5, &[1, 2], &RosterVote::Accepted);
    assert_eq!(script.hear(6, &[1, 4], &RosterVote::Adopted), [done(&then)]);
}

#[test]
fn without_a_majority_it_is_refused_within_seconds() {
    let mut script = Script::new(Wanted::Remove(voter(3)));
    let _ = script.hear(1, &[2], &promise());
    assert!(!matches!(script.run(2_999), Some(Output::End(_))));
    let why = why(script.run(3_100));
    assert!(why.contains("1 of 3") && why.contains("start v1, v3"), "{why}");
}

#[test]
fn voters_that_refuse_are_asked_again_and_then_named() {
    let mut script = Script::new(Wanted::Remove(voter(3)));
    let groups = vec![GroupName::parse("g").unwrap()];
    let unsettled = RosterVote::Refused(RosterRefusal::Unsettled(groups));
    for now in (0..14_900).step_by(100) {
        let _ = script.run(now);
        assert!(!matches!(script.hear(now, &[1, 2, 3], &unsettled)[..], [Output::End(_)]));
    }
    let why = why(script.run(15_100));
    assert!(why.contains("v1: 1 groups are not settled"), "{why}");
}

#[test]
fn an_older_ballot_is_raised_above_what_was_promised() {
    let mut script = Script::new(Wanted::Remove(voter(3)));
    let _ = script.asks();
    let other = BallotNumber { number: 40, proposer: orchestrator(2), incarnation: 1 };
    let older = RosterVote::Refused(RosterRefusal::OlderBallot(other));
    let _ = script.hear(1, &[1], &older);
    assert_eq!(script.run(101), Some(asked(41, 1, RosterAsk::Prepare)));
}

#[test]
fn a_promise_that_comes_late_counts_for_nothing() {
    let mut script = Script::new(Wanted::Remove(voter(3)));
    let _ = script.asks();
    assert_eq!(script.hear(500, &[1, 2], &promise()), [], "it slept through its time");
}

#[test]
fn a_newer_roster_is_gone_by_and_the_instruction_looked_at_again() {
    let newer = of(2, &[1, 2, 3, 4]);
    let mut script = Script::new(Wanted::Add(voter(4)));
    let _ = script.asks();
    let other = RosterVote::Refused(RosterRefusal::OtherRoster(newer.clone()));
    let adopt = asked(1, 2, RosterAsk::Adopt(newer.clone()));
    assert_eq!(script.hear(1, &[1], &other), [Output::Learn(newer.clone()), adopt]);
    assert_eq!(script.hear(2, &[1, 2, 3], &RosterVote::Adopted), [done(&newer)]);
}
