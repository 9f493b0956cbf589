//! Scripts: inputs at times, exactly these outputs.

mod gathered;
mod kept;

use super::*;
use alloc::string::ToString;
use alloc::vec;
use vedette_model::{
    Epoch, GroupName, NodeAddr, RecordCommitted, Service, StatusQuery, TraceId, VoterId,
};

fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

fn event(name: &str, id: &str) -> Event {
    let group = group(name);
    let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
    Event {
        id: id.to_string(),
        trace_id: TraceId::of(&group, Epoch(1), &master, None),
        group,
        name: EventName::Odown,
        payload: "master".to_string(),
        cause: "two of three probers".to_string(),
        epoch: Epoch(1),
        source: "voter/v1".to_string(),
    }
}

/// A sink that rests as long as it says, and not by chance less.
fn live(name: &str) -> Sink {
    let sink = Sink::live(name.to_string());
    Sink { patience: Patience { jitter: false, ..sink.patience }, ..sink }
}

/// A notifier past its first heartbeat, which is due again at 1,000 ms.
struct Script(Notifier);

impl Script {
    fn new(sinks: &[&str]) -> Self {
        Self::with(sinks.iter().map(|name| live(name)).collect())
    }

    fn with(sinks: Vec<Sink>) -> Self {
        Self::routed(sinks, Vec::new())
    }

    fn routed(sinks: Vec<Sink>, rows: Vec<Route>) -> Self {
        let routes = Routes::new(rows);
        // 2026-11-19 21:59:00 UTC, a Thursday.
        let unix_ms = (20_776 * 1_440 + 21 * 60 + 59) * 60_000;
        let sender = Sender::parse(Service::Notifier, "n1", 7).unwrap();
        let place = Place::parse("here").unwrap();
        let mut script =
            Self(Notifier::new(Config { sender, place, sinks, routes, unix_ms }, at(0)));
        assert_eq!(script.tick(0).len(), 1, "the first heartbeat");
        script
    }

    fn drain(&mut self) -> Vec<Output> {
        core::iter::from_fn(|| self.0.poll_output()).collect()
    }

    fn tick(&mut self, millis: u64) -> Vec<Output> {
        self.0.handle_timeout(at(millis));
        self.drain()
    }

    fn hear(&mut self, millis: u64, event: &Event) -> Vec<Output> {
        let fact = Fact::Event(event.clone());
        self.0.handle(Input::Fact(fact), at(millis));
        self.drain()
    }

    fn input(&mut self, millis: u64, input: Input) -> Vec<Output> {
        self.0.handle(input, at(millis));
        self.drain()
    }

    fn answer(&mut self, millis: u64, ticket: u64, outcome: Outcome) -> Vec<Output> {
        self.0.handle(Input::Delivery { ticket, outcome }, at(millis));
        self.drain()
    }

    fn health(&mut self, millis: u64) -> Health {
        let fact = Fact::StatusQuery(StatusQuery {});
        self.0.handle(Input::Fact(fact), at(millis));
        match self.drain().as_slice() {
            [Output::Publish(Fact::Heartbeat(beat))] => beat.health.clone(),
            other => panic!("expected one heartbeat, got {other:?}"),
        }
    }
}

/// The deliveries among outputs: sink, event id, attempt.
fn deliveries(outputs: &[Output]) -> Vec<(&str, &str, u32)> {
    outputs
        .iter()
        .filter_map(|output| {
            let Output::Deliver { sink, events, attempt, .. } = output else { return None };
            Some((sink.as_str(), events[0].id.as_str(), *attempt))
        })
        .collect()
}

fn tickets(outputs: &[Output]) -> Vec<u64> {
    outputs
        .iter()
        .filter_map(|output| {
            let Output::Deliver { ticket, .. } = output else { return None };
            Some(*ticket)
        })
        .collect()
}

fn retry() -> Outcome {
    Outcome::Retry("connection refused".to_string())
}

#[test]
fn an_event_goes_to_every_sink_at_once() {
    let mut script = Script::new(&["log", "webhook"]);
    let out = script.hear(5, &event("a", "1"));
    assert_eq!(deliveries(&out), [("log", "1", 1), ("webhook", "1", 1)]);
}

#[test]
fn a_repeated_event_is_told_once() {
    let mut script = Script::new(&["log"]);
    script.hear(5, &event("a", "1"));
    let again = script.hear(6, &event("a", "1"));
    assert!(matches!(again.as_slice(), [Output::Ignored { .. }]), "{again:?}");
}

