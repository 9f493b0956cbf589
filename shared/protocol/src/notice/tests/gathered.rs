//! Several events in one message, and quiet times.

use super::*;

fn rows(gather_ms: u64, quiet: &[&str]) -> Vec<Route> {
    let quiet = quiet.iter().map(|text| Quiet::parse(text).unwrap()).collect();
    vec![Route { gather: Duration::from_millis(gather_ms), quiet, ..Route::default() }]
}

fn gathering(name: &str) -> Sink {
    Sink { gathers: true, ..live(name) }
}

/// The ids in each message.
fn messages(outputs: &[Output]) -> Vec<Vec<&str>> {
    outputs
        .iter()
        .filter_map(|output| {
            let Output::Deliver { events, .. } = output else { return None };
            Some(events.iter().map(|event| event.id.as_str()).collect())
        })
        .collect()
}

#[test]
fn what_happens_to_many_groups_within_the_time_is_one_message_in_its_order() {
    let mut script = Script::routed(vec![gathering("chat")], rows(2_000, &[]));
    for (at, group, id) in [(0, "a", "1"), (900, "b", "2"), (1_900, "a", "3")] {
        assert_eq!(messages(&script.hear(at, &event(group, id))), Vec::<Vec<&str>>::new());
    }
    let out = script.tick(2_000);
    assert_eq!(messages(&out), [["1", "2", "3"]]);
    // What comes while it is in flight is the next one.
    script.hear(2_100, &event("c", "4"));
    script.hear(2_200, &event("d", "5"));
    assert_eq!(messages(&script.tick(4_100)), Vec::<Vec<&str>>::new(), "one after the other");
    let out = script.answer(4_200, tickets(&out)[0], Outcome::Delivered);
    assert_eq!(messages(&out), [["4", "5"]]);
}

#[test]
fn what_failed_together_is_tried_again_together_and_given_up_one_by_one() {
    let patience = Patience { tries: 2, ..live("x").patience };
    let sink = Sink { patience, ..gathering("chat") };
    let mut script = Script::routed(vec![sink], rows(100, &[]));
    script.hear(0, &event("a", "1"));
    script.hear(0, &event("b", "2"));
    let out = script.tick(100);
    script.answer(100, tickets(&out)[0], retry());
    let out = script.tick(350);
    assert_eq!(messages(&out), [["1", "2"]]);
    let out = script.answer(350, tickets(&out)[0], retry());
    let lost = out.iter().filter(|output| matches!(output, Output::GaveUp { .. }));
    assert_eq!(lost.count(), 2, "{out:?}");
}

#[test]
fn a_sink_that_tells_one_by_one_does_not_wait() {
    let mut script = Script::routed(vec![live("script")], rows(2_000, &[]));
    assert_eq!(messages(&script.hear(0, &event("a", "1"))), [["1"]]);
}

#[test]
fn what_happens_in_a_quiet_time_is_told_at_its_end() {
    let sinks = vec![gathering("chat"), live("script")];
    let mut script = Script::routed(sinks, rows(0, &["22:00-22:10"]));
    let out = script.hear(59_999, &event("a", "1"));
    assert_eq!(deliveries(&out), [("chat", "1", 1), ("script", "1", 1)], "a moment before");
    for ticket in tickets(&out) {
        script.answer(59_999, ticket, Outcome::Delivered);
    }
    script.hear(60_000, &event("a", "2"));
    script.hear(120_000, &event("b", "3"));
    assert_eq!(messages(&script.tick(659_999)), Vec::<Vec<&str>>::new());
    let out = script.tick(660_000);
    assert_eq!(messages(&out), [vec!["2", "3"], vec!["2"], vec!["3"]]);
    assert_eq!(messages(&script.hear(660_001, &event("c", "4"))), [vec!["4"], vec!["4"]]);
}

#[test]
fn a_test_is_told_at_once_whatever_the_rows_say() {
    let row = Route { sinks: vec!["other".into()], ..rows(9_000, &["00:00-00:00"]).remove(0) };
    let mut script = Script::routed(vec![gathering("chat")], vec![row]);
    let test = Event { name: EventName::NotifyTest, ..event("a", "1") };
    assert_eq!(messages(&script.hear(0, &test)), [["1"]]);
}
