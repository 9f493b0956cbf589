//! Scripts: which instructions are begun, and what is said to the others.

use super::*;
use crate::tests::{at, drain, heartbeat, orchestrator, roster, voter};
use vedette_model::{BallotNumber, RosterAsk, RosterVersion, RosterVote, Service, Verb};

fn beat(n: usize, roster: Option<Roster>) -> Heartbeat {
    Heartbeat { roster, ..heartbeat(Service::Voter, voter(n).as_str(), 1, 1) }
}

/// A desk that has just heard these voters, who go by the roster of three.
fn desk(heard: &[usize]) -> Desk {
    let mut desk = Desk::new(orchestrator(1), 1, roster(3));
    heard.iter().for_each(|n| desk.heard(&beat(*n, Some(roster(3))), at(0)));
    desk
}

fn instruct(desk: &mut Desk, now: u64, wanted: Wanted) -> Vec<Output> {
    let verb = match &wanted {
        Wanted::Add(voter) => Verb::AddVoter(voter.clone()),
        Wanted::Remove(voter) => Verb::RemoveVoter(voter.clone()),
    };
    let instruction = Instruction { group: None, verb };
    desk.instruct(instruction, wanted, "asker".into(), at(now));
    drain(|| desk.poll_output())
}

/// Why an instruction is refused at once.
fn refusal(desk: &mut Desk, now: u64, wanted: Wanted) -> String {
    let said = instruct(desk, now, wanted);
    let [Output::Reply { to, fact: Fact::InstructionReply(reply) }] = &said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(to, "asker");
    let Outcome::Refused { why } = &reply.outcome else { panic!("{reply:?}") };
    why.clone()
}

#[test]
fn a_voter_that_does_not_run_is_not_added() {
    let why = refusal(&mut desk(&[1, 2, 3]), 10, Wanted::Add(voter(4)));
    assert_eq!(why, "voter v4 is not heard: start it first");
}

#[test]
fn the_last_voter_is_not_removed() {
    let only = Roster::parse(RosterVersion(1), [voter(1)].into()).unwrap();
    let mut desk = Desk::new(orchestrator(1), 1, only.clone());
    desk.heard(&beat(1, Some(only)), at(0));
    let why = refusal(&mut desk, 10, Wanted::Remove(voter(1)));
    assert!(why.contains("the last voter"), "{why}");
}

#[test]
fn nothing_is_begun_without_a_majority_of_the_old_and_of_the_new_roster() {
    let why = refusal(&mut desk(&[1]), 10, Wanted::Remove(voter(3)));
    assert!(why.contains("only 1 go by it: start v2, v3"), "{why}");
    let why = refusal(&mut desk(&[1, 2, 3]), 3_001, Wanted::Remove(voter(3)));
    assert!(why.contains("only 0 go by it"), "heard too long ago: {why}");
    let why = refusal(&mut desk(&[1, 2]), 10, Wanted::Remove(voter(1)));
    assert!(why.contains("only 1 would run: start v3 first"), "{why}");
    let mut desk = desk(&[1, 2]);
    desk.heard(&beat(3, None), at(0));
    let why = refusal(&mut desk, 10, Wanted::Remove(voter(1)));
    assert!(why.contains("only 1 would run"), "one without memory does not vote: {why}");
}

#[test]
fn one_change_at_a_time_and_who_repeats_it_is_answered_once() {
    let mut desk = desk(&[1, 2, 3]);
    let said = instruct(&mut desk, 10, Wanted::Remove(voter(3)));
    let [Output::Publish(Fact::RosterBallot(first))] = &said[..] else { panic!("{said:?}") };
    assert_eq!(first.ask, RosterAsk::Prepare);
    assert_eq!(instruct(&mut desk, 20, Wanted::Remove(voter(3))), []);
    let why = refusal(&mut desk, 20, Wanted::Remove(voter(2)));
    assert!(why.contains("another change"), "{why}");
    for vote in [RosterVote::Promise { accepted: None }, RosterVote::Accepted, RosterVote::Adopted]
    {
        for n in [1, 2] {
            let (voter, ballot, answer) = (voter(n), first.ballot.clone(), vote.clone());
            desk.answer(RosterAnswer { voter, ballot, answer }, at(30));
        }
    }
    let said = drain(|| desk.poll_output());
    let replies = said.iter().filter(|o| matches!(o, Output::Reply { .. })).count();
    assert_eq!(replies, 1, "{said:?}");
    assert!(said.iter().any(|o| matches!(o, Output::Learn(r) if r.version == RosterVersion(2))));
}

#[test]
fn a_late_answer_to_one_change_is_none_to_the_next() {
    let mut desk = desk(&[1, 2, 3]);
    let said = instruct(&mut desk, 10, Wanted::Remove(voter(3)));
    let [Output::Publish(Fact::RosterBallot(first))] = &said[..] else { panic!("{said:?}") };
    let answer = |desk: &mut Desk, n: usize, ballot: &BallotNumber, answer: &RosterVote| {
        let (voter, ballot, answer) = (voter(n), ballot.clone(), answer.clone());
        desk.answer(RosterAnswer { voter, ballot, answer }, at(30));
        drain(|| desk.poll_output())
    };
    let promise = RosterVote::Promise { accepted: None };
    for vote in [&promise, &RosterVote::Accepted, &RosterVote::Adopted] {
        for n in [1, 2] {
            let _ = answer(&mut desk, n, &first.ballot, vote);
        }
    }
    let now_by = desk.roster.clone();
    for n in [1, 2] {
        desk.heard(&beat(n, Some(now_by.clone())), at(40));
    }
    let said = instruct(&mut desk, 50, Wanted::Remove(voter(2)));
    let [Output::Publish(Fact::RosterBallot(second))] = &said[..] else { panic!("{said:?}") };
    assert!(second.ballot > first.ballot, "{second:?}");
    for n in [1, 2] {
        let _ = answer(&mut desk, n, &second.ballot, &promise);
    }
    for n in [1, 2] {
        let said = answer(&mut desk, n, &first.ballot, &RosterVote::Accepted);
        assert_eq!(said, [], "nothing is decided by v{n}");
    }
}

#[test]
fn a_newer_roster_is_learned_from_voters_alone_and_never_an_older_one() {
    let mut desk = desk(&[1]);
    let newer = Roster::parse(RosterVersion(7), [voter(1)].into()).unwrap();
    desk.heard(&beat(2, Some(newer.clone())), at(1));
    assert_eq!(drain(|| desk.poll_output()), [Output::Learn(newer)]);
    desk.heard(&beat(1, Some(roster(3))), at(2));
    assert_eq!(drain(|| desk.poll_output()), []);
}