#[test]
fn a_sink_gets_only_what_it_wants() {
    let only = Some(vec![EventName::SwitchMaster]);
    let mut script = Script::with(vec![Sink { only, ..live("script") }]);
    assert_eq!(deliveries(&script.hear(5, &event("a", "1"))), []);
    let switch = Event { name: EventName::SwitchMaster, ..event("a", "2") };
    assert_eq!(deliveries(&script.hear(6, &switch)), [("script", "2", 1)]);
}

#[test]
fn one_group_keeps_its_order_and_others_overtake() {
    let mut script = Script::new(&["webhook"]);
    let first = tickets(&script.hear(0, &event("a", "a1")));
    assert_eq!(script.hear(1, &event("a", "a2")), [], "a1 is in flight");
    assert_eq!(deliveries(&script.hear(2, &event("b", "b1"))), [("webhook", "b1", 1)]);
    script.answer(3, first[0], retry());
    assert_eq!(script.tick(252), [], "a1 rests, a2 waits behind it");
    let again = script.tick(253);
    assert_eq!(deliveries(&again), [("webhook", "a1", 2)]);
    let next = script.answer(260, tickets(&again)[0], Outcome::Delivered);
    assert_eq!(deliveries(&next), [("webhook", "a2", 1)]);
}

#[test]
fn a_dead_sink_delays_no_other() {
    let mut script = Script::new(&["dead", "live"]);
    let first = tickets(&script.hear(0, &event("a", "1")));
    script.answer(1, first[1], Outcome::Delivered);
    let second = script.hear(2, &event("a", "2"));
    assert_eq!(deliveries(&second), [("live", "2", 1)]);
}

#[test]
fn at_most_so_many_are_in_flight() {
    let mut script = Script::new(&["webhook"]);
    let mut flying = Vec::new();
    for n in 0..PARALLEL_LIMIT + 2 {
        let n = n.to_string();
        flying.extend(tickets(&script.hear(0, &event(&n, &n))));
    }
    assert_eq!(flying.len(), PARALLEL_LIMIT);
    assert_eq!(script.0.poll_timeout(), Some(at(1_000)), "only the heartbeat: no busy loop");
    let next = script.answer(1, flying[3], Outcome::Delivered);
    assert_eq!(deliveries(&next), [("webhook", "16", 1)]);
}

#[test]
fn it_is_tried_until_the_sinks_time_is_over() {
    let patience = Patience { give_up_after: Duration::from_secs(2), ..live("x").patience };
    let mut script = Script::with(vec![Sink { patience, ..live("webhook") }]);
    let mut out = script.hear(0, &event("a", "1"));
    let mut now = 0;
    for (attempt, rest) in [(1, 250), (2, 500), (3, 1_000)] {
        let answered = script.answer(now, tickets(&out)[0], retry());
        assert_eq!(matches!(answered.first(), Some(Output::Failing { .. })), attempt == 1);
        now += rest;
        out = script.tick(now);
        assert_eq!(deliveries(&out), [("webhook", "1", attempt + 1)], "after {rest} ms");
    }
    let last = script.answer(2_000, tickets(&out)[0], retry());
    assert_eq!(
        last,
        [Output::GaveUp {
            sink: "webhook".to_string(),
            event: event("a", "1"),
            tries: 4,
            why: "connection refused".to_string(),
            seqs: vec![],
        }]
    );
    assert_eq!(script.0.unsettled(), 0);
}

#[test]
fn a_sink_without_order_lets_others_pass_what_rests() {
    let mut script = Script::with(vec![Sink { in_order: false, ..live("script") }]);
    let first = tickets(&script.hear(0, &event("a", "1")));
    assert_eq!(deliveries(&script.hear(0, &event("a", "2"))), []);
    let out = script.answer(1, first[0], retry());
    assert_eq!(deliveries(&out), [("script", "2", 1)]);
    assert_eq!(deliveries(&script.tick(251)), [("script", "1", 2)]);
}

#[test]
fn the_first_row_that_fits_decides_and_none_means_nowhere() {
    let row = |sink: &str, events: &[&str], groups: &[&str]| Route {
        sinks: [sink].iter().filter(|name| !name.is_empty()).map(ToString::to_string).collect(),
        events: events.iter().map(ToString::to_string).collect(),
        groups: groups.iter().map(ToString::to_string).collect(),
        ..Route::default()
    };
    let rows = vec![row("pager", &["+switch-*"], &["prod-*"]), row("chat", &[], &["prod-*"])];
    let mut script = Script::routed(vec![live("pager"), live("chat")], rows);
    let out = script.hear(0, &event("prod-1", "1"));
    assert_eq!(deliveries(&out), [("chat", "1", 1)]);
    let switch = Event { name: EventName::SwitchMaster, ..event("prod-2", "2") };
    let out = script.hear(0, &switch);
    assert_eq!(deliveries(&out), [("pager", "2", 1), ("chat", "2", 1)]);
    assert_eq!(deliveries(&script.hear(0, &event("test-1", "3"))), []);
}

