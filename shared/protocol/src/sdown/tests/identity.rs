//! Who answers at the master's address, and as what.

use super::*;

/// The recorded master, of whom `INFO` was heard at 0.
fn reigning(change: impl FnOnce(&mut Settings)) -> Script {
    let mut script = Script::with(change);
    script.watcher.keep_company(master(), at(0));
    let _ = script.run(0, &WELL);
    let _ = script.hear(1, LinkEvent::Info(Ok(master_view(1, 0))));
    script.watcher.keep_company(master(), at(1));
    script
}

fn reborn() -> Company {
    Company { reborn: Some(run_id(9)), ..master() }
}

fn rebirth() -> Act {
    down(Evidence::Rebirth { run_id: run_id(9) })
}

#[test]
fn a_reborn_master_is_down_at_once_for_as_long_as_the_group_says_so() {
    let mut script = reigning(|_| {});
    script.watcher.keep_company(reborn(), at(50));
    assert_eq!(drain(|| script.watcher.poll_output()), [rebirth()]);
    let said = script.tell(2_060, &WELL);
    assert_eq!(said, [(1_050, rebirth()), (2_050, rebirth())], "though it answers");
    script.watcher.keep_company(master(), at(2_100));
    assert_eq!(drain(|| script.watcher.poll_output()), [UP]);
}

#[test]
fn a_crashed_master_that_is_reborn_is_never_up_in_between() {
    let mut script = reigning(|_| {});
    script.watcher.handle(1, LinkEvent::Lost, at(50));
    let refused = Node::Fails(NodeFault::Refused);
    let _ = script.play(50, &refused);
    let said = script.tell(150, &refused);
    assert_eq!(said, [(150, down(Evidence::Crash { refused: 11 }))]);
    // It listens again and answers: not a word before INFO is heard and the group was asked.
    assert_eq!(script.tell(300, &WELL), []);
    let view = NodeView { run_id: run_id(9), empty: true, ..master_view(1, 0) };
    let said = script.hear(310, LinkEvent::Info(Ok(view.clone())));
    assert!(matches!(&said[..], [Act::Event(EventName::Reboot, _), Act::View(_)]), "{said:?}");
    script.watcher.keep_company(reborn(), at(310));
    assert_eq!(drain(|| script.watcher.poll_output()), [rebirth()]);
}

#[test]
fn a_crashed_master_that_returns_with_its_data_is_up_when_that_is_known() {
    let mut script = reigning(|_| {});
    script.watcher.handle(1, LinkEvent::Lost, at(50));
    let refused = Node::Fails(NodeFault::Refused);
    let _ = script.play(50, &refused);
    let _ = script.run(150, &refused);
    assert_eq!(script.tell(300, &WELL), []);
    let view = NodeView { run_id: run_id(9), ..master_view(1, 0) };
    let _ = script.hear(310, LinkEvent::Info(Ok(view)));
    script.watcher.keep_company(master(), at(310));
    assert_eq!(drain(|| script.watcher.poll_output()), [UP]);
}

#[test]
fn a_master_whose_info_cannot_be_had_is_alive_by_its_pong() {
    for fault in [NodeFault::Error("ERR".into()), NodeFault::Denied("NOPERM".into())] {
        let mut script = reigning(|_| {});
        assert_eq!(script.tell(1_150, &Node::Mute), [(1_100, silent(1_000))]);
        let _ = script.hear(1_160, LinkEvent::Lost);
        let _ = script.hear(1_170, LinkEvent::Connected);
        assert_eq!(script.hear(1_180, LinkEvent::Pong(PingReply::Pong)), []);
        assert_eq!(script.hear(1_190, LinkEvent::Info(Err(fault)))[0], UP);
    }
}

#[test]
fn a_master_that_says_it_is_a_replica_is_sdown_after_down_after_and_two_infos() {
    let mut script = reigning(|_| {});
    script.watcher.set_trouble(true, at(100));
    let view = || LinkEvent::Info(Ok(replica_view(1, 2, 0)));
    let mut said = Vec::new();
    for now in [200, 1_200, 2_200, 3_200, 4_200] {
        let _ = script.tell(now, &WELL);
        said.push((now, script.hear(now, view()).contains(&Act::View(replica_view(1, 2, 0)))));
        assert_eq!(*script.watcher.state() == NodeState::Up, now < 3_200, "at {now}");
    }
    assert_eq!(*script.watcher.state(), NodeState::Down(Evidence::WrongRole { for_ms: 3_000 }));
    assert!(script.watcher.is_troubled());
    let said = script.hear(4_300, LinkEvent::Info(Ok(master_view(1, 0))));
    assert!(said.contains(&UP), "{said:?}");
}

#[test]
fn a_replica_that_says_it_is_one_is_well() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    for now in (0..10).map(|n| n * 1_000) {
        assert_eq!(script.tell(now, &WELL), []);
        let view = replica_view(1, 2, 0);
        assert_eq!(script.hear(now, LinkEvent::Info(Ok(view.clone()))), [Act::View(view)]);
    }
}

#[test]
fn a_wrong_role_counts_anew_after_a_master_was_seen() {
    let mut script = reigning(|_| {});
    for (now, replica) in [(200, true), (1_200, true), (2_200, false), (3_200, true)] {
        let _ = script.tell(now, &WELL);
        let view = if replica { replica_view(1, 2, 0) } else { master_view(1, 0) };
        let _ = script.hear(now, LinkEvent::Info(Ok(view)));
    }
    let _ = script.tell(6_100, &WELL);
    let _ = script.hear(6_100, LinkEvent::Info(Ok(replica_view(1, 2, 0))));
    assert_eq!(*script.watcher.state(), NodeState::Up, "2.9 s");
}

#[test]
fn in_another_epoch_the_role_is_judged_anew() {
    let mut script = reigning(|_| {});
    for now in [200, 1_200, 2_200, 3_200] {
        let _ = script.tell(now, &WELL);
        let _ = script.hear(now, LinkEvent::Info(Ok(replica_view(1, 2, 0))));
    }
    assert!(matches!(script.watcher.state(), NodeState::Down(Evidence::WrongRole { .. })));
    script.watcher.new_reign(at(3_300));
    assert_eq!(*script.watcher.state(), NodeState::Up, "it may be the one that was promoted");
}
