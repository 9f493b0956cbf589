//! When patience is over: the recorded master is gone for good, and nobody left says replica.

use super::*;

/// Nobody is a replica: all were restarted as masters, or promoted without a word of it arriving.
fn masters(nodes: usize) -> Script {
    let mut script = Script::new(nodes);
    for n in 2..=nodes {
        script.answers.insert(node(n), Ok(master_view(n, 1_000)));
    }
    script.relaxed = true;
    script
}

#[test]
fn a_master_of_the_groups_history_is_better_than_none_once_patience_is_over() {
    let mut script = masters(2);
    assert_eq!(script.chosen().0, node(2));
    script.relaxed = false;
    assert_eq!(script.reason(), RejectReason::NotAReplica);
}

#[test]
fn of_several_masters_the_furthest_in_the_newest_history_wins() {
    let mut script = masters(4);
    script.record.settings.max_lag_bytes = 0;
    script.record.lineage.add(&history(2));
    let newest = |view: &mut NodeView, offset| {
        (view.role, view.upstream) = (Role::Master, None);
        // It went on from the newest history under a name that nobody heard of.
        (view.replid, view.replid2, view.offset) = (history(9), Some(history(2)), offset);
    };
    script.answers(2, |v| newest(v, 500)).answers(3, |v| newest(v, 600));
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(3));
    assert_eq!(rejected[1], (node(2), RejectReason::TooFarBehind { bytes: 100 }));
    assert_eq!(rejected[2], (node(4), RejectReason::OlderHistory));
}

#[test]
fn a_replica_and_a_master_compete_by_what_they_hold() {
    let mut script = masters(3);
    script.record.settings.max_lag_bytes = 0;
    script.answers(3, |v| v.offset = 999);
    assert_eq!(script.chosen().0, node(2));
    script.answers(3, |v| v.offset = 1_001);
    assert_eq!(script.chosen().0, node(3));
}

#[test]
fn of_those_near_enough_a_replica_comes_before_a_master_that_nobody_follows() {
    let mut script = masters(3);
    script.record.settings.max_lag_bytes = 100;
    script.answers(3, |v| (v.offset, v.priority) = (900, 200));
    assert_eq!(script.chosen().0, node(3), "a master's bytes may be what it took alone");
    script.answers(3, |v| v.offset = 899);
    assert_eq!(script.chosen().0, node(2), "too far behind");
    script.answers(3, |v| (v.upstream, v.priority) = (replica_view(3, 2, 0).upstream, 200));
    assert_eq!(script.chosen().0, node(2), "it is followed");
}

#[test]
fn a_known_process_that_says_master_is_ours_and_one_that_copied_a_stranger_is_not() {
    let mut script = masters(2);
    let strange = |view: &mut NodeView| view.replid = history(9);
    script.answers(2, |v| {
        (v.role, v.upstream) = (Role::Master, None);
        strange(v);
    });
    assert_eq!(script.chosen().0, node(2));
    script.answers(2, strange);
    assert_eq!(script.reason(), RejectReason::Stranger, "a replica holds what its master held");
    script.answers(2, |v| {
        (v.role, v.upstream, v.run_id) = (Role::Master, None, run_id(99));
        strange(v);
    });
    assert_eq!(script.reason(), RejectReason::Stranger, "nor does an unknown process");
}

#[test]
fn a_members_address_is_enough_where_it_is_trusted() {
    let mut script = masters(3);
    // A server with an append-only file: another history and another run id after a restart.
    script.answers(2, |v| (v.replid, v.run_id) = (history(9), run_id(99)));
    script.answers(3, |v| (v.offset, v.replid2) = (10, Some(history(1))));
    script.record.settings.trust_recorded_address = true;
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(3), "history counts for more");
    assert_eq!(rejected[1], (node(2), RejectReason::OlderHistory));
    script.answers.remove(&node(3));
    assert_eq!(script.chosen().0, node(2));
    script.record.settings.trust_recorded_address = false;
    assert!(script.select().is_err());
}

#[test]
fn an_empty_node_is_taken_only_if_all_that_are_expected_are_empty() {
    let mut script = masters(3);
    let empty = |view: &mut NodeView| {
        (view.empty, view.replid, view.run_id) = (true, history(9), run_id(99));
    };
    script.answers(2, empty);
    assert_eq!(script.chosen().0, node(3), "somebody holds something");
    script.answers.remove(&node(3));
    assert!(script.select().is_err(), "somebody may hold something");
    script.record.members[2].gone = true;
    assert_eq!(script.chosen().0, node(2), "who has been gone for long is not waited for");
    script.record.members[2].gone = false;
    script.answers(3, empty);
    assert_eq!(script.chosen().0, node(2));
    script.relaxed = false;
    assert!(script.select().is_err(), "and nobody before patience is over");
}

#[test]
fn who_loads_or_synchronises_is_not_taken_however_long_it_lasts() {
    let mut script = masters(2);
    script.answers.insert(node(2), Ok(NodeView { loading: true, ..master_view(2, 1_000) }));
    assert_eq!(script.reason(), RejectReason::Loading);
    script.answers(2, |v| link(v, false, Some(10), true));
    assert_eq!(script.reason(), RejectReason::NeverSynced);
}

#[test]
fn a_master_that_was_perhaps_promoted_before_is_ours_as_a_last_resort() {
    let mut script = masters(2);
    script.answers(2, |v| {
        (v.role, v.upstream, v.run_id) = (Role::Master, None, run_id(22));
        (v.replid, v.replid2) = (history(9), Some(history(8)));
    });
    assert_eq!(script.reason(), RejectReason::Stranger);
    script.record.branches = vec![Branch { node: node(2), offset: 900 }];
    assert_eq!(script.chosen().0, node(2));
}

/// Nodes 2 and 3 were restarted with append-only files: other histories, other run ids.
fn restarted() -> Script {
    let mut script = masters(3);
    script.record.settings.trust_recorded_address = true;
    for n in 2..=3 {
        let role = |v: &mut NodeView| (v.role, v.upstream) = (Role::Master, None);
        script.answers(n, |v| {
            role(v);
            (v.replid, v.run_id, v.offset) = (history(n + 7), run_id(n + 97), 0);
        });
    }
    script
}

#[test]
fn of_two_addresses_the_one_whose_disk_was_behind_comes_last() {
    let mut script = restarted();
    script.answers.get_mut(&node(2)).unwrap().as_mut().unwrap().offset = 50;
    assert_eq!(script.chosen().0, node(2));
    script.record.members[1].unsaved = true;
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(3));
    assert_eq!(rejected[1], (node(2), RejectReason::OlderHistory));
    script.answers.remove(&node(3));
    assert_eq!(script.chosen().0, node(2), "better than nothing");
}

#[test]
fn the_master_before_comes_first_where_the_last_one_never_wrote_its_data_down() {
    let mut script = restarted();
    script.record.switch.previous = Some(node(3));
    assert_eq!(script.chosen().0, node(2), "what it held long ago says nothing");
    script.record.members[0].unsaved = true;
    assert_eq!(script.chosen().0, node(3));
    script.answers(2, |v| v.offset = 10);
    assert_eq!(script.chosen().0, node(2), "a history counts for more");
}
