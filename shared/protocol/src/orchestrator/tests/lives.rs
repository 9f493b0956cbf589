//! Groups that come and go while the system runs, and pauses that end by themselves.

use super::system::{System, addr, crash, name, set, silence, three};
use crate::tests::settings;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{Epoch, EventName, NodeAddr, Outcome, Pause, Quorum, Revision, Setting, Verb};

fn monitor(master: NodeAddr, changes: &[(&str, &str)]) -> Verb {
    let parsed = changes.iter().map(|(name, value)| Setting::parse(name, value).unwrap());
    Verb::Monitor { master, quorum: Quorum::parse(2).unwrap(), changes: parsed.collect() }
}

/// What came of the last instruction: what holds, or why not.
fn last(system: &System) -> Result<String, String> {
    match system.outcomes().pop().expect("it was answered") {
        Outcome::Done { now } | Outcome::Started { now } => Ok(now),
        Outcome::Refused { why } | Outcome::NoCandidate { why } => Err(why),
    }
}

fn told(system: &mut System, g: usize, verb: Verb) -> Result<String, String> {
    let answered = system.outcomes().len();
    system.instruct(g, verb);
    system.run(system.now + 1_500);
    assert_eq!(system.outcomes().len(), answered + 1);
    last(system)
}

#[test]
fn a_new_group_has_its_first_record_and_is_announced() {
    let mut system = System::new(vec![]);
    system.blank(1);
    let changes = [("down_after_ms", "700")];
    let now = told(&mut system, 1, monitor(addr(1, 1), &changes)).unwrap();
    assert_eq!(now, "g1 is watched: its master is 10.0.1.1:6379, its quorum 2");
    let record = system.record(1);
    assert_eq!((record.revision, record.epoch), (Revision(1), Epoch(1)));
    assert_eq!(record.settings.down_after_ms, 700);
    assert_eq!(system.announced(1).len(), 1);
    assert_eq!(system.payloads(EventName::Monitor), ["master g1 10.0.1.1 6379 quorum 2"]);
    // The same again, and with a default that has been changed meanwhile.
    assert!(told(&mut system, 1, monitor(addr(1, 1), &changes)).is_ok());
    told(&mut system, 1, set(&[("patience_ms", "9")])).unwrap();
    assert!(told(&mut system, 1, monitor(addr(1, 1), &changes)).is_ok());
    assert_eq!(system.told(EventName::Monitor), 1);
}

#[test]
fn a_group_with_another_master_and_a_node_of_another_group_are_refused() {
    let mut system = System::new(vec![three(1)]);
    system.blank(2);
    let why = told(&mut system, 1, monitor(addr(1, 2), &[])).unwrap_err();
    assert!(why.contains("there is a group g1 already, with master 10.0.1.1:6379"), "{why}");
    let why = told(&mut system, 2, monitor(addr(1, 2), &[])).unwrap_err();
    assert_eq!(why, "10.0.1.2:6379 is a node of g1: a node has one group");
    let why = told(&mut system, 2, monitor(addr(2, 1), &[("patience_ms", "3600001")])).unwrap_err();
    assert!(why.contains("patience_ms must be 0 to 3600000"), "{why}");
    assert_eq!(system.candidacies(), 1, "only what may be done is asked of the voters");
}

#[test]
fn a_removed_group_is_left_alone_whatever_happens_to_its_nodes() {
    let mut system = System::new(vec![three(1)]);
    told(&mut system, 1, set(&[("password", "hush")])).unwrap();
    let before = system.record(1).clone();
    let now = told(&mut system, 1, Verb::Remove).unwrap();
    assert!(now.contains("g1 is not watched any more"), "{now}");
    let record = system.record(1).clone();
    assert!(record.removed && record.settings.credentials.is_none());
    assert_eq!((record.revision, record.epoch), (before.revision.next(), before.epoch));
    assert_eq!(system.payloads(EventName::Removed), ["master g1 10.0.1.1 6379"]);
    system.kill(1, &crash());
    let asked = system.candidacies();
    system.run(system.now + 30_000);
    assert_eq!((system.commands(), system.candidacies()), (vec![], asked));
    assert_eq!(system.record(1), &record);
    // Once more is done already; everything else needs a group.
    assert!(told(&mut system, 1, Verb::Remove).is_ok());
    for verb in [Verb::Resume, Verb::Reset, set(&[("quorum", "1")])] {
        assert!(told(&mut system, 1, verb).unwrap_err().contains("there is no group g1"));
    }
    assert_eq!(system.record(1), &record);
}

