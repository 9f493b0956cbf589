//! Every kind of answer, and what it says of the node.

use super::*;
use alloc::string::ToString;

fn denied() -> PingReply {
    PingReply::Denied("NOAUTH Authentication required.".into())
}

fn no_auth() -> NodeFault {
    NodeFault::Denied("WRONGPASS invalid username-password pair".into())
}

/// A node down by silence since 1,100 ms.
fn down_by_silence() -> Script {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    assert_eq!(script.tell(1_200, &Node::Mute), [(1_100, silent(1_000))]);
    script
}

#[test]
fn a_pong_and_masterdown_are_alive() {
    for reply in [PingReply::Pong, PingReply::MasterDown] {
        let mut script = Script::new();
        assert_eq!(script.tell(30_000, &Node::Says(reply.clone())), []);
        let mut script = down_by_silence();
        assert_eq!(script.hear(1_250, LinkEvent::Pong(reply)), [UP]);
    }
}

#[test]
fn misconf_is_alive_and_write_impaired() {
    let mut script = Script::new();
    let said = script.tell(30_000, &Node::Says(PingReply::Misconf));
    assert_eq!(events(&said), [(0, EventName::WriteImpaired)]);
    assert_eq!(said.len(), 1, "it is said once and nothing is voted");
    let said = script.tell(30_100, &WELL);
    assert_eq!(
        said,
        [(30_100, Act::Event(EventName::TroubleOver, "write-impaired is over".into()))]
    );
}

#[test]
fn busy_is_alive_for_its_budget_and_down_after_it() {
    let mut script = Script::new();
    let said = script.tell(2_999, &Node::Says(PingReply::Busy));
    assert_eq!((events(&said), said.len()), (vec![(0, EventName::Busy)], 1));
    let said = script.tell(3_500, &Node::Says(PingReply::Busy));
    assert_eq!(said, [(3_000, down(Evidence::Busy { for_ms: 3_000 }))]);
    let said = script.tell(3_600, &WELL);
    let over = Act::Event(EventName::TroubleOver, "busy is over".into());
    assert_eq!(said, [(3_600, UP), (3_600, over)]);
}

#[test]
fn a_pong_gives_the_whole_budget_back() {
    let mut script = Script::new();
    let _ = script.run(2_900, &Node::Says(PingReply::Busy));
    let _ = script.run(3_000, &WELL);
    let said = script.tell(6_099, &Node::Says(PingReply::Busy));
    assert_eq!((events(&said), said.len()), (vec![(3_100, EventName::Busy)], 1));
    let said = script.tell(6_100, &Node::Says(PingReply::Busy));
    assert_eq!(said, [(6_100, down(Evidence::Busy { for_ms: 3_000 }))]);
}

#[test]
fn a_busy_node_that_falls_silent_is_down_by_silence() {
    let mut script = Script::new();
    let _ = script.run(0, &Node::Says(PingReply::Busy));
    assert_eq!(script.tell(1_100, &Node::Mute), [(1_100, silent(1_000))]);
}

#[test]
fn a_silent_node_that_says_busy_within_its_budget_is_alive() {
    let mut script = down_by_silence();
    let said = script.hear(1_250, LinkEvent::Pong(PingReply::Busy));
    assert_eq!(said[0], UP);
    assert_eq!(said.len(), 2, "and the event");
}

#[test]
fn a_budget_of_nothing_makes_busy_down_at_once() {
    let mut script = Script::with(|s| s.busy_budget_ms = 0);
    let said = script.tell(0, &Node::Says(PingReply::Busy));
    assert_eq!(events(&said), [(0, EventName::Busy)]);
    assert_eq!(said[1], (0, down(Evidence::Busy { for_ms: 0 })));
}

#[test]
fn a_reply_that_means_nothing_is_silence() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let said = script.tell(1_100, &Node::Says(PingReply::Other("-ERR what?".into())));
    assert_eq!(said, [(1_100, silent(1_000))]);
}

#[test]
fn auth_trouble_is_never_a_vote() {
    for node in [Node::Says(denied()), Node::Fails(no_auth())] {
        let mut script = Script::new();
        let said = script.tell(30_000, &node);
        assert_eq!((events(&said), said.len()), (vec![(0, EventName::AuthError)], 1));
        let said = script.tell(30_200, &WELL);
        assert_eq!(said.len(), 1);
        assert_eq!(said[0].1, Act::Event(EventName::TroubleOver, "auth-error is over".into()));
    }
}

