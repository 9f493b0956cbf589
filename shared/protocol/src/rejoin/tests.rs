//! Several voters on a bus that delivers at once: how they found, forget and remember.

mod bus;
mod properties;

use super::*;
use crate::tests::{ballot, group, record, roster};
use alloc::vec;
use bus::World;
use vedette_model::{
    BallotAnswer, Candidacy, Fact, Health, Proposal, ProposalAnswer, Purpose, Refusal, Revision,
    RosterVersion,
};

fn candidacy(number: u64) -> Fact {
    let (group, ballot) = (group(), ballot(number, 1));
    Candidacy { group, ballot, purpose: Purpose::Configure, roster: RosterVersion(1) }.into()
}

fn proposal(number: u64, revision: u64) -> Fact {
    let record = GroupRecord { revision: Revision(revision), ..record(3) };
    Proposal { ballot: ballot(number, 1), roster: RosterVersion(1), record }.into()
}

/// What voter `n` says to ballot `number` of `o1`.
fn ask(world: &mut World, n: usize, number: u64) -> BallotAnswer {
    let Some(Fact::Ballot(reply)) = world.ask(n, candidacy(number)) else { panic!("no answer") };
    reply.answer
}

fn propose(world: &mut World, n: usize, number: u64, revision: u64) -> ProposalAnswer {
    let said = world.ask(n, proposal(number, revision));
    let Some(Fact::ProposalReply(reply)) = said else { panic!("no answer") };
    reply.answer
}

fn is_joining(answer: &BallotAnswer) -> bool {
    matches!(answer, BallotAnswer::Refused { why: Refusal::Joining, .. })
}

/// Three voters that have founded their system.
fn founded() -> World {
    let mut world = World::new(3);
    (1..=3).for_each(|n| world.start(n));
    world.run(10);
    world
}

#[test]
fn voters_that_are_all_new_begin_as_soon_as_the_last_one_is_there() {
    let mut world = World::new(3);
    world.start(1);
    world.run(700);
    world.start(2);
    world.run(1_600);
    assert!(is_joining(&ask(&mut world, 1, 1)) && is_joining(&ask(&mut world, 2, 1)));
    world.start(3);
    world.run(10);
    for n in 1..=3 {
        assert!(matches!(ask(&mut world, n, 1), BallotAnswer::Promise { .. }), "voter {n}");
        assert_eq!(world.meta(n).map(|meta| &meta.roster), Some(&roster(3)), "on its disk");
    }
}

#[test]
fn until_then_it_binds_itself_to_nothing_and_says_what_it_waits_for() {
    let mut world = World::new(3);
    world.start(1);
    world.run(5_000);
    assert!(is_joining(&ask(&mut world, 1, 1)));
    assert_eq!(propose(&mut world, 1, 1, 1), ProposalAnswer::Joining);
    assert_eq!(world.disk(1), vec![], "nothing is written");
    let beat = world.heartbeat(1);
    assert_eq!(beat.roster, None, "what it is configured with is nobody's roster yet");
    let Health::Impaired(why) = beat.health else { panic!("it is not well") };
    assert!(why.contains("v2, v3"), "{why}");
}

#[test]
fn the_only_voter_of_a_new_system_begins_by_itself() {
    let mut world = World::new(1);
    world.start(1);
    world.run(999);
    assert!(is_joining(&ask(&mut world, 1, 1)), "somebody may know better");
    world.run(1);
    assert!(matches!(ask(&mut world, 1, 1), BallotAnswer::Promise { .. }));
}

#[test]
fn a_lost_memory_comes_back_from_the_others_after_a_second() {
    let mut world = founded();
    for n in [1, 3] {
        assert!(matches!(ask(&mut world, n, 5), BallotAnswer::Promise { .. }));
        assert_eq!(propose(&mut world, n, 5, 1), ProposalAnswer::Accepted);
    }
    assert!(matches!(ask(&mut world, 2, 7), BallotAnswer::Promise { .. }));
    world.lose(1);
    world.start(1);
    world.run(900);
    assert!(is_joining(&ask(&mut world, 1, 9)), "promises of its lost life may still count");
    world.run(200);
    let held = world.disk(1);
    assert_eq!(held.len(), 1);
    assert_eq!(held[0].accepted.as_ref().map(|(b, r)| (b.number, r.revision.0)), Some((5, 1)));
    assert_eq!(world.meta(1).map(|meta| meta.floor), Some(7), "the highest ballot of all");
    for n in 1..=3 {
        let BallotAnswer::Refused { why, promised } = ask(&mut world, n, 7) else {
            panic!("voter {n} promises below the floor")
        };
        assert_eq!(why, Refusal::OlderBallot);
        assert!(promised.is_some_and(|b| b.number == 7 && b > ballot(7, 1)), "it says how high");
        let said = propose(&mut world, n, 5, 2);
        assert!(matches!(said, ProposalAnswer::Superseded { .. }), "voter {n}: {said:?}");
        assert!(matches!(ask(&mut world, n, 8), BallotAnswer::Promise { .. }), "voter {n}");
    }
}

#[test]
fn a_lost_memory_does_not_come_back_from_less_than_every_majority() {
    let mut world = founded();
    world.kill(3);
    world.lose(1);
    world.start(1);
    world.run(10_000);
    assert!(is_joining(&ask(&mut world, 1, 9)), "v3 may know what v1 and v3 committed");
    world.start(3);
    world.run(1_000);
    assert!(matches!(ask(&mut world, 1, 9), BallotAnswer::Promise { .. }));
}

#[test]
fn a_voter_that_was_killed_while_it_was_told_asks_again() {
    let mut world = founded();
    for n in 1..=3 {
        assert_eq!(propose(&mut world, n, 5, 1), ProposalAnswer::Accepted);
    }
    world.lose(1);
    world.start(1);
    world.run(990);
    world.kill(1);
    world.start(1);
    world.run(900);
    assert!(is_joining(&ask(&mut world, 1, 9)), "each life waits its second");
    world.run(200);
    assert!(matches!(ask(&mut world, 1, 9), BallotAnswer::Promise { .. }));
}

#[test]
fn many_groups_are_told_page_by_page() {
    let mut world = founded();
    for n in 0..Memory::LIMIT * 3 + 1 {
        let group = GroupName::parse(&format!("g{n:03}")).unwrap();
        let record = GroupRecord { group, ..record(1) };
        let fact = Proposal { ballot: ballot(2, 1), roster: RosterVersion(1), record };
        for voter in 1..=3 {
            let _ = world.ask(voter, fact.clone().into());
        }
    }
    world.lose(2);
    world.start(2);
    world.run(1_100);
    assert_eq!(world.disk(2).len(), Memory::LIMIT * 3 + 1);
}

#[test]
fn whoever_is_not_on_the_roster_waits_for_an_operator() {
    let mut world = founded();
    world.start(4);
    world.run(5_000);
    assert!(is_joining(&ask(&mut world, 4, 9)));
    let Health::Impaired(why) = world.heartbeat(4).health else { panic!("it is not well") };
    assert!(why.contains("`vedette roster add v4`"), "{why}");
}

#[test]
fn voters_configured_with_different_first_rosters_found_nothing() {
    let mut world = World::new(3);
    (1..=2).for_each(|n| world.start(n));
    world.first = roster(2);
    world.start(3);
    world.run(5_000);
    for n in 1..=3 {
        assert!(is_joining(&ask(&mut world, n, 9)), "voter {n}");
    }
}
