//! What a prober leaves out where there would be too much of it.

use super::*;
use vedette_model::Lineage;

/// The nodes of which a report was published.
fn viewed<'a>(said: impl IntoIterator<Item = &'a Output>) -> Vec<NodeAddr> {
    let view = |output: &Output| match output {
        Output::Publish(Fact::NodeReport(report)) => Some(report.node.clone()),
        Output::Publish(_)
        | Output::Connect { .. }
        | Output::Ping { .. }
        | Output::Info { .. }
        | Output::Role { .. }
        | Output::Forget { .. } => None,
    };
    said.into_iter().filter_map(view).collect()
}

/// Node 1 leads node 2, both connected; nothing is known of the group's history, which is trouble.
fn connected() -> Script {
    let mut script = Script::new(2);
    let _ = script.knows(0, GroupRecord { lineage: Lineage::default(), ..revision(2, 2) });
    for n in [1, 2] {
        let _ = script.link(0, n, 1, LinkEvent::Connected);
    }
    script
}

impl Script {
    /// Whether others are told what node `n` says.
    fn passes_on(&mut self, now: u64, n: usize, view: &NodeView) -> bool {
        let said = self.link(now, n, 1, LinkEvent::Info(Ok(view.clone())));
        let viewed = viewed(&said);
        assert!(viewed.iter().all(|addr| *addr == node(n)), "{viewed:?}");
        !viewed.is_empty()
    }
}

#[test]
fn what_says_nothing_new_is_passed_on_every_three_seconds() {
    let mut script = connected();
    let mut view = replica_view(2, 1, 500);
    assert!(script.passes_on(10, 2, &view));
    view.offset = 600;
    assert!(!script.passes_on(1_010, 2, &view), "its master tells how far it is behind");
    assert!(!script.passes_on(3_009, 2, &view));
    assert!(script.passes_on(3_010, 2, &view));
    let up = view.upstream.as_mut().unwrap();
    (up.link_up, up.down_for_ms) = (false, Some(0));
    assert!(script.passes_on(3_020, 2, &view), "its link broke");
    view.upstream.as_mut().unwrap().down_for_ms = Some(1_000);
    assert!(!script.passes_on(4_020, 2, &view), "time has passed");
    view.persistence_ok = false;
    assert!(script.passes_on(4_030, 2, &view));
    assert!(!script.passes_on(4_040, 2, &view));
}

#[test]
fn in_quiet_times_everything_is_passed_on() {
    let mut script = connected();
    let _ = script.knows(0, revision(3, 2));
    let mut view = replica_view(2, 1, 500);
    for (now, offset) in [(10, 500), (20, 500), (30, 501)] {
        view.offset = offset;
        assert!(script.passes_on(now, 2, &view), "at {now}");
    }
}

#[test]
fn how_far_replicas_are_behind_is_passed_on_at_once() {
    let mut script = connected();
    let mut view = master_view(1, 0);
    view.replicas = vec![ReplicaSeen { addr: node(2), online: true, offset: 0 }];
    assert!(script.passes_on(10, 1, &view));
    view.offset = 1;
    assert!(script.passes_on(1_010, 1, &view));
    view.replicas[0].offset = 1;
    assert!(script.passes_on(2_010, 1, &view));
    assert!(!script.passes_on(2_020, 1, &view));
}

#[test]
fn who_may_not_have_heard_it_is_told_what_says_nothing_new() {
    let view = replica_view(2, 1, 500);
    let mut script = connected();
    assert!(script.passes_on(10, 2, &view));
    let born = crate::tests::heartbeat(Service::Orchestrator, "o1", 3, 1);
    let _ = script.hear(20, born.clone());
    assert!(script.passes_on(30, 2, &view), "an orchestrator was born");
    let _ = script.hear(40, Heartbeat { tick: 2, ..born });
    assert!(!script.passes_on(50, 2, &view));
    script.0.handle(Input::Back, at(60));
    let _ = drain(|| script.0.poll_output());
    assert!(script.passes_on(70, 2, &view), "it may have been lost");
    let next = GroupRecord { epoch: Epoch(2), ..revision(3, 2) };
    let _ = script.knows(80, next);
    assert!(script.passes_on(90, 2, &view), "what was seen in the reign before is forgotten");
    assert!(!script.passes_on(100, 2, &view));
}

#[test]
fn of_many_nodes_that_are_gone_each_is_tried_less_often() {
    let tried = |gone: usize| {
        let mut script = Script::new(1);
        let _ = script.knows(0, revision(2, gone));
        for n in 1..=gone {
            let _ = script.link(0, n, 1, LinkEvent::Connected);
            let _ = script.link(0, n, 1, LinkEvent::Pong(PingReply::Pong));
        }
        assert!(script.0.away.is_empty());
        for n in 1..=gone {
            let _ = script.link(100, n, 1, LinkEvent::Lost);
        }
        assert_eq!((script.0.away.len(), script.0.crashing.len()), (gone, gone));
        let _ = script.link(100, 1, 2, LinkEvent::ConnectFailed(NodeFault::Refused));
        let _ = script.run(140);
        let before = script.attempt(1);
        let _ = script.knows(140, revision(9, 0));
        let left = (script.0.away.len(), script.0.crashing.len());
        assert_eq!(left, (0, 0), "who is watched no more counts no more");
        before
    };
    assert_eq!((tried(1), tried(60)), (3, 2));
}
