//! Which reports count, and what comes of them.

use super::*;
use vedette_model::{Echo, EventName, Opinion, SdownReport};

/// Prober `p<n>` says that node 1 is down, and proves it by a heartbeat of ours.
fn report(n: usize, tick: u64) -> SdownReport {
    SdownReport {
        group: group(),
        epoch: Epoch(1),
        node: node(1),
        prober: prober(n),
        place: place("here"),
        state: NodeState::Down(Evidence::Crash { refused: 2 }),
        last_good_ms: Some(150),
        run_id: None,
        echo: vec![echo(2, LIFE, 99), echo(1, LIFE, tick)],
    }
}

fn echo(n: usize, incarnation: u64, tick: u64) -> Echo {
    Echo { voter: voter(n), incarnation, tick }
}

fn verdict(reached: bool, probers: &[usize]) -> Output {
    let opinion = |n: &usize| Opinion {
        prober: prober(*n),
        place: place("here"),
        evidence: Evidence::Crash { refused: 2 },
    };
    Output::Publish(
        OdownVerdict {
            group: group(),
            epoch: Epoch(1),
            master: node(1),
            voter: voter(1),
            reached,
            quorum: record(3).settings.quorum,
            tally: probers.iter().map(opinion).collect(),
        }
        .into(),
    )
}

fn event(count: u64, name: EventName, cause: &str) -> Output {
    Output::Publish(
        Event {
            id: format!("v1:5:{count}"),
            group: group(),
            name,
            payload: "master g 10.0.0.1 6379".into(),
            cause: cause.into(),
            epoch: Epoch(1),
            source: "voter/v1".into(),
            trace_id: record(3).trace_id(),
        }
        .into(),
    )
}

#[test]
fn a_quorum_of_fresh_reports_is_a_verdict_and_an_event() {
    let mut script = Script::new();
    assert_eq!(script.hear(10, report(1, 1)), []);
    let who = "p1 in here (link broken, 2 reconnects refused), \
               p2 in here (link broken, 2 reconnects refused)";
    assert_eq!(
        script.hear(20, report(2, 1)),
        [verdict(true, &[1, 2]), event(1, EventName::Odown, &format!("quorum 2/2: {who}"))]
    );
    // Repeated without an event; taken back with one.
    let said = script.run(3_010);
    assert_eq!(said[..2], [(1_020, verdict(true, &[1, 2])), (2_020, verdict(true, &[1, 2]))]);
    let rest = "quorum 1/2: p2 in here (link broken, 2 reconnects refused)";
    assert_eq!(
        said[2..],
        [(3_010, verdict(false, &[2])), (3_010, event(2, EventName::OdownOver, rest))]
    );
}

#[test]
fn a_verdict_is_said_again_to_whoever_was_away_and_by_a_voter_that_was() {
    let mut script = Script::new();
    let only_beats = crate::tests::heartbeat(Service::Orchestrator, "o1", 1, 1);
    let orchestrator = Heartbeat { back: true, ..only_beats.clone() };
    assert_eq!(script.hear(5, orchestrator.clone()), [], "there is none");
    let _ = script.hear(10, report(1, 1));
    let _ = script.hear(20, report(2, 1));
    let again = verdict(true, &[1, 2]);
    assert_eq!(script.hear(30, orchestrator), core::slice::from_ref(&again));
    assert_eq!(script.hear(40, only_beats), []);
    script.0.handle(Input::Back, at(50));
    let said = drain(|| script.0.poll_output());
    let [Output::Publish(Fact::Heartbeat(beat)), verdict] = &said[..] else { panic!("{said:?}") };
    assert!(beat.back && beat.tick == 2, "a report may echo it: {beat:?}");
    assert_eq!(*verdict, again);
    let asks = |o: &Output| matches!(o, Output::Publish(Fact::Digest(_)));
    assert!(script.wake_whole(50).iter().any(asks), "for what it missed");
}

