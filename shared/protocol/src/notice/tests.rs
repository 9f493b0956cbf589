//! Scripts: inputs at times, exactly these outputs.

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

/// A notifier past its first heartbeat, which is due again at 1,000 ms.
struct Script(Notifier);

impl Script {
    fn new(sinks: &[&str]) -> Self {
        Self::with(sinks.iter().map(|name| Sink::of_all((*name).to_string())).collect())
    }

    fn with(sinks: Vec<Sink>) -> Self {
        let sender = Sender::parse(Service::Notifier, "n1", 7).unwrap();
        let place = Place::parse("here").unwrap();
        let mut script = Self(Notifier::new(Config { sender, place, sinks }, at(0)));
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
            let Output::Deliver { sink, event, attempt, .. } = output else { return None };
            Some((sink.as_str(), event.id.as_str(), *attempt))
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
fn ids_beyond_the_window_are_forgotten() {
    let mut seen = Seen::default();
    for id in 0..=SEEN_LIMIT {
        assert!(seen.insert(&id.to_string()));
    }
    assert!(!seen.insert("1"), "still within the window");
    assert!(seen.insert("0"), "pushed out of the window");
    assert_eq!((seen.ids.len(), seen.order.len()), (SEEN_LIMIT, SEEN_LIMIT));
}

#[test]
fn a_sink_gets_only_what_it_wants() {
    let only = Some(vec![EventName::SwitchMaster]);
    let mut script = Script::with(vec![Sink { name: "script".to_string(), only }]);
    assert_eq!(script.hear(5, &event("a", "1")), []);
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
fn rests_double_up_to_the_longest_and_then_it_gives_up() {
    let mut script = Script::new(&["webhook"]);
    let mut out = script.hear(0, &event("a", "1"));
    let mut now = 0;
    let mut rests = Vec::new();
    for attempt in 1..TRIES_LIMIT {
        let answered = script.answer(now, tickets(&out)[0], retry());
        assert_eq!(matches!(answered.first(), Some(Output::Failing { .. })), attempt == 1);
        let mut due = script.0.poll_timeout().unwrap();
        out = loop {
            let out = script.tick(due.as_nanos() / 1_000_000);
            if !tickets(&out).is_empty() {
                break out;
            }
            due = script.0.poll_timeout().unwrap();
        };
        rests.push(due.as_nanos() / 1_000_000 - now);
        now = due.as_nanos() / 1_000_000;
        assert_eq!(deliveries(&out), [("webhook", "1", attempt + 1)]);
    }
    assert_eq!(rests[..8], [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000]);
    assert!(rests[8..].iter().all(|rest| *rest == 30_000));
    let last = script.answer(now, tickets(&out)[0], retry());
    assert_eq!(
        last,
        [Output::GaveUp {
            sink: "webhook".to_string(),
            event: event("a", "1"),
            tries: TRIES_LIMIT,
            why: "connection refused".to_string(),
        }]
    );
    assert_eq!(script.0.unsettled(), 0);
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