#[test]
fn a_group_that_is_watched_again_begins_in_a_new_epoch() {
    let mut group = three(1);
    group.top_epoch = Epoch(6);
    let mut system = System::new(vec![group]);
    told(&mut system, 1, Verb::Remove).unwrap();
    let removed = system.record(1).revision;
    told(&mut system, 1, monitor(addr(1, 3), &[])).unwrap();
    let record = system.record(1);
    assert_eq!((record.revision, record.epoch), (removed.next(), Epoch(7)));
    assert_eq!((&record.master, record.members.len()), (&addr(1, 3), 1));
    assert_eq!(system.announced(1).last().unwrap().1, addr(1, 3));
    assert_eq!(system.told(EventName::Monitor), 1);
    let switch = ["g1 10.0.1.1 6379 10.0.1.3 6379"];
    assert_eq!(system.payloads(EventName::SwitchMaster), switch, "another master is a change");
}

#[test]
fn no_declaration_brings_a_removed_group_back() {
    let removed = three(1).buried();
    let mut system =
        System::declaring(vec![removed.clone()], vec![(name(1), addr(1, 1), settings(2))]);
    system.run(20_000);
    assert_eq!(system.record(1), &removed);
    assert_eq!((system.announced(1), system.told(EventName::Monitor)), (vec![], 0));
    assert_eq!(system.told(EventName::ConfigConflict), 1, "whoever declares it should know");
}

#[test]
fn nothing_is_forgotten_while_the_master_is_down() {
    let mut system = System::new(vec![three(1)]);
    // Nobody can be promoted either.
    for n in [2, 3] {
        system.down.insert(addr(1, n), super::system::Down::Refused);
    }
    system.kill(1, &silence());
    system.run(20_000);
    let members = system.record(1).members.clone();
    let now = told(&mut system, 1, Verb::Reset).unwrap();
    assert!(now.starts_with("nothing of g1 is forgotten"), "{now}");
    assert_eq!(system.record(1).members, members);
    assert_eq!(system.told(EventName::Reset), 0);
}

fn pause(for_ms: u64) -> Verb {
    Verb::Pause { reason: "kernel update".to_string(), for_ms: Some(for_ms) }
}

fn ended(system: &System) -> bool {
    system.record(1).pause.is_none()
}

#[test]
fn a_pause_ends_by_itself_not_before_its_time_and_the_dead_master_is_replaced() {
    let mut system = System::new(vec![three(1)]);
    system.instruct(1, pause(150_000));
    system.run(1_000);
    let set_at = Some(system.record(1).revision);
    let shown = Pause { reason: "kernel update".into(), left_ms: Some(150_000), set_at };
    assert_eq!(system.record(1).pause, Some(shown));
    system.kill(1, &crash());
    system.run(150_400);
    assert!(!ended(&system));
    // Twice a minute passed, and what was left was written down.
    let left = system.record(1).pause.as_ref().unwrap().left_ms.unwrap();
    assert!((29_000..=30_000).contains(&left), "{left}");
    assert_eq!(system.record(1).pause.as_ref().unwrap().set_at, set_at);
    system.run(151_500);
    assert!(ended(&system));
    assert_eq!(system.announced(1).len(), 1);
    let events = [EventName::Paused, EventName::Resumed, EventName::SwitchMaster];
    assert_eq!(events.map(|name| system.told(name)), [1, 1, 1]);
}

#[test]
fn the_same_pause_later_begins_anew_and_the_same_at_once_is_one() {
    let mut system = System::new(vec![three(1)]);
    told(&mut system, 1, pause(10_000)).unwrap();
    let revision = system.record(1).revision;
    told(&mut system, 1, pause(10_000)).unwrap();
    assert_eq!(system.record(1).revision, revision);
    system.run(9_000);
    told(&mut system, 1, pause(10_000)).unwrap();
    system.run(18_000);
    assert!(!ended(&system));
    system.run(20_000);
    assert!(ended(&system));
    assert_eq!((system.told(EventName::Paused), system.told(EventName::Resumed)), (2, 1));
}

#[test]
fn a_pause_without_an_end_replaces_one_with_an_end() {
    let mut system = System::new(vec![three(1)]);
    told(&mut system, 1, pause(5_000)).unwrap();
    told(&mut system, 1, Verb::Pause { reason: "kernel update".to_string(), for_ms: None })
        .unwrap();
    system.run(60_000);
    assert!(!ended(&system));
}

#[test]
fn a_pause_that_is_over_is_ended_as_soon_as_a_majority_can() {
    let mut system = System::new(vec![three(1)]);
    told(&mut system, 1, pause(5_000)).unwrap();
    system.voters = [1].into();
    system.run(20_000);
    assert!(!ended(&system));
    system.voters = [1, 2, 3].into();
    system.run(21_500);
    assert!(ended(&system));
}

#[test]
fn a_pause_of_less_than_a_second_or_more_than_30_days_is_refused() {
    let mut system = System::new(vec![three(1)]);
    for for_ms in [0, 999, 2_592_000_001] {
        assert!(told(&mut system, 1, pause(for_ms)).unwrap_err().contains("1 s to 30 days"));
    }
    let refused: Vec<_> = system.outcomes();
    assert_eq!((refused.len(), system.candidacies()), (3, 0));
}