#[test]
fn a_late_report_counts_for_nothing() {
    let mut script = Script::new();
    let _ = script.run(2_000);
    // It was sent after our first heartbeat, of 0, and arrives 2 s after that or later.
    assert_eq!(script.hear(2_000, report(1, 1)), [], "just in time");
    assert_eq!(script.hear(2_001, report(2, 1)), []);
    assert_eq!(script.0.stale_reports, 1);
    assert_ne!(script.hear(2_001, report(2, 2)), [], "the next heartbeat was at 500 ms");
}

#[test]
fn a_report_that_proves_nothing_counts_for_nothing() {
    let mut script = Script::new();
    let _ = script.hear(0, report(1, 1));
    let cases = [
        ("no echo", vec![]),
        ("of another voter", vec![echo(2, LIFE, 1)]),
        ("of another life of ours", vec![echo(1, LIFE + 1, 1)]),
        ("of a heartbeat that is still to come", vec![echo(1, LIFE, 2)]),
    ];
    for (stale, (why, echo)) in (1..).zip(cases) {
        assert_eq!(script.hear(10, SdownReport { echo, ..report(2, 1) }), [], "{why}");
        assert_eq!(script.0.stale_reports, stale, "{why}");
    }
    assert_ne!(script.hear(10, report(2, 1)), []);
}

#[test]
fn a_heartbeat_that_was_asked_for_proves_as_much() {
    let mut script = Script::new();
    let _ = script.run(1_900);
    let said = script.hear(1_950, StatusQuery {});
    assert!(matches!(&said[..], [Output::Publish(Fact::Heartbeat(beat))] if beat.tick == 5));
    let _ = script.hear(2_100, report(1, 5));
    assert_ne!(script.hear(2_100, report(2, 5)), []);
}

#[test]
fn a_report_on_a_group_without_a_record_is_passed_over() {
    let mut script = Script::new();
    let unknown = GroupName::parse("unknown").unwrap();
    for n in 1..5 {
        assert_eq!(script.hear(0, SdownReport { group: unknown.clone(), ..report(n, 1) }), []);
    }
    assert_eq!(script.run(400), []);
}

#[test]
fn a_vote_for_a_failover_needs_the_voters_own_verdict() {
    let mut script = Script::new();
    assert_eq!(script.hear(400, candidacy(2, failover())), [refused(2, Refusal::NotOdown)]);
    let _ = script.hear(400, report(1, 1));
    let _ = script.hear(400, report(2, 1));
    let said = script.hear(401, candidacy(2, failover()));
    assert!(matches!(said[..], [Output::Persist(_), Output::Reply { .. }]), "{said:?}");
}

#[test]
fn reports_that_are_over_win_no_vote_because_the_timer_is_late() {
    let mut script = Script::new();
    let _ = script.hear(10, report(1, 1));
    let _ = script.hear(20, report(2, 1));
    // The process was stopped; the candidacy is the first thing it hears.
    let said = script.hear(9_000, candidacy(2, failover()));
    assert_eq!(said[0], refused(2, Refusal::NotOdown));
    assert_eq!(said[1], verdict(false, &[]));
}

#[test]
fn a_verdict_ends_with_the_reign_it_was_on() {
    let mut script = Script::new();
    let _ = script.hear(10, report(1, 1));
    let _ = script.hear(20, report(2, 1));
    let mut next = revision(2);
    (next.epoch, next.master) = (Epoch(2), node(2));
    let said = script.hear(400, proposal(2, &next));
    assert!(matches!(said[..], [Output::Persist(_), Output::Reply { .. }]), "{said:?}");
    assert_eq!(script.run(9_000), [], "nothing more is said of the old master");
    let again = Purpose::Failover { epoch: Epoch(2), master: node(2) };
    let why = Refusal::NotOdown;
    let promised = Some(ballot(2, 2));
    assert_eq!(
        script.hear(9_000, candidacy(3, again)),
        [answer(3, BallotAnswer::Refused { why, promised })]
    );
}
