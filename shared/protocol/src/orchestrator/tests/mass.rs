//! Many groups at once: nothing makes one wait for another.

use super::system::{System, addr, crash, three};
use crate::Machine;
use alloc::vec::Vec;
use vedette_model::EventName;

const GROUPS: usize = 300;

#[test]
fn three_hundred_masters_that_die_at_once_are_replaced_side_by_side() {
    let mut system = System::starting((1..=GROUPS).map(three).collect());
    system.run(2_000);
    (1..=GROUPS).for_each(|g| system.kill(g, &crash()));
    system.run(2_100);
    let announced: Vec<_> = (1..=GROUPS).flat_map(|g| system.announced(g)).collect();
    assert_eq!(announced.len(), GROUPS, "each once");
    let last = announced.iter().map(|(at, _)| *at).max();
    assert!(last <= Some(2_020), "as fast as one alone: {last:?}");
    system.run(4_000);
    for g in 1..=GROUPS {
        let record = system.record(g);
        assert_eq!((&record.master, &record.failover), (&addr(g, 2), &None));
    }
    assert_eq!(system.told(EventName::FailoverEnd), GROUPS);
    assert_eq!(system.orchestrator.poll_output(), None);
}

#[test]
fn the_voters_are_asked_for_some_ballots_at_once_and_for_more_if_they_answer_quickly() {
    let mut system = System::starting((1..=GROUPS).map(three).collect());
    system.run(2_000);
    let before = system.candidacies();
    (1..=GROUPS).for_each(|g| system.kill(g, &crash()));
    let mut until = 2_000;
    while system.candidacies() == before {
        until += 1;
        system.run(until);
        assert!(until < 2_100, "nobody stands");
    }
    assert_eq!(system.candidacies() - before, 16);
    // These are through, and twice as many are begun.
    system.run(until + 5);
    assert_eq!(system.candidacies() - before, 48);
}
