//! One process, several addresses; one address, several processes.

use super::*;

fn at_address(n: usize, of: usize) -> NodeView {
    changed(good(n), |v| v.run_id = run_id(of))
}

#[test]
fn a_member_by_another_address_is_not_admitted() {
    let mut script = Script::new(2);
    for now in (0..60_000).step_by(10_000) {
        let _ = script.seen(now, 1, stray(1));
        let _ = script.seen(now, 2, good(2));
        let _ = script.seen(now, 9, at_address(9, 2));
        assert_eq!(script.learned(now), None);
    }
}

#[test]
fn a_member_that_answers_elsewhere_only_has_moved() {
    let mut script = Script::new(2);
    for now in (0..15_000).step_by(1_000) {
        let _ = script.seen(now, 1, stray(1));
        let _ = script.seen(now, 9, at_address(9, 2));
        assert_eq!(script.learned(now), None);
    }
    let _ = script.seen(15_000, 9, at_address(9, 2));
    let next = script.learned(15_000).unwrap();
    let moved = Member::new(node(9), Some(run_id(2)));
    assert_eq!((next.members.len(), next.member(&node(9))), (2, Some(&moved)));
    assert_eq!((next.epoch, next.master), (script.record.epoch, node(1)));
}

#[test]
fn a_member_whose_old_address_hosts_a_stranger_has_moved() {
    let mut script = Script::new(2);
    for now in (0..=15_000).step_by(1_000) {
        let _ = script.seen(now, 1, stray(1));
        let _ = script.seen(now, 2, foreign(2));
        let _ = script.seen(now, 9, at_address(9, 2));
    }
    let next = script.learned(15_000).unwrap();
    assert!(next.member(&node(9)).is_some() && next.member(&node(2)).is_none());
}

#[test]
fn two_members_that_turn_out_to_be_one_process_become_one() {
    let mut script = Script::new(3);
    let _ = script.seen(0, 2, at_address(2, 77));
    let _ = script.seen(0, 3, at_address(3, 77));
    let next = script.learned(0).unwrap();
    assert_eq!(next.members.len(), 2);
    assert_eq!(next.member(&node(2)).unwrap().run_id, Some(run_id(77)));
    let _ = script.seen(0, 1, stray(1));
    let _ = script.seen(0, 2, changed(stray(2), |v| v.run_id = run_id(1)));
    let next = script.learned(0).unwrap();
    assert!(next.member(&node(2)).is_none(), "the master stays");
}

#[test]
fn the_master_by_another_address_is_never_told_to_follow_itself() {
    for view in [stray(2), wrong(2), linking(2, 3)] {
        let mut script = Script::round(3, true);
        let alias = changed(view, |v| v.run_id = run_id(1));
        assert_eq!(follows(&script.says(0, 2, alias)), []);
    }
}

#[test]
fn a_node_that_somebody_attached_has_our_data_and_is_a_replica() {
    let mut script = Script::new(2);
    let _ = script.seen(0, 2, changed(good(2), |v| v.run_id = run_id(77)));
    let next = script.learned(0).unwrap();
    assert_eq!(next.member(&node(2)).unwrap().run_id, Some(run_id(77)));
}

/// The recorded master came back as another process, without the data.
fn reborn() -> NodeView {
    changed(stray(1), |v| (v.run_id, v.replid, v.empty) = (run_id(77), history(2), true))
}

fn copied(n: usize) -> NodeView {
    changed(good(n), |v| v.replid = history(2))
}

#[test]
fn a_master_reborn_empty_is_not_believed_while_a_replica_has_the_data() {
    let mut script = Script::new(3);
    let _ = script.seen(0, 1, reborn());
    assert_eq!(script.learned(0), None);
    let _ = script.seen(0, 2, copied(2));
    let _ = script.seen(0, 3, linking(3, 1));
    assert_eq!(script.learned(0), None, "the other one has the data");
    let _ = script.seen(10, 3, copied(3));
    let next = script.learned(10).unwrap();
    assert!(next.lineage.is_current(&history(2)));
    assert_eq!(next.member(&node(1)).unwrap().run_id, Some(run_id(77)));
}

#[test]
fn a_restarted_replica_that_kept_the_data_counts_as_well() {
    let mut script = Script::new(3);
    let _ = script.seen(0, 1, reborn());
    let _ = script.seen(0, 2, copied(2));
    let kept = |v: &mut NodeView| {
        (v.run_id, v.replid, v.replid2) = (run_id(78), history(3), Some(history(1)));
    };
    let _ = script.seen(0, 3, changed(linking(3, 1), kept));
    assert_eq!(script.learned(0), None);
}

#[test]
fn a_master_without_replicas_is_believed_whatever_it_comes_back_with() {
    let mut script = Script::new(1);
    let _ = script.seen(0, 1, reborn());
    assert!(script.learned(0).is_some());
}

#[test]
fn only_the_owner_tells_of_strangers() {
    let mut script = Script::new(2);
    script.reconciler.watch_over(&script.record, false, true, at(0));
    script.reconciler.view(&script.record, &node(2), foreign(2), at(0));
    assert_eq!(script.acts(0), []);
    script.watch_over(true, 0);
    assert_eq!(conflicts(&script.seen(10, 2, foreign(2))), 1);
}

#[test]
fn what_a_loading_node_says_of_its_history_is_not_learned() {
    let mut script = Script::new(2);
    let restarted = changed(master_view(1, 100), |v| {
        v.run_id = run_id(9);
        v.replid2 = Some(v.replid.clone());
        v.replid = history(7);
    });
    let loading = changed(restarted.clone(), |v| v.loading = true);
    let _ = script.seen(0, 1, loading);
    assert_eq!(script.learned(0), None);
    let _ = script.seen(1, 1, restarted);
    assert!(script.learned(1).is_some_and(|record| record.lineage.is_current(&history(7))));
}

#[test]
fn a_node_that_loads_is_no_stranger_before_it_has_loaded() {
    for n in [1, 2] {
        let mut script = Script::new(2);
        let loading = changed(foreign(n), |v| v.loading = true);
        assert_eq!(conflicts(&script.seen(0, n, loading)), 0, "its history comes from its disk");
        assert_eq!(script.reconciler.trouble(&script.record), "");
        assert_eq!(conflicts(&script.seen(10, n, foreign(n))), 1);
        assert_ne!(script.reconciler.trouble(&script.record), "");
    }
}
