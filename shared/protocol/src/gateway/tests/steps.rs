//! Sentinel's events, in its order and its words.

use super::*;
use crate::tests::{master_view, orchestrator};
use vedette_model::{Failover, Flapping, LossBound, NodeView, PlanReason};

const ONE: &str = "master g 10.0.0.1 6379";
const TWO: &str = "slave 10.0.0.2:6379 10.0.0.2 6379 @ g 10.0.0.1 6379";

impl Script {
    fn says(&mut self, name: EventName, payload: &str) -> Vec<Output> {
        let id = format!("{name} {payload} {}", self.now);
        self.hears(event(name, &id, payload).into())
    }

    fn reports(&mut self, view: NodeView, n: usize, by: usize) -> Vec<Output> {
        let group = record(3).group;
        let mut said =
            self.hears(NodeReport { group, node: node(n), prober: prober(by), view }.into());
        said.retain(|output| told(core::slice::from_ref(output))[0].0.contains("role"));
        said
    }
}

/// The plan to promote the second node, in an epoch of its own.
fn planned(record: &GroupRecord) -> GroupRecord {
    let mut next = record.clone();
    next.revision = Revision(record.revision.0 + 1);
    next.top_epoch = record.top_epoch.next();
    next.failover = Some(Failover {
        epoch: next.top_epoch,
        leader: orchestrator(1),
        failed: node(1),
        target: node(2),
        rejected: vec![],
        loss: LossBound::default(),
        trace_id: record.trace_id(),
        flapping: Flapping::default(),
        reason: PlanReason::Odown,
        perhaps_announced: false,
    });
    next
}

#[test]
fn a_failover_is_told_step_by_step() {
    let mut script = Script::serving();
    let mut heard = vec![];
    for by in 1..=2 {
        heard.extend(script.down(by, 1, true));
    }
    for by in 1..=2 {
        heard.extend(script.verdict(by, true));
    }
    heard.extend(script.says(EventName::TryFailover, ONE));
    heard.extend(script.says(EventName::ElectedLeader, ONE));
    let plan = planned(&record(3));
    heard.extend(script.hears(committed(&plan).into()));
    heard.extend(script.says(EventName::SelectedSlave, TWO));
    heard.extend(script.says(EventName::SendSlaveofNoOne, TWO));
    heard.extend(script.says(EventName::PromotedSlave, TWO));
    heard.extend(script.hears(committed(&switched(&plan, 2)).into()));
    let (master, one, three) = (
        "master g 10.0.0.2 6379",
        "slave 10.0.0.1:6379 10.0.0.1 6379 @ g 10.0.0.2 6379",
        "slave 10.0.0.3:6379 10.0.0.3 6379 @ g 10.0.0.2 6379",
    );
    heard.extend(script.says(EventName::ReconfSlaves, master));
    heard.extend(script.says(EventName::SlaveReconfSent, three));
    heard.extend(script.says(EventName::SlaveReconfDone, three));
    heard.extend(script.says(EventName::FailoverEnd, master));
    let vote = format!("{} 2", sentinel_id("o1"));
    let wanted = [
        ("+sdown", ONE),
        ("+odown", "master g 10.0.0.1 6379 #quorum 2/2"),
        ("+try-failover", ONE),
        ("+elected-leader", ONE),
        ("+failover-state-select-slave", ONE),
        ("+new-epoch", "2"),
        ("+vote-for-leader", &vote),
        ("+selected-slave", TWO),
        ("+failover-state-send-slaveof-noone", TWO),
        ("+failover-state-wait-promotion", TWO),
        ("+promoted-slave", TWO),
        ("+switch-master", "g 10.0.0.1 6379 10.0.0.2 6379"),
        ("+slave", one),
        ("+slave", three),
        ("+failover-state-reconf-slaves", master),
        ("+slave-reconf-sent", three),
        ("+slave-reconf-inprog", three),
        ("+slave-reconf-done", three),
        ("+failover-end", master),
    ];
    assert_eq!(told(&heard), wanted);
}

#[test]
fn who_takes_a_plan_over_neither_chooses_nor_begins_an_epoch() {
    let mut script = Script::serving();
    let mut plan = planned(&record(3));
    let _ = script.hears(committed(&plan).into());
    let said = script.says(EventName::ElectedLeader, ONE);
    assert_eq!(told(&said), [("+elected-leader", ONE)]);
    plan.revision = plan.revision.next();
    plan.failover.as_mut().unwrap().leader = orchestrator(2);
    assert_eq!(told(&script.hears(committed(&plan).into())), []);
}

#[test]
fn whoever_hears_of_the_plan_with_its_end_is_told_the_epoch_alone() {
    let mut script = Script::serving();
    let said = script.hears(committed(&switched(&planned(&record(3)), 2)).into());
    let channels: Vec<_> = told(&said).into_iter().map(|(channel, _)| channel).collect();
    assert_eq!(channels, ["+new-epoch", "+switch-master", "+slave", "+slave"]);
}

