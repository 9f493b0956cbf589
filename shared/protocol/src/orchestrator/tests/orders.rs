//! What people want done.

use super::system::{Down, System, addr, crash, paused, set, silence, three};
use crate::orchestrator::{Input, Output};
use alloc::string::ToString;
use alloc::vec;
use vedette_model::{EventName, Fact, Outcome, Role, StatusQuery, Verb};

fn refused(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Refused { why } => why,
        other @ (Outcome::Done { .. } | Outcome::Started { .. } | Outcome::NoCandidate { .. }) => {
            panic!("{other}")
        }
    }
}

#[test]
fn a_pause_is_committed_then_answered_and_nothing_is_done_until_it_ends() {
    let mut system = System::new(vec![three(1)]);
    system.instruct(1, paused("kernel update"));
    system.run(500);
    assert_eq!(system.record(1).pause.as_ref().unwrap().reason, "kernel update");
    let now = "g1 is paused (kernel update): it is observed, and nothing is done to it before \
               `vedette resume g1`";
    assert_eq!(system.outcomes(), [Outcome::Done { now: now.to_string() }]);
    // The master dies, and a replica is made a master by hand.
    system.kill(1, &crash());
    let view = system.nodes.get_mut(&addr(1, 3)).unwrap();
    (view.role, view.upstream) = (Role::Master, None);
    system.run(20_000);
    assert_eq!((system.commands(), system.announced(1)), (vec![], vec![]));
    system.instruct(1, Verb::Resume);
    system.run(20_100);
    assert_eq!(system.announced(1).len(), 1);
    let events = [EventName::Paused, EventName::Resumed, EventName::SwitchMaster];
    assert_eq!(events.map(|name| system.told(name)), [1, 1, 1]);
}

#[test]
fn the_standing_of_a_paused_group_ends_with_the_reason() {
    let mut system = System::new(vec![three(1)]);
    system.instruct(1, paused("kernel update"));
    system.run(3_000);
    system.soon(Input::Fact { fact: StatusQuery {}.into(), reply_to: None });
    system.run(3_100);
    let text = |(_, output): &(u64, Output)| {
        let Output::Publish(Fact::Heartbeat(beat)) = output else { return None };
        beat.standings.last().map(|standing| standing.text.clone())
    };
    assert_eq!(system.said.iter().filter_map(text).next_back().unwrap(), "paused: kernel update");
}

#[test]
fn what_is_so_already_is_done_and_changes_nothing() {
    let mut system = System::new(vec![three(1)]);
    for _ in 0..2 {
        system.instruct(1, paused("one"));
        system.run(system.now + 1_500);
    }
    let revision = system.record(1).revision;
    assert_eq!((system.outcomes().len(), system.told(EventName::Paused)), (2, 1));
    system.instruct(1, Verb::Release);
    system.run(system.now + 1_500);
    assert!(matches!(system.outcomes()[2], Outcome::Done { .. }));
    assert_eq!(system.record(1).revision, revision);
    // Another reason is another pause.
    system.instruct(1, paused("two"));
    system.run(system.now + 1_500);
    assert_eq!((system.told(EventName::Paused), system.record(1).revision), (2, revision.next()));
}

#[test]
fn several_at_once_are_carried_out_in_their_order() {
    let mut system = System::new(vec![three(1)]);
    system.instruct(1, paused("one"));
    system.instruct(1, paused("two"));
    system.instruct(1, Verb::Resume);
    system.run(600);
    assert_eq!(system.outcomes().len(), 3);
    assert_eq!((system.told(EventName::Paused), system.told(EventName::Resumed)), (2, 1));
    assert_eq!(system.record(1).pause, None);
}

