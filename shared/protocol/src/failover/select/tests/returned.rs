//! The recorded master that came back as a replica.

use super::*;

fn follows(script: &mut Script, n: usize, of: usize, offset: u64) {
    script.answers.insert(node(n), Ok(replica_view(n, of, offset)));
}

#[test]
fn a_master_that_came_back_as_a_replica_is_promoted_again_if_nobody_is_better() {
    let mut script = Script::new(3);
    follows(&mut script, 1, 3, 1_000);
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(1), "nobody has to move");
    let ranks = [(node(2), RejectReason::RanksLower), (node(3), RejectReason::RanksLower)];
    assert_eq!(rejected, ranks);
}

#[test]
fn another_is_promoted_if_it_is_better() {
    let mut script = Script::new(2);
    follows(&mut script, 1, 2, 999);
    assert_eq!(script.chosen().0, node(2), "it holds more");
    follows(&mut script, 1, 2, 1_000);
    script.answers(2, |v| v.priority = 50);
    assert_eq!(script.chosen().0, node(2), "it has the better priority");
}

#[test]
fn what_is_asked_of_others_is_asked_of_it() {
    let mut script = Script::new(1);
    let mut view = replica_view(1, 2, 1_000);
    view.replid = history(9);
    script.answers.insert(node(1), Ok(view));
    let rejected = script.select().unwrap_err();
    assert_eq!(rejected[0].reason, RejectReason::Stranger);
}

#[test]
fn a_master_that_says_it_is_one_is_the_failed_master() {
    let mut script = Script::new(2);
    script.answers.insert(node(1), Ok(master_view(1, 1_000)));
    assert_eq!(script.chosen(), (node(2), vec![(node(1), RejectReason::FailedMaster)]));
}

#[test]
fn an_empty_node_is_not_the_last_resort_while_the_returned_master_holds_something() {
    let mut script = Script { relaxed: true, ..Script::new(2) };
    script.answers(2, |v| (v.empty, v.replid) = (true, history(8)));
    let mut view = replica_view(1, 2, 1_000);
    (view.replid, view.loading) = (history(9), true);
    script.answers.insert(node(1), Ok(view));
    assert!(script.select().is_err());
}

/// Somebody made node 3 the master, and all others follow it.
fn switched_by_hand() -> Script {
    let mut script = Script::new(3);
    let mut head = master_view(3, 1_200);
    head.replid2 = Some(core::mem::replace(&mut head.replid, history(7)));
    script.answers.insert(node(3), Ok(head));
    follows(&mut script, 1, 3, 1_200);
    follows(&mut script, 2, 3, 1_200);
    script
}

#[test]
fn a_switch_by_hand_is_kept_at_once() {
    let (target, rejected) = switched_by_hand().chosen();
    assert_eq!(target, node(3), "what was written since then is there");
    let ranks = [(node(1), RejectReason::RanksLower), (node(2), RejectReason::RanksLower)];
    assert_eq!(rejected, ranks);
}

#[test]
fn a_master_that_the_recorded_one_only_tries_to_follow_has_no_such_claim() {
    let mut script = switched_by_hand();
    let mut view = replica_view(1, 3, 1_200);
    view.upstream.as_mut().unwrap().link_up = false;
    script.answers.insert(node(1), Ok(view));
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(1));
    assert!(rejected.contains(&(node(3), RejectReason::NotAReplica)), "{rejected:?}");
}

#[test]
fn nor_has_one_with_an_older_history() {
    let mut script = switched_by_hand();
    script.record.lineage.add(&history(8));
    script.reign_ms = Some(1_000);
    let (target, rejected) = script.chosen();
    assert_eq!(target, node(1));
    assert!(rejected.contains(&(node(3), RejectReason::NotAReplica)), "{rejected:?}");
}

#[test]
fn nor_after_a_restart_of_either() {
    for n in [1, 3] {
        let mut script = switched_by_hand();
        if let Some(Ok(view)) = script.answers.get_mut(&node(n)) {
            view.run_id = run_id(9);
        }
        let (target, rejected) = script.chosen();
        assert_eq!(target, node(1), "of {n}");
        assert!(rejected.contains(&(node(3), RejectReason::NotAReplica)), "{rejected:?}");
    }
}
