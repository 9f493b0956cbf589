//! Replicas behind replicas.

use super::*;
use vedette_model::Failover;

fn chaining(nodes: usize) -> Script {
    let mut script = Script::round(nodes, false);
    script.record.settings.chained_replicas = true;
    script
}

fn behind(n: usize, of: usize) -> NodeView {
    replica_view(n, of, 100)
}

#[test]
fn by_default_a_chained_replica_is_made_to_follow_the_master() {
    let mut script = Script::round(3, false);
    assert_eq!(follows(&script.says(0, 2, behind(2, 3))), [(node(2), EventName::FixSlaveConfig)]);
}

#[test]
fn where_chains_are_allowed_one_that_reaches_the_master_is_in_line() {
    let mut script = chaining(4);
    for (n, view) in [(2, behind(2, 3)), (3, behind(3, 4)), (4, good(4))] {
        assert_eq!(follows(&script.says(0, n, view)), []);
    }
    assert!(!script.reconciler.in_round());
    assert!(!script.has_work(0));
}

#[test]
fn a_chained_replica_without_a_link_is_left_to_the_one_it_follows() {
    let mut script = chaining(3);
    assert_eq!(follows(&script.says(0, 2, linking(2, 3))), []);
    assert_eq!(follows(&script.says(0, 3, stray(3))), [converted(3)]);
    assert_eq!(follows(&script.says(10, 3, good(3))), []);
    let _ = script.begin(false, 20, 20);
    assert_eq!(follows(&script.says(20, 2, linking(2, 3))), []);
}

#[test]
fn one_of_a_loop_is_corrected_and_those_behind_it_are_left() {
    let mut script = chaining(4);
    assert_eq!(follows(&script.says(0, 4, linking(4, 2))), []);
    assert_eq!(follows(&script.says(0, 2, linking(2, 3))), []);
    let acts = script.says(0, 3, linking(3, 2));
    assert_eq!(follows(&acts), [(node(3), EventName::FixSlaveConfig)], "it closes the loop");
    let _ = script.says(10, 3, good(3));
    let _ = script.begin(false, 20, 20);
    assert_eq!(follows(&script.says(20, 2, behind(2, 3))), []);
    assert_eq!(follows(&script.says(20, 4, behind(4, 2))), []);
}

#[test]
fn one_that_follows_itself_a_stranger_or_a_gone_member_is_corrected() {
    // Who follows itself was frozen when it was master, and has a master's clients.
    let itself = (2, EventName::ConvertToSlave);
    let others = [3, 99].map(|of| (of, EventName::FixSlaveConfig));
    for (of, told) in [itself].into_iter().chain(others) {
        let mut script = chaining(3);
        script.record.members[2].gone = true;
        let acts = script.says(0, 2, linking(2, of));
        assert_eq!(follows(&acts), [(node(2), told)], "{of}");
    }
}

#[test]
fn nobody_waits_behind_the_master_that_failed() {
    let mut script = chaining(4);
    script.record.switch.previous = Some(node(3));
    assert_eq!(follows(&script.says(0, 2, behind(2, 3))), [(node(2), EventName::FixSlaveConfig)]);
    let mut script = chaining(4);
    script.record.switch.previous = Some(node(3));
    let _ = script.seen(0, 3, good(3));
    assert_eq!(follows(&script.says(0, 2, behind(2, 3))), [], "it is a replica itself now");
    script.record.failover = Some(Failover {
        epoch: script.record.epoch,
        leader: crate::tests::orchestrator(1),
        failed: node(4),
        target: node(1),
        rejected: vec![],
        loss: script.record.switch.loss,
        trace_id: script.record.trace_id(),
        flapping: script.record.flapping,
        perhaps_announced: false,
        reason: vedette_model::PlanReason::Odown,
    });
    let _ = script.begin(true, 0, 0);
    assert_eq!(follows(&script.says(0, 2, behind(2, 4))), [sent(2)]);
}

#[test]
fn a_chained_replica_of_another_history_is_not_touched() {
    let mut script = chaining(3);
    let foreign = changed(behind(2, 3), |v| (v.run_id, v.replid) = (run_id(77), history(2)));
    assert_eq!(follows(&script.says(0, 2, foreign)), []);
}
