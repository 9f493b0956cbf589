//! Whom load balancers are sent to.

use super::*;
use crate::gateway::tests::{Script, committed, switched, told};
use crate::tests::{
    at, group, history, master_view, node, orchestrator, prober, record, replica_view,
};
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{
    Epoch, Fact, Failover, Flapping, LossBound, NodeReport, ReplicaSeen, Revision, SwitchReason,
};

fn reported(n: usize, view: NodeView) -> Fact {
    NodeReport { group: group(), node: node(n), prober: prober(1), view }.into()
}

/// Node 1 as a master that sees its replicas 2 and 3 at these offsets.
fn master_seeing(offsets: [u64; 2]) -> NodeView {
    let mut view = master_view(1, 1_000);
    let seen = |(n, offset)| ReplicaSeen { addr: node(n), online: true, offset };
    view.replicas = [2, 3].into_iter().zip(offsets).map(seen).collect();
    view
}

impl Script {
    fn with_views() -> Self {
        let mut script = Self::serving();
        let _ = script.hears(reported(1, master_seeing([1_000, 400])));
        for n in [2, 3] {
            let _ = script.hears(reported(n, replica_view(n, 1, 900)));
        }
        script
    }

    /// Since when clients take a replica for down only because it must not be read from.
    fn unreadable(&self, record: &GroupRecord, n: usize) -> Option<Instant> {
        self.gateway.look(record, &node(n), at(self.now)).unreadable
    }

    fn primary(&self, n: usize) -> Result<(), Unfit> {
        self.gateway.primary("g", &node(n), at(self.now))
    }

    fn readable(&self, n: usize, max_lag: Option<u64>) -> Result<(), Unfit> {
        self.gateway.readable("g", &node(n), max_lag, at(self.now))
    }
}

#[test]
fn only_the_recorded_master_is_primary_and_only_while_the_view_is_fresh() {
    let mut script = Script::with_views();
    assert_eq!(script.primary(1), Ok(()));
    assert_eq!(script.primary(2), Err(Unfit::OtherMaster(node(1))));
    assert_eq!(script.gateway.primary("other", &node(1), at(script.now)), Err(Unfit::UnknownGroup));
    let _ = script.until(7_001);
    assert_eq!(script.primary(1), Err(Unfit::Stale));
    assert_eq!(script.readable(2, None), Ok(()), "reads need no fresh record");
}

#[test]
fn nobody_is_primary_between_the_plan_and_the_switch() {
    let mut script = Script::with_views();
    let mut planned = record(3);
    planned.revision = Revision(2);
    planned.top_epoch = Epoch(2);
    planned.failover = Some(Failover {
        epoch: Epoch(2),
        failed: node(1),
        target: node(2),
        leader: orchestrator(1),
        rejected: vec![],
        loss: LossBound::default(),
        trace_id: planned.trace_id(),
        flapping: Flapping::default(),
        perhaps_announced: false,
        reason: vedette_model::PlanReason::Odown,
    });
    let _ = script.hears(committed(&planned).into());
    assert_eq!(script.primary(1), Err(Unfit::Moving(node(2))));
    assert_eq!(script.primary(2), Err(Unfit::OtherMaster(node(1))));
    let mut switched = planned;
    switched.revision = Revision(3);
    switched.epoch = Epoch(2);
    switched.master = node(2);
    switched.switch.previous = Some(node(1));
    let _ = script.hears(committed(&switched).into());
    assert_eq!(script.primary(1), Err(Unfit::OtherMaster(node(2))));
    assert_eq!(script.primary(2), Ok(()));
    assert_eq!(script.readable(3, None), Ok(()), "it still follows the old master");
}

#[test]
fn a_replica_is_readable_while_it_is_up_linked_and_near_enough() {
    let mut script = Script::with_views();
    assert_eq!(script.readable(1, None), Err(Unfit::IsMaster));
    assert_eq!(script.readable(9, None), Err(Unfit::UnknownNode));
    assert_eq!(script.readable(2, Some(0)), Ok(()));
    assert_eq!(script.readable(3, Some(599)), Err(Unfit::Behind(600)));
    assert_eq!(script.readable(3, Some(600)), Ok(()));
    let broken = |change: fn(&mut NodeView)| {
        let mut view = replica_view(2, 1, 900);
        change(&mut view);
        view
    };
    for (view, why) in [
        (broken(|view| view.loading = true), Unfit::Loading),
        (broken(|view| view.replid = history(9)), Unfit::Foreign),
        (broken(|view| view.role = Role::Master), Unfit::WrongRole),
        (broken(|view| view.upstream.as_mut().unwrap().syncing = true), Unfit::Syncing),
        (broken(|view| view.upstream.as_mut().unwrap().link_up = false), Unfit::Unlinked),
        (
            broken(|view| view.upstream.as_mut().unwrap().addr = node(7)),
            Unfit::OtherUpstream(node(7)),
        ),
    ] {
        let _ = script.hears(reported(2, view));
        assert_eq!(script.readable(2, None), Err(why));
    }
    let _ = script.hears(reported(2, replica_view(2, 1, 900)));
    for by in 1..=2 {
        let _ = script.down(by, 2, true);
    }
    assert_eq!(script.readable(2, None), Err(Unfit::Down));
    assert_eq!(script.readable(3, None), Ok(()));
    let _ = script.until(25_000);
    assert_eq!(script.readable(3, None), Err(Unfit::Unseen));
}