#[test]
fn a_group_that_nobody_knows_and_a_bad_reason_are_refused_at_once() {
    let mut system = System::new(vec![three(1)]);
    system.instruct(7, Verb::Resume);
    system.instruct(1, paused(" "));
    system.instruct(1, paused(&"x".repeat(513)));
    system.run(410);
    let outcomes = system.outcomes();
    assert_eq!(outcomes.len(), 3);
    assert!(refused(&outcomes[0]).contains("there is no group g7"));
    assert!(refused(&outcomes[1]).contains("needs a reason"));
    assert!(refused(&outcomes[2]).contains("512 are allowed"));
}

#[test]
fn without_a_majority_it_is_refused_within_four_seconds_and_not_asked_for_ever() {
    let mut system = System::new(vec![three(1)]);
    system.voters = [1].into();
    system.instruct(1, paused("one"));
    system.run(4_300);
    assert_eq!(system.outcomes(), []);
    system.run(4_500);
    let outcomes = system.outcomes();
    let why = refused(&outcomes[0]);
    assert!(why.contains("only 1 of 3 voters answered in time"), "{why}");
    // The last candidacy has its time.
    system.run(5_000);
    let asked = system.candidacies();
    system.run(20_000);
    assert_eq!(system.candidacies(), asked);
}

#[test]
fn an_outage_that_nobody_can_end_does_not_keep_people_waiting() {
    let mut system = System::new(vec![three(1)]);
    for n in [2, 3] {
        system.down.insert(addr(1, n), Down::Refused);
    }
    system.kill(1, &silence());
    system.run(3_000);
    system.instruct(1, paused("the whole rack is dark"));
    system.run(3_200);
    assert!(matches!(system.outcomes()[..], [Outcome::Done { .. }]));
    let asked = system.candidacies();
    system.run(20_000);
    assert_eq!(system.candidacies(), asked, "and nothing is tried any more");
}

#[test]
fn changes_of_different_settings_both_hold_and_each_is_told_once() {
    let mut system = System::new(vec![three(1)]);
    let revision = system.record(1).revision;
    system.instruct(1, set(&[("down_after_ms", "1234"), ("password", "hush")]));
    system.instruct(1, set(&[("parallel_syncs", "3")]));
    system.run(600);
    let settings = &system.record(1).settings;
    assert_eq!((settings.down_after_ms, settings.parallel_syncs), (1_234, 3));
    assert_eq!(settings.login().unwrap().password.expose(), "hush");
    assert_eq!(system.record(1).revision, revision.next().next());
    let told = "master g1 10.0.1.1 6379 down-after-milliseconds 1234";
    assert_eq!(system.payloads(EventName::Set)[0], told);
    assert_eq!(system.payloads(EventName::Set)[1], "master g1 10.0.1.1 6379 auth-pass ******");
    // Told once more: it is so already.
    system.instruct(1, set(&[("down_after_ms", "1234")]));
    system.run(2_000);
    let [.., (outcome, at)] = &system.replies()[..] else { panic!() };
    assert!(matches!(outcome, Outcome::Done { now } if now == "g1 has down_after_ms=1234"));
    assert_eq!(*at, Some(revision.next().next()), "whoever reads this revision sees it");
    assert_eq!(system.told(EventName::Set), 3);
}

#[test]
fn a_change_out_of_range_is_refused_with_the_range_and_what_came_behind_it_is_done() {
    let mut system = System::new(vec![three(1)]);
    system.instruct(1, set(&[("parallel_syncs", "3"), ("down_after_ms", "1")]));
    system.instruct(1, set(&[("quorum", "1")]));
    system.instruct(1, set(&[]));
    system.run(600);
    let outcomes = system.outcomes();
    assert!(refused(&outcomes[0]).contains("1 to 64 settings"), "{outcomes:?}");
    assert!(refused(&outcomes[1]).contains("must be 100 to 3600000, not 1"), "{outcomes:?}");
    assert!(matches!(outcomes[2], Outcome::Done { .. }));
    let settings = &system.record(1).settings;
    assert_eq!((settings.parallel_syncs, settings.quorum.get()), (1, 1));
}