#[test]
fn a_refusal_is_final_and_the_next_event_goes() {
    let mut script = Script::new(&["webhook"]);
    let first = tickets(&script.hear(0, &event("a", "1")));
    script.hear(0, &event("a", "2"));
    let out = script.answer(1, first[0], Outcome::Refused("404".to_string()));
    assert!(matches!(&out[0], Output::Failing { why, .. } if why == "404"), "{out:?}");
    assert!(matches!(&out[1], Output::GaveUp { tries: 1, .. }), "{out:?}");
    assert_eq!(deliveries(&out), [("webhook", "2", 1)]);
}

#[test]
fn a_full_queue_drops_the_oldest_waiting_and_says_so() {
    let mut script = Script::new(&["webhook"]);
    let flying = tickets(&script.hear(0, &event("a", "flying")));
    for n in 0..WAITING_LIMIT {
        assert_eq!(script.hear(1, &event("a", &n.to_string())), []);
    }
    let out = script.hear(2, &event("a", "one too many"));
    assert!(
        matches!(out.as_slice(), [Output::Dropped { event, .. }] if event.id == "0"),
        "{out:?}"
    );
    // What was in flight comes back to a full queue: it is the oldest now.
    let out = script.answer(3, flying[0], retry());
    assert!(
        matches!(&out[1], Output::Dropped { event, why, .. }
            if event.id == "flying" && why.contains("connection refused")),
        "{out:?}"
    );
    assert_eq!(deliveries(&out), [("webhook", "1", 1)]);
}

#[test]
fn health_names_the_failing_sink_until_nothing_is_to_be_repeated() {
    let mut script = Script::new(&["webhook"]);
    let a = tickets(&script.hear(0, &event("a", "1")));
    let b = tickets(&script.hear(0, &event("b", "2")));
    assert_eq!(script.health(0), Health::Well);
    script.answer(1, a[0], retry());
    let text = "sink webhook fails: connection refused (1 events wait, 0 were lost)";
    assert_eq!(script.health(1), Health::Impaired(text.to_string()));
    assert_eq!(script.answer(2, b[0], Outcome::Delivered), []);
    assert_eq!(script.health(2), Health::Impaired(text.to_string()), "a's event still rests");
    let again = tickets(&script.tick(251));
    let out = script.answer(252, again[0], Outcome::Delivered);
    assert_eq!(out, [Output::Recovered { sink: "webhook".to_string() }]);
    assert_eq!(script.health(253), Health::Well);
}

#[test]
fn a_heartbeat_every_second() {
    let mut script = Script::new(&["log"]);
    assert_eq!(script.0.poll_timeout(), Some(at(1_000)));
    assert_eq!(script.tick(999), []);
    let out = script.tick(1_000);
    assert!(
        matches!(out.as_slice(), [Output::Publish(Fact::Heartbeat(beat))]
            if beat.tick == 2 && beat.service == Service::Notifier && beat.incarnation == 7),
        "{out:?}"
    );
}

#[test]
fn what_is_of_no_use_is_ignored() {
    let mut script = Script::new(&["log"]);
    let long = Event { cause: "x".repeat(EVENT_BYTES_LIMIT), ..event("a", "1") };
    let reply = vedette_model::DigestReply {
        voter: VoterId::parse("v1").unwrap(),
        records: Vec::<RecordCommitted>::new(),
        unsettled: vec![],
        more: false,
    };
    let inputs = [
        Input::Fact(Fact::Event(long)),
        Input::Fact(Fact::DigestReply(reply)),
        Input::Delivery { ticket: 99, outcome: Outcome::Delivered },
    ];
    for input in inputs {
        script.0.handle(input, at(1));
        let out = script.drain();
        assert!(matches!(out.as_slice(), [Output::Ignored { .. }]), "{out:?}");
    }
}

#[test]
fn a_sinks_long_words_are_cut_at_a_character() {
    let mut script = Script::new(&["webhook"]);
    let first = tickets(&script.hear(0, &event("a", "1")));
    let out = script.answer(1, first[0], Outcome::Retry("é".repeat(WORDS_LIMIT)));
    assert!(matches!(&out[0], Output::Failing { why, .. } if why.len() == WORDS_LIMIT), "{out:?}");
}
