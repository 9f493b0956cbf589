//! People want another master.

use super::system::{Down, System, addr, three};
use crate::orchestrator::Output;
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{Command, Epoch, EventName, Fact, Outcome, Verb};

fn switchover(epoch: u64, to: Option<usize>, dry_run: bool) -> Verb {
    Verb::Switchover { epoch: Epoch(epoch), to: to.map(|n| addr(0, n)), dry_run }
}

fn words(outcome: &Outcome) -> (&str, &str) {
    match outcome {
        Outcome::Started { now } => ("started", now),
        Outcome::Done { now } => ("done", now),
        Outcome::NoCandidate { why } => ("nobody", why),
        Outcome::Refused { why } => ("refused", why),
    }
}

fn kinds(system: &System) -> Vec<Command> {
    system.commands().into_iter().map(|(.., command)| command).collect()
}

#[test]
fn a_switchover_is_answered_when_it_has_begun_and_when_it_has_ended() {
    let mut system = System::new(vec![three(0)]);
    system.run(1_000);
    system.instruct(0, switchover(1, None, false));
    system.run(4_000);
    let outcomes = system.outcomes();
    let told: Vec<_> = outcomes.iter().map(words).collect();
    assert_eq!(told[0].0, "started", "{told:?}");
    assert_eq!(told[1].0, "done", "{told:?}");
    assert!(told[1].1.contains("nothing was lost") && told.len() == 2, "{told:?}");
    let commands = kinds(&system);
    assert!(matches!(commands[0], Command::PauseWrites { .. }), "{commands:?}");
    assert!(matches!(commands[1..3], [Command::Freeze, Command::Promote { .. }]), "{commands:?}");
    assert_eq!(system.told(EventName::SwitchMaster), 1);
}

#[test]
fn asked_again_for_the_same_epoch_it_is_done_once() {
    let mut system = System::new(vec![three(0)]);
    system.run(1_000);
    for _ in 0..3 {
        system.instruct(0, switchover(1, None, false));
        system.run(system.now + 2_000);
    }
    let promoted =
        kinds(&system).into_iter().filter(|c| matches!(c, Command::Promote { .. })).count();
    assert_eq!(promoted, 1);
    assert!(system.outcomes()[1..].iter().all(|outcome| words(outcome).0 == "done"));
}

#[test]
fn a_dry_run_asks_nobody_for_votes_and_changes_nothing() {
    let mut system = System::new(vec![three(0)]);
    system.run(1_000);
    let before = system.candidacies();
    system.instruct(0, switchover(1, None, true));
    system.run(2_000);
    assert_eq!((system.candidacies(), kinds(&system)), (before, Vec::new()));
    let outcomes = system.outcomes();
    assert!(words(&outcomes[0]).1.contains("would hand over to"), "{outcomes:?}");
}

#[test]
fn what_cannot_be_done_is_refused_with_the_reason() {
    let mut system = System::new(vec![three(0)]);
    system.run(1_000);
    system.instruct(0, switchover(1, Some(9), false));
    system.run(1_100);
    assert!(words(&system.outcomes()[0]).1.contains("not a member"));
    system.down.insert(addr(0, 1), Down::Refused);
    system.instruct(0, switchover(1, None, false));
    system.run(3_000);
    let outcomes = system.outcomes();
    assert!(words(&outcomes[1]).1.contains("does not answer"), "{outcomes:?}");
    assert_eq!(kinds(&system), []);
    system.instruct(0, Verb::Failover { epoch: Epoch(1) });
    system.run(8_000);
    let outcomes = system.outcomes();
    let told: Vec<_> = outcomes[2..].iter().map(words).collect();
    assert_eq!(told.iter().map(|t| t.0).collect::<Vec<_>>(), ["started", "done"], "{told:?}");
    assert!(matches!(kinds(&system)[0], Command::Promote { .. }), "nobody could hand over");
}

#[test]
fn one_with_nobody_to_promote_says_so() {
    let mut system = System::new(vec![three(0)]);
    system.run(1_000);
    for n in [2, 3] {
        system.down.insert(addr(0, n), Down::Refused);
    }
    system.instruct(0, switchover(1, None, false));
    system.run(3_000);
    let replies = system.said.iter().filter(|(_, output)| {
        matches!(output, Output::Reply { fact: Fact::InstructionReply(_), .. })
    });
    assert_eq!(replies.count(), 1);
    assert_eq!(words(&system.outcomes()[0]).0, "nobody");
}
