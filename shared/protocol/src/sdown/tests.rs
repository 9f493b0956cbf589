//! What counts as a crash.

use super::*;
use alloc::vec;
use vedette_model::Quorum;

fn at(ms: u64) -> Instant {
    Instant::from_millis(ms)
}

/// A node that answered at 1 ms, and whose link broke at 10 ms.
fn broken() -> Watcher {
    let settings = Settings::with_quorum(Quorum::parse(1).unwrap());
    let mut watcher = Watcher::new(&settings, at(0));
    watcher.handle(1, LinkEvent::Connected, at(0));
    watcher.handle(1, LinkEvent::Pong(PingReply::Pong), at(1));
    watcher.handle(1, LinkEvent::Lost, at(10));
    watcher
}

/// What each next attempt comes to, as soon as it is made.
fn attempts(watcher: &mut Watcher, faults: &[NodeFault]) {
    let mut now = at(10);
    for (fault, attempt) in faults.iter().zip(2..) {
        if watcher.link == Link::Closed {
            now = now.max(watcher.next_connect);
            watcher.handle_timeout(now);
        }
        watcher.handle(attempt, LinkEvent::ConnectFailed(fault.clone()), now);
    }
}

#[test]
fn a_connection_cut_by_the_dying_process_does_not_hide_its_crash() {
    let mut watcher = broken();
    let cut = NodeFault::Broken("reset by peer".into());
    attempts(&mut watcher, &[cut, NodeFault::Refused, NodeFault::Refused]);
    assert_eq!(*watcher.state(), NodeState::Down(Evidence::Crash { refused: 2 }));
}

#[test]
fn a_node_that_goes_on_cutting_is_down_by_silence_only() {
    let mut watcher = broken();
    let cut = NodeFault::Broken("reset by peer".into());
    attempts(&mut watcher, &vec![cut; 20]);
    assert_eq!(*watcher.state(), NodeState::Up);
    assert!(watcher.crash.is_none());
    assert!(watcher.next_connect > at(110), "no storm of attempts after the grace");
}