#[test]
fn what_has_ended_for_timeout_has_ended_and_an_abort_names_the_master() {
    let mut script = Script::serving();
    let said = script.says(EventName::FailoverEndForTimeout, ONE);
    assert_eq!(told(&said), [("+failover-end-for-timeout", ONE), ("+failover-end", ONE)]);
    let said = script.says(EventName::AbortSlaveTimeout, TWO);
    assert_eq!(told(&said), [("-failover-abort-slave-timeout", ONE)]);
}

#[test]
fn an_attempt_that_nobody_wins_in_ten_seconds_was_not_elected() {
    let mut script = Script::serving();
    let _ = script.says(EventName::TryFailover, ONE);
    assert_eq!(told(&script.until(9_500)), []);
    assert_eq!(told(&script.until(30_000)), [("-failover-abort-not-elected", ONE)], "once");
}

#[test]
fn an_attempt_that_was_won_or_has_a_plan_or_nobody_to_promote_is_none_of_these() {
    let ends: [fn(&mut Script); 3] = [
        |script| drop(script.says(EventName::ElectedLeader, ONE)),
        |script| drop(script.says(EventName::AbortNoGoodSlave, ONE)),
        |script| drop(script.hears(committed(&planned(&record(3))).into())),
    ];
    for end in ends {
        let mut script = Script::serving();
        let _ = script.says(EventName::TryFailover, ONE);
        end(&mut script);
        assert_eq!(told(&script.until(30_000)), []);
    }
}

#[test]
fn a_node_that_says_another_role_is_told_as_the_record_has_it() {
    let mut script = Script::serving();
    let replica = replica_view(2, 1, 500);
    assert_eq!(told(&script.reports(replica.clone(), 2, 1)), [], "the first word is no change");
    assert_eq!(told(&script.reports(replica.clone(), 2, 2)), []);
    let said = script.reports(master_view(2, 500), 2, 1);
    let turned = format!("{TWO} new reported role is master");
    assert_eq!(told(&said), [("-role-change", &*turned)]);
    assert_eq!(told(&script.reports(master_view(2, 500), 2, 2)), [], "once");
    let said = script.reports(replica, 2, 1);
    let turned = format!("{TWO} new reported role is slave");
    assert_eq!(told(&said), [("+role-change", &*turned)]);
    let _ = script.reports(master_view(9, 1), 9, 1);
    assert_eq!(told(&script.reports(replica_view(9, 1, 1), 9, 1)), [], "no member");
}

#[test]
fn a_gateway_that_vanishes_or_closes_its_door_is_a_sentinel_that_is_down() {
    let mut script = Script::serving();
    let open = |n: usize| beat(Service::Gateway, "g2", None, Some(node(n)));
    let sentinel =
        |n: usize| format!("sentinel {} 10.0.0.{n} 6379 @ g 10.0.0.1 6379", sentinel_id("g2"));
    let here = sentinel(92);
    assert_eq!(told(&script.hears(open(92))), [("+sentinel", &*here)]);
    assert_eq!(told(&script.until(4_500)), []);
    assert_eq!(told(&script.until(6_500)), [("+sdown", &*here)]);
    assert_eq!(told(&script.until(20_000)), [], "once");
    let back = [("-sdown", &*here), ("+sentinel", &*here)];
    assert_eq!(told(&script.hears(open(92))), back);
    let shut = || beat(Service::Gateway, "g2", None, None);
    assert_eq!(told(&script.hears(shut())), [("+sdown", &*here)]);
    assert_eq!(told(&script.hears(shut())), []);
    assert_eq!(told(&script.hears(open(92))), back);
    let (there, id) = (sentinel(93), sentinel_id("g2"));
    let moved = format!("{ONE} ip 10.0.0.93 port 6379 for {id}");
    let wanted = [("+sentinel-address-switch", &*moved), ("+sentinel", &*there)];
    assert_eq!(told(&script.hears(open(93))), wanted);
}

#[test]
fn tilt_is_of_no_master_and_a_new_process_is_told_once_for_all_probers() {
    let mut script = Script::serving();
    let said = script.says(EventName::SelfSuspect, ONE);
    assert_eq!(told(&said), [("+tilt", "#tilt mode entered")]);
    let said = script.says(EventName::SelfSuspectOver, ONE);
    assert_eq!(told(&said), [("-tilt", "#tilt mode exited")]);
    let mut reboots = |id: &str, to: &str| {
        let cause = format!("run id a became {to}");
        let said = script.hears(Event { cause, ..event(EventName::Reboot, id, ONE) }.into());
        told(&said).len()
    };
    assert_eq!(["p1:1:1", "p2:1:1", "p3:1:1"].map(|id| reboots(id, "b")), [1, 0, 0]);
    assert_eq!(reboots("p1:1:2", "c"), 1);
}
