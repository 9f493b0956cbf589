//! What counts as a crash.

use super::*;

fn crashed(refused: u32) -> Act {
    down(Evidence::Crash { refused })
}

const REFUSED: Node = Node::Fails(NodeFault::Refused);

fn cut() -> Node {
    Node::Fails(NodeFault::Broken("reset by peer".into()))
}

/// A node that answered until its link broke at 50 ms.
fn broken(change: impl FnOnce(&mut Settings)) -> Script {
    let mut script = Script::with(change);
    let _ = script.run(0, &WELL);
    script.watcher.handle(1, LinkEvent::Lost, at(50));
    script
}

#[test]
fn a_refused_reconnect_twice_over_crash_grace_is_sdown() {
    let mut script = broken(|_| {});
    assert_eq!(script.play(50, &REFUSED), [(50, Act::Connect { attempt: 2 })]);
    let said = script.run(150, &REFUSED);
    // Every tenth of the grace, to see a process that is started again at once.
    let mut expected: Vec<_> =
        (1..=10).map(|n| (50 + 10 * n, Act::Connect { attempt: 2 + n })).collect();
    expected.push((150, crashed(11)));
    assert_eq!(said, expected);
}

/// A promotion closes the connections of the promoted node: it is left alone for a moment.
#[test]
fn a_replica_is_connected_to_again_after_a_moment_and_crashes_like_any_other() {
    let replica = |company| {
        let mut script = Script::new();
        script.watcher.keep_company(company, at(0));
        let _ = script.run(0, &WELL);
        let _ = script.hear(0, LinkEvent::Info(Ok(replica_view(2, 1, 500))));
        script.watcher.handle(script.attempt, LinkEvent::Lost, at(50));
        script
    };
    let mut script = replica(Company::default());
    let said = script.run(150, &REFUSED);
    let mut expected: Vec<_> =
        (2..=10).map(|n| (50 + 10 * n, Act::Connect { attempt: n })).collect();
    expected.push((150, crashed(9)));
    assert_eq!(said, expected);
    // Who is recorded as master is needed, whatever it calls itself.
    let mut script = replica(master());
    assert_eq!(script.play(50, &WELL)[0], (50, Act::Connect { attempt: 2 }));
}

#[test]
fn a_crash_is_reported_again_like_silence_until_it_answers() {
    let mut script = broken(|_| {});
    let _ = script.play(50, &REFUSED);
    let said = script.tell(2_200, &REFUSED);
    assert_eq!(said, [(150, crashed(11)), (1_150, crashed(11))]);
    assert_eq!(script.tell(2_300, &WELL), [(2_250, UP)]);
}

#[test]
fn a_second_refusal_that_comes_late_is_proof_at_once() {
    let mut script = broken(|_| {});
    let _ = script.play(50, &Node::Hangs);
    assert_eq!(script.hear(400, LinkEvent::ConnectFailed(NodeFault::Refused)), []);
    let said = script.tell(405, &REFUSED);
    assert_eq!(said, [(405, crashed(2))]);
}

#[test]
fn a_reconnect_that_succeeds_is_no_crash() {
    let mut script = broken(|_| {});
    assert_eq!(script.play(50, &REFUSED), [(50, Act::Connect { attempt: 2 })]);
    assert_eq!(script.tell(5_000, &WELL), [], "one refusal, then it listens again");
}

#[test]
fn a_reconnect_that_times_out_is_silence_and_no_crash() {
    let mut script = broken(|_| {});
    let _ = script.play(50, &REFUSED);
    let said = script.tell(1_500, &Node::Fails(NodeFault::TimedOut));
    assert_eq!(said, [(1_050, silent(1_000))]);
}

#[test]
fn after_a_time_out_refusals_are_silence() {
    let mut script = broken(|_| {});
    let _ = script.play(50, &Node::Fails(NodeFault::TimedOut));
    assert_eq!(script.tell(1_500, &REFUSED), [(1_050, silent(1_000))]);
}

#[test]
fn without_crash_grace_only_silence_counts() {
    let mut script = broken(|s| s.crash_grace_ms = 0);
    let _ = script.play(50, &REFUSED);
    assert_eq!(script.tell(1_500, &REFUSED), [(1_050, silent(1_000))]);
}

