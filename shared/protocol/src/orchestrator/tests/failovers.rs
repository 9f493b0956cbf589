//! From the verdict to the end, and what comes in between.

use super::system::{Down, System, addr, crash, name, silence, stranger, three};
use crate::tests::orchestrator;
use alloc::vec;
use vedette_model::{
    Command, Epoch, EventName, Failover, Flapping, GroupRecord, LossBound, Role, Step, Verb,
};

#[test]
fn a_dead_master_is_replaced_and_the_others_follow() {
    let mut system = System::new(vec![three(1)]);
    system.kill(1, &crash());
    system.run(2_000);
    let [(when, master)] = &system.announced(1)[..] else { panic!("{:?}", system.announced(1)) };
    assert_eq!(*master, addr(1, 2));
    // A vote, a plan, a promotion and a commit, each there and back.
    assert!(*when <= 400 + 20, "announced at {when}");
    let record = system.record(1);
    assert_eq!((record.epoch, &record.master, &record.failover), (Epoch(2), &addr(1, 2), &None));
    let followed = system.nodes[&addr(1, 3)].upstream.as_ref().unwrap();
    assert_eq!((&followed.addr, followed.link_up), (&addr(1, 2), true));
    let once = [EventName::SwitchMaster, EventName::FailoverEnd, EventName::SelectedSlave];
    assert_eq!(once.map(|name| system.told(name)), [1, 1, 1]);
}

#[test]
fn replicas_that_lost_their_link_long_ago_are_locked_out_until_patience_is_over() {
    // All services were away while the master died; nobody remembers when.
    let mut system = System::new(vec![three(1)]);
    for n in [2, 3] {
        let upstream = system.nodes.get_mut(&addr(1, n)).unwrap().upstream.as_mut().unwrap();
        (upstream.link_up, upstream.down_for_ms) = (false, Some(180_000));
    }
    system.kill(1, &silence());
    system.run(15_000);
    let announced = system.announced(1);
    let [(when, _)] = &announced[..] else { panic!("{announced:?}") };
    assert!((10_400..10_700).contains(when), "announced at {when}");
    // Ten attempts, and only the first and the last are worth telling.
    let steps = system.steps();
    let surveyed = (Step::Surveyed { answered: 2, asked: 2 }, 0, 0);
    let [
        (Step::Odown, 0, 0),
        (Step::Claimed, 2, 0),
        first,
        (Step::Aborted { .. }, 0, 3),
        rest @ ..,
    ] = &steps[..]
    else {
        panic!("{steps:?}")
    };
    let [(Step::Claimed, 2, 0), last, (Step::Selected { .. }, 0, 2), ..] = rest else {
        panic!("{steps:?}")
    };
    assert_eq!((first, last), (&surveyed, &surveyed));
}

#[test]
fn where_everybody_says_master_one_of_them_becomes_it_and_strangers_never_do() {
    let mut system = System::new(vec![three(1)]);
    for n in [2, 3] {
        let view = system.nodes.get_mut(&addr(1, n)).unwrap();
        (view.role, view.upstream) = (Role::Master, None);
    }
    let richer = system.nodes.get_mut(&addr(1, 2)).unwrap();
    richer.offset = 1_000_000;
    stranger(richer);
    system.kill(1, &silence());
    system.run(10_300);
    assert_eq!((system.announced(1), system.commands()), (vec![], vec![]));
    system.run(15_000);
    assert_eq!(system.announced(1)[0].1, addr(1, 3));
    let promoted = system
        .commands()
        .into_iter()
        .filter(|(.., c)| matches!(c, Command::Promote { .. }))
        .count();
    assert_eq!(promoted, 1);
}

#[test]
fn a_silent_leaders_plan_is_taken_over_and_a_dead_target_replaced_at_once() {
    let planned = |target| {
        let mut record = three(1);
        record.top_epoch = Epoch(2);
        record.failover = Some(Failover {
            epoch: Epoch(2),
            leader: orchestrator(9),
            failed: addr(1, 1),
            target,
            rejected: vec![],
            loss: LossBound::default(),
            trace_id: record.trace_id(),
            flapping: Flapping::default(),
            perhaps_announced: false,
            reason: vedette_model::PlanReason::Odown,
        });
        record
    };
    let cases =
        [(None, 600, 2, 2), (Some(Down::Refused), 600, 3, 3), (Some(Down::Silent), 2_000, 3, 3)];
    for (down, limit, master, epoch) in cases {
        let mut system = System::starting(vec![planned(addr(1, 2))]);
        system.down.insert(addr(1, 1), Down::Refused);
        system.down.extend(down.map(|how| (addr(1, 2), how)));
        system.run(5_000);
        let announced = system.announced(1);
        let [(when, who)] = &announced[..] else { panic!("{announced:?}") };
        assert_eq!((who, system.record(1).epoch), (&addr(1, master), Epoch(epoch)));
        assert!(*when <= limit + 50, "announced at {when}");
        assert_eq!(system.told(EventName::TakeOver), 1);
    }
}

#[test]
fn a_new_master_that_dies_during_the_repair_is_replaced_without_waiting_for_its_end() {
    let mut record = three(1);
    record.settings.hold_off_ms = 500;
    let mut system = System::new(vec![record]);
    system.kill(1, &crash());
    while system.record(1).master == addr(1, 1) {
        system.run(system.now + 1);
        assert!(system.now < 1_000);
    }
    // It dies before anybody could follow it.
    system.kill(1, &crash());
    system.run(5_000);
    let announced = system.announced(1);
    let [_, (when, who)] = &announced[..] else { panic!("{announced:?}") };
    assert_eq!(who, &addr(1, 3));
    assert!(*when < 2_000, "announced at {when}");
}

#[test]
fn the_second_failover_in_a_row_holds_the_group_until_a_person_releases_it() {
    let mut record = three(1);
    record.settings.hold_off_ms = 500;
    let mut system = System::new(vec![record]);
    for round in 1..=2 {
        system.kill(1, &silence());
        system.run(round * 5_000);
        let old = system.record(1).switch.previous.clone().unwrap();
        system.down.remove(&old);
        system.run(round * 5_000 + 1_000);
    }
    assert_eq!(system.record(1).flapping, Flapping { count: 2, held: true });
    assert_eq!((system.told(EventName::SwitchMaster), system.told(EventName::Held)), (2, 1));
    assert!(system.health().contains("vedette release g1"), "{}", system.health());
    let asked = system.candidacies();
    system.kill(1, &silence());
    system.run(30_000);
    assert_eq!(system.told(EventName::SwitchMaster), 2, "nothing more happens by itself");
    assert_eq!(system.candidacies(), asked, "and nobody asks for it in vain");
    system.instruct(1, Verb::Release);
    system.run(32_000);
    assert_eq!(system.told(EventName::Released), 1);
    assert_eq!(system.told(EventName::SwitchMaster), 3);
    assert_eq!(system.health(), "");
}

#[test]
fn crashes_in_a_row_hold_nobody() {
    let mut record = three(1);
    record.settings.hold_off_ms = 500;
    let mut system = System::new(vec![record]);
    for round in 1..=4 {
        system.kill(1, &crash());
        system.run(round * 5_000);
        let old = system.record(1).switch.previous.clone().unwrap();
        system.down.remove(&old);
        system.run(round * 5_000 + 1_000);
    }
    let record: &GroupRecord = system.record(1);
    assert_eq!((record.flapping, record.epoch), (Flapping::default(), Epoch(5)));
    assert_eq!(record.group, name(1));
}