#[test]
fn auth_trouble_takes_a_vote_back() {
    let mut script = down_by_silence();
    assert_eq!(script.hear(1_250, LinkEvent::Pong(denied()))[0], UP);
}

#[test]
fn auth_trouble_after_busy_is_never_a_vote() {
    let mut script = Script::new();
    let _ = script.run(100, &Node::Says(PingReply::Busy));
    let said = script.tell(30_000, &Node::Says(denied()));
    assert_eq!((events(&said), said.len()), (vec![(200, EventName::AuthError)], 1));
}

#[test]
fn a_refused_info_is_auth_trouble_until_info_is_answered() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let said = script.hear(10, LinkEvent::Info(Err(no_auth())));
    assert!(matches!(said[..], [Act::Event(EventName::AuthError, _)]), "{said:?}");
    assert_eq!(script.tell(9_999, &WELL), [], "that PING is answered does not end it");
    assert_eq!(script.hear(10_000, LinkEvent::Info(Err(no_auth()))), [], "it is said once");
    let view = replica_view(1, 2, 0);
    assert_eq!(script.hear(10_010, LinkEvent::Info(Ok(view.clone()))), [Act::View(view)]);
    let said = script.tell(10_100, &WELL);
    assert_eq!(events(&said), [(10_010, EventName::TroubleOver)]);
}

#[test]
fn an_info_that_fails_otherwise_says_nothing() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    for fault in [NodeFault::TimedOut, NodeFault::Error("LOADING".to_string())] {
        assert_eq!(script.hear(10, LinkEvent::Info(Err(fault))), []);
    }
}

#[test]
fn a_name_that_never_resolved_is_never_a_vote() {
    let unresolved = Node::Fails(NodeFault::Unresolved("no such host".into()));
    let mut script = Script::new();
    let said = script.tell(30_000, &unresolved);
    assert_eq!((events(&said), said.len()), (vec![(0, EventName::DnsError)], 1));
    let said = script.tell(30_100, &WELL);
    assert_eq!(events(&said), [(30_100, EventName::TroubleOver)]);
    // Nor if it begins after a link broke, or while the node was busy.
    let mut script = Script::new();
    let _ = script.run(100, &Node::Says(PingReply::Busy));
    script.watcher.handle(1, LinkEvent::Lost, at(150));
    let said = told(script.play(150, &unresolved));
    assert_eq!(events(&said), [(150, EventName::DnsError)]);
    assert_eq!(script.tell(30_000, &unresolved), []);
    assert_eq!(*script.watcher.state(), NodeState::Up);
    // And who had a reason before has none any more.
    let mut script = down_by_silence();
    let said = script.tell(1_800, &Node::Fails(NodeFault::Unresolved("gone".into())));
    assert_eq!(said, [], "its connection is still open");
    let said = script.hear(1_850, LinkEvent::ConnectFailed(NodeFault::Unresolved("gone".into())));
    assert_eq!(said[0], UP);
}

#[test]
fn a_name_that_resolves_no_more_is_told_once_and_its_last_address_is_judged() {
    let lost = || LinkEvent::Name(Err("no such host".into()));
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let said = script.hear(10, lost());
    assert!(matches!(said[..], [Act::Event(EventName::DnsError, _)]), "{said:?}");
    assert_eq!(script.hear(20, lost()), []);
    assert_eq!(script.tell(500, &WELL), [], "that it answers does not mend its name");
    assert_eq!(script.tell(1_599, &Node::Mute), []);
    assert_eq!(script.tell(1_600, &Node::Mute), [(1_600, silent(1_000))], "silence counts");
    let said = script.hear(1_700, LinkEvent::Name(Ok(())));
    assert_eq!(said, [Act::Event(EventName::TroubleOver, "dns-error is over".into())]);
}

#[test]
fn what_info_says_is_passed_on_and_a_new_run_id_is_a_reboot() {
    let mut script = Script::new();
    let _ = script.run(0, &WELL);
    let (first, second) = (replica_view(1, 2, 0), replica_view(3, 2, 0));
    assert_eq!(script.hear(1, LinkEvent::Info(Ok(first.clone()))), [Act::View(first.clone())]);
    assert_eq!(script.hear(2, LinkEvent::Info(Ok(first.clone()))), [Act::View(first.clone())]);
    let cause = format!("run id {} became {}", first.run_id, second.run_id);
    assert_eq!(
        script.hear(3, LinkEvent::Info(Ok(second.clone()))),
        [Act::Event(EventName::Reboot, cause), Act::View(second.clone())]
    );
    assert_eq!(script.watcher.run_id(), Some(&second.run_id));
}