#[test]
fn a_dead_master_alone_takes_no_replica_away() {
    let mut script = Script::with_views();
    for by in 1..=2 {
        let _ = script.down(by, 1, true);
    }
    let mut unlinked = replica_view(2, 1, 900);
    let link = unlinked.upstream.as_mut().unwrap();
    (link.link_up, link.down_for_ms) = (false, Some(1_000));
    let _ = script.hears(reported(2, unlinked.clone()));
    assert_eq!(script.readable(2, Some(0)), Ok(()));
    // Its link was down long before the master was.
    unlinked.upstream.as_mut().unwrap().down_for_ms = Some(60_000);
    let _ = script.hears(reported(2, unlinked));
    assert_eq!(script.readable(2, None), Err(Unfit::Unlinked));
}

/// Node 2 while it gets all data anew.
fn syncing() -> NodeView {
    let mut view = replica_view(2, 1, 900);
    view.upstream.as_mut().unwrap().syncing = true;
    view
}

#[test]
fn a_replica_that_must_not_be_read_from_is_told_as_down_until_it_may() {
    let mut script = Script::with_views();
    script.now = 100;
    assert_eq!(told(&script.hears(reported(2, syncing())))[0].0, "+sdown");
    script.now = 200;
    assert_eq!(told(&script.hears(reported(2, syncing()))), [], "once");
    assert_eq!(script.unreadable(&record(3), 2), Some(at(100)));
    assert_eq!(told(&script.hears(reported(2, replica_view(2, 1, 900))))[0].0, "-sdown");
    assert_eq!(script.unreadable(&record(3), 2), None);
    script.gateway.unreadable_is_down = false;
    assert_eq!(told(&script.hears(reported(2, syncing()))), []);
    assert_eq!(script.unreadable(&record(3), 2), None);
}

#[test]
fn one_that_is_both_down_and_unreadable_is_told_once_and_back_when_it_is_neither() {
    let mut script = Script::with_views();
    let _ = script.hears(reported(2, syncing()));
    for by in 1..=2 {
        assert_eq!(told(&script.down(by, 2, true)), []);
    }
    assert_eq!(told(&script.hears(reported(2, replica_view(2, 1, 900)))), [], "still down");
    assert_eq!(told(&script.down(1, 2, false))[0].0, "-sdown");
}

#[test]
fn a_hidden_replica_is_not_readable_and_not_told_as_down() {
    let mut script = Script::with_views();
    let hidden = NodeView { hidden: true, ..replica_view(2, 1, 900) };
    assert_eq!(told(&script.hears(reported(2, hidden))), []);
    assert_eq!(script.readable(2, None), Err(Unfit::Hidden));
    let hidden = NodeView { hidden: true, ..syncing() };
    assert_eq!(told(&script.hears(reported(2, hidden)))[0].0, "+sdown");
}

#[test]
fn whom_nobody_has_seen_lately_is_not_told_as_down() {
    let mut script = Script::with_views();
    let said = script.until(26_000);
    assert_eq!(script.readable(2, None), Err(Unfit::Unseen));
    assert_eq!(told(&said), []);
    assert_eq!(script.unreadable(&record(3), 2), None);
}

#[test]
fn a_replica_that_was_unreadable_is_not_so_as_master() {
    let mut script = Script::with_views();
    let _ = script.hears(reported(2, syncing()));
    let next = switched(&record(3), 2);
    let _ = script.hears(committed(&next).into());
    assert_eq!(script.unreadable(&next, 2), None);
}

/// It is told to follow in the same moment, and has not been asked since.
#[test]
fn a_master_that_has_handed_over_is_not_told_as_down() {
    let mut script = Script::with_views();
    let mut next = switched(&record(3), 2);
    next.switch.reason = SwitchReason::Switchover;
    let _ = script.hears(committed(&next).into());
    assert_eq!(script.readable(1, None), Err(Unfit::WrongRole), "nobody is to read there yet");
    assert_eq!(told(&script.hears(reported(3, replica_view(3, 2, 900)))), []);
    assert_eq!(script.unreadable(&next, 1), None);
    // It synchronises from the new one.
    let mut view = replica_view(1, 2, 900);
    view.upstream.as_mut().unwrap().syncing = true;
    let heard = script.hears(reported(1, view));
    let channels: Vec<_> = told(&heard).iter().map(|t| t.0).collect();
    assert_eq!(channels, ["+role-change", "+sdown"]);
}

#[test]
fn a_master_that_was_replaced_or_comes_back_as_one_is_told_as_down() {
    let sdown = [("+sdown", "slave 10.0.0.1:6379 10.0.0.1 6379 @ g 10.0.0.2 6379")];
    for reason in [SwitchReason::Failover, SwitchReason::Switchover] {
        let mut script = Script::with_views();
        let mut next = switched(&record(3), 2);
        next.switch.reason = reason;
        let _ = script.hears(committed(&next).into());
        if reason == SwitchReason::Switchover {
            let _ = script.until(1_000);
            assert_eq!(told(&script.hears(reported(1, master_seeing([0, 0])))), sdown);
        } else {
            assert_eq!(told(&script.hears(reported(3, replica_view(3, 2, 900)))), sdown);
        }
        assert!(script.unreadable(&next, 1).is_some(), "{reason:?}");
    }
}

#[test]
fn the_views_age_is_that_of_the_majoritys_answer() {
    let mut script = Script::serving();
    assert_eq!(script.gateway.age(at(0)), Some(Duration::ZERO));
    script.now = 500;
    let _ = script.answered(1);
    script.now = 700;
    assert_eq!(script.gateway.age(at(700)), Some(Duration::from_millis(700)));
    let _ = script.answered(2);
    assert_eq!(script.gateway.age(at(900)), Some(Duration::from_millis(200)));
    assert_eq!(Script::new().gateway.age(at(1)), None);
}