#[test]
fn a_node_that_was_never_connected_cannot_crash() {
    let mut script = Script::new();
    assert_eq!(script.tell(1_500, &REFUSED), [(1_000, silent(1_000))]);
}

#[test]
fn a_connection_cut_by_the_dying_process_does_not_hide_its_crash() {
    let mut script = broken(|_| {});
    assert_eq!(script.play(50, &cut()), [(50, Act::Connect { attempt: 2 })]);
    let said = script.run(200, &REFUSED);
    assert_eq!(said[..2], [(60, Act::Connect { attempt: 3 }), (70, Act::Connect { attempt: 4 })]);
    assert_eq!(told(said), [(150, crashed(10))]);
}

#[test]
fn a_node_that_goes_on_cutting_is_down_by_silence_only() {
    let mut script = broken(|_| {});
    let _ = script.play(50, &cut());
    let said = script.run(1_050, &cut());
    let attempts = |span: core::ops::Range<u64>| {
        let connect =
            |(at, act): &&(u64, Act)| span.contains(at) && matches!(act, Act::Connect { .. });
        said.iter().filter(connect).count()
    };
    assert_eq!((attempts(50..151), attempts(151..1_051)), (10, 9), "no storm after the grace");
    assert_eq!(told(said), [(1_050, silent(1_000))]);
}

#[test]
fn one_of_many_that_are_gone_is_tried_less_often_and_as_soon_proven_gone() {
    let of = |gone, until| {
        let mut script = broken(|_| {});
        script.watcher.set_crowd(Crowd { crashing: gone, away: gone });
        let _ = script.play(50, &REFUSED);
        script.run(until, &REFUSED)
    };
    let tried = |said: Vec<(u64, Act)>| -> Vec<u64> {
        let connects = |(at, act): (u64, Act)| matches!(act, Act::Connect { .. }).then_some(at);
        said.into_iter().filter_map(connects).collect()
    };
    assert_eq!(tried(of(10, 150)).len(), 10, "as one alone");
    assert_eq!(tried(of(30, 150)), [80, 110, 140, 150]);
    assert_eq!(of(1_000, 150)[1..], [(150, crashed(2))]);
    // Ten times a second, or once, as many as they may be.
    assert_eq!(tried(of(100, 450)), [150, 250, 350, 450]);
    assert_eq!(tried(of(5_000, 2_150)), [150, 1_150, 2_150]);
    let mut script = broken(|_| {});
    script.watcher.set_crowd(Crowd { crashing: 1, away: 1_000 });
    let _ = script.play(50, &REFUSED);
    assert_eq!(tried(script.run(150, &REFUSED)).len(), 10, "those that are long gone do not count");
}

#[test]
fn one_that_is_not_down_yet_waits_for_nobody() {
    // Its crash would prove nothing: it is down after a second of silence.
    let mut script = broken(|limits| limits.crash_grace_ms = 0);
    script.watcher.set_crowd(Crowd { crashing: 0, away: 5_000 });
    let _ = script.play(50, &REFUSED);
    let tried = |said: &[(u64, Act)]| {
        said.iter().filter(|(_, act)| matches!(act, Act::Connect { .. })).count()
    };
    assert_eq!(tried(&script.run(949, &REFUSED)), 9 - 1);
    let mut script = broken(|limits| {
        (limits.crash_grace_ms, limits.down_after_ms) = (10_000, 30_000);
    });
    script.watcher.set_crowd(Crowd { crashing: 6_000, away: 6_000 });
    let _ = script.play(50, &REFUSED);
    assert_eq!(tried(&script.run(5_100, &REFUSED)), 5, "once a second at the least");
}

#[test]
fn what_a_dying_process_cuts_is_tried_again_before_the_grace_is_over_among_many_too() {
    let mut script = broken(|_| {});
    script.watcher.set_crowd(Crowd { crashing: 1_000, away: 1_000 });
    assert_eq!(script.play(50, &cut()), [(50, Act::Connect { attempt: 2 })]);
    assert_eq!(script.tell(1_000, &REFUSED)[0], (155, crashed(2)));
}
