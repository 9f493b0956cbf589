//! Sinks whose events a stream brings.

use super::*;

const HOOK: &str = "hook";

fn kept() -> Script {
    Script::with(vec![live("log"), Sink { kept: true, ..live(HOOK) }])
}

/// With a stream.
fn reached() -> Script {
    let mut script = kept();
    assert_eq!(script.input(0, Input::Reached(true)), []);
    script
}

fn given(seq: u64, event: &Event) -> Input {
    Input::Given { sink: HOOK.to_string(), seq, event: event.clone() }
}

fn stored(id: &str) -> Input {
    Input::Stored { id: id.to_string() }
}

fn lost() -> Input {
    Input::Lost { sink: HOOK.to_string() }
}

fn settled(outputs: &[Output]) -> Vec<u64> {
    outputs
        .iter()
        .filter_map(|output| {
            let Output::Settled { seq, .. } = output else { return None };
            Some(*seq)
        })
        .collect()
}

/// The deliveries to the kept sink alone.
fn hooked(outputs: &[Output]) -> Vec<(&str, &str, u32)> {
    deliveries(outputs).into_iter().filter(|(sink, _, _)| *sink == HOOK).collect()
}

#[test]
fn what_the_stream_has_is_told_when_it_is_given_and_settled_when_it_arrived() {
    let mut script = reached();
    let heard = script.hear(1, &event("a", "1"));
    assert_eq!(deliveries(&heard), [("log", "1", 1)], "only the live sink");
    assert_eq!(script.input(2, stored("1")), []);
    assert_eq!(hooked(&script.tick(10_000)), [], "somebody else may hold the sink");
    let out = script.input(10_001, given(7, &event("a", "1")));
    assert_eq!(hooked(&out), [(HOOK, "1", 1)]);
    let out = script.answer(10_002, tickets(&out)[0], Outcome::Delivered);
    assert_eq!(settled(&out), [7]);
    assert_eq!(settled(&script.input(10_003, given(7, &event("a", "1")))), [7], "given again");
}

#[test]
fn what_the_stream_has_before_the_bus_says_it_is_not_told_live() {
    let mut script = reached();
    script.input(0, stored("1"));
    assert_eq!(hooked(&script.hear(1, &event("a", "1"))), []);
    assert_eq!(hooked(&script.tick(60_000)), []);
}

#[test]
fn what_is_heard_before_the_stream_is_known_is_not_told_twice() {
    let mut script = kept();
    assert_eq!(hooked(&script.hear(0, &event("a", "1"))), []);
    script.input(1, Input::Reached(true));
    let out = script.input(2, given(7, &event("a", "1")));
    assert_eq!(hooked(&out), [(HOOK, "1", 1)]);
    assert_eq!(hooked(&script.tick(10_000)), []);
    let mut script = kept();
    assert_eq!(hooked(&script.hear(0, &event("a", "1"))), []);
    assert_eq!(hooked(&script.input(1, Input::Reached(false))), [(HOOK, "1", 1)]);
}

#[test]
fn what_the_stream_does_not_get_is_told_all_the_same() {
    let mut script = reached();
    assert_eq!(hooked(&script.hear(0, &event("a", "1"))), []);
    assert_eq!(hooked(&script.tick(4_999)), []);
    let out = script.tick(5_000);
    assert_eq!(hooked(&out), [(HOOK, "1", 1)]);
    // It comes late: it is not told twice.
    assert_eq!(script.input(5_001, given(3, &event("a", "1"))), []);
    let out = script.answer(5_002, tickets(&out)[0], Outcome::Delivered);
    assert_eq!(settled(&out), [3]);
}

#[test]
fn without_a_stream_all_is_told_at_once_and_health_says_so() {
    let mut script = kept();
    assert_eq!(hooked(&script.hear(0, &event("a", "1"))), [], "not known yet");
    assert_eq!(script.health(0), Health::Well);
    script.input(1, Input::Reached(true));
    assert_eq!(hooked(&script.hear(2, &event("b", "2"))), []);
    let out = script.input(3, Input::Reached(false));
    assert_eq!(hooked(&out), [(HOOK, "1", 1), (HOOK, "2", 1)], "what waited for it");
    assert_eq!(hooked(&script.hear(4, &event("c", "3"))), [(HOOK, "3", 1)]);
    let health = script.health(5);
    assert!(matches!(&health, Health::Impaired(why) if why.contains("jetstream")), "{health:?}");
}

#[test]
fn a_sink_that_is_lost_forgets_what_came_from_the_stream_alone() {
    let mut script = reached();
    let out = script.input(0, given(1, &event("a", "1")));
    script.input(1, given(2, &event("a", "2")));
    script.input(2, given(3, &event("b", "3")));
    script.hear(3, &event("a", "live"));
    script.input(4, Input::Reached(false));
    assert_eq!(script.0.unsettled(), 2, "the log's and the one that no stream has");
    script.input(5, lost());
    // The first was in flight: that it failed is nobody's business here any more.
    let out = script.answer(6, tickets(&out)[0], retry());
    assert_eq!(hooked(&out), [(HOOK, "live", 1)]);
    let out = script.answer(7, *tickets(&out).last().unwrap(), Outcome::Delivered);
    assert_eq!((settled(&out), hooked(&out)), (vec![], vec![]));
}

#[test]
fn a_sink_that_comes_back_goes_on_with_what_is_in_flight_and_keeps_the_order() {
    let mut script = reached();
    let flying = tickets(&script.input(0, given(1, &event("a", "1"))));
    script.input(1, lost());
    assert_eq!(hooked(&script.input(2, given(1, &event("a", "1")))), []);
    assert_eq!(hooked(&script.input(3, given(2, &event("a", "2")))), []);
    script.answer(4, flying[0], retry());
    let again = script.tick(254);
    assert_eq!(hooked(&again), [(HOOK, "1", 2)]);
    let out = script.answer(255, tickets(&again)[0], Outcome::Delivered);
    assert_eq!((settled(&out), hooked(&out)), (vec![1], vec![(HOOK, "2", 1)]));
}

#[test]
fn what_is_given_up_names_its_places_and_may_come_again() {
    let mut script = reached();
    let out = script.input(0, given(4, &event("a", "1")));
    script.input(0, given(9, &event("a", "1")));
    let out = script.answer(1, tickets(&out)[0], Outcome::Refused("404".to_string()));
    assert!(matches!(&out[1], Output::GaveUp { seqs, .. } if *seqs == [4, 9]), "{out:?}");
    assert_eq!(hooked(&script.input(2, given(12, &event("a", "1")))), [(HOOK, "1", 1)]);
}

#[test]
fn what_a_sink_does_not_want_is_settled_at_once() {
    let only = Some(vec![EventName::SwitchMaster]);
    let sink = Sink { kept: true, only, ..live(HOOK) };
    let mut script = Script::with(vec![sink]);
    assert_eq!(settled(&script.input(0, given(5, &event("a", "1")))), [5]);
    let out =
        script.input(0, Input::Given { sink: "other".into(), seq: 1, event: event("a", "1") });
    assert!(matches!(out.as_slice(), [Output::Ignored { .. }]), "{out:?}");
}
