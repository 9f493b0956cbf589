//! What is answered to which path.

use super::past::{Archive, Source};
use super::routes::Window;
use super::shown;
use crate::commands::tests::{Talk, good, record, said, view};
use crate::config::ClientsConfig;
use serde_json::Value;
use std::sync::Arc;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Semaphore, watch};
use vedette_history::Today;
use vedette_model::{
    Epoch, Event, EventName, GroupName, GroupRecord, MasterRecord, NodeAddr, NodeView, Pause,
    Sender, Service, TraceId,
};
use vedette_runtime::Clock;
use vedette_runtime::history::{Kept, Past, What};
use vedette_runtime::http::{Answer, Ask, Site as _};
use vedette_runtime::metrics::Form;
use vedette_runtime::retained::RetainedError;

/// In the place of JetStream.
#[derive(Clone)]
struct Shelf {
    /// Nothing if JetStream is not there.
    past: Option<Past>,
    /// Nothing if the services cannot be heard.
    today: Option<Today>,
    /// Each reading takes one and waits while there is none.
    gate: Arc<Semaphore>,
}

impl Shelf {
    fn new(past: Option<Past>) -> Self {
        Self { past, today: None, gate: Arc::new(Semaphore::new(100)) }
    }
}

impl Source for Shelf {
    async fn past(
        &self,
        _group: Option<&GroupName>,
        since_ms: Option<u64>,
    ) -> Result<Past, RetainedError> {
        self.gate.acquire().await.unwrap().forget();
        let mut past = self.past.clone().ok_or(RetainedError::Absent)?;
        past.kept.retain(|kept| kept.at_us >= since_ms.unwrap_or(0) * 1_000);
        Ok(past)
    }

    async fn today(&self, _group: &GroupName) -> Option<Today> {
        self.today.clone()
    }
}

/// A prober calls the master of `orders` down, a minute ago.
fn doubt() -> Past {
    let group = GroupName::parse("orders").unwrap();
    let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
    let event = Event {
        id: "p1:1".into(),
        name: EventName::Sdown,
        payload: "master orders 10.0.0.1 6379".into(),
        cause: "link broken".into(),
        epoch: Epoch(1),
        source: "prober/p1".into(),
        trace_id: TraceId::of(&group, Epoch(1), &master, None),
        group,
    };
    let sender = Some(Sender::parse(Service::Prober, "p1", 7).unwrap());
    let at_us = (Clock::start().unix_ms() - 60_000) * 1_000;
    let kept = vec![Kept { at_us, what: What::Said { sender, fact: event.into() } }];
    Past { kept, oldest_us: Some(at_us), shortened: false }
}

struct Script {
    site: Window<Shelf>,
    runtime: Runtime,
    talk: Talk,
    open: watch::Sender<bool>,
}

impl Script {
    fn new() -> Self {
        Self::with(Shelf::new(None))
    }

    fn with(shelf: Shelf) -> Self {
        let (open, is_open) = watch::channel(true);
        let talk = Talk::with(ClientsConfig::default());
        crate::metrics::tell(&talk.answers, is_open.clone());
        let site = Window::new(Arc::clone(&talk.answers), is_open, Archive::new(shelf));
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        Self { site, runtime, talk, open }
    }

    fn get(&self, path: &str) -> Answer {
        self.runtime.block_on(self.asked(path))
    }

    async fn asked(&self, path: &str) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.site.answer(Ask { path, query, form: Form::OpenMetrics }).await
    }

    #[track_caller]
    fn is(&self, path: &str, status: u16) -> Value {
        let answer = self.get(path);
        assert_eq!(answer.status.as_u16(), status, "{path}: {}", answer.body);
        serde_json::from_str(&answer.body).unwrap_or(Value::Null)
    }
}

#[test]
fn it_lives_whatever_the_door_and_is_ready_while_it_is_open() {
    let script = Script::new();
    let _ = (script.is("/healthz", 200), script.is("/readyz", 200));
    script.open.send_replace(false);
    let _ = (script.is("/healthz", 200), script.is("/readyz", 503));
    assert_eq!(script.is("/status", 200)["serving"], false);
}

#[test]
fn groups_masters_and_nodes_are_shown() {
    let script = Script::new();
    assert_eq!(script.is("/groups", 200)["groups"][0]["group"], "orders");
    let whole = script.is("/groups/orders", 200);
    assert_eq!((&whole["master"], &whole["replicas"]), (&"10.0.0.1:6379".into(), &2.into()));
    assert_eq!(whole["nodes"][1]["unreadable"], "it has not been seen lately");
    let announced = serde_json::to_value(MasterRecord::from(&record())).unwrap();
    assert_eq!(script.is("/groups/%6frders/master", 200), announced);
    assert_eq!(script.is("/groups/orders/nodes", 200)["nodes"].as_array().map(Vec::len), Some(3));
    let status = script.is("/status", 200);
    assert_eq!((&status["view"]["fresh"], &status["voters"]["needed"]), (&true.into(), &1.into()));
    for path in ["/groups/other", "/groups/orders/x", "/groups/orders/master/x", "/", "/x", "//"] {
        let _ = script.is(path, 404);
    }
}

#[test]
fn a_pause_is_shown_with_its_reason_and_its_end() {
    let clock = Clock::start();
    let mut record = record();
    record.pause = Some(Pause { left_ms: Some(90_000), ..Pause::for_good("lunch".into()) });
    let shown = shown::group(&view(&clock, &ClientsConfig::default()), &record, clock.now());
    let (paused, left) = (shown.paused.as_deref(), shown.pause_ends_within_ms);
    assert_eq!((paused, left), (Some("lunch"), Some(90_000)));
}

#[test]
fn a_group_that_is_held_says_so() {
    let clock = Clock::start();
    let mut record = record();
    let held = |record: &GroupRecord| {
        shown::group(&view(&clock, &ClientsConfig::default()), record, clock.now()).held
    };
    assert!(!held(&record));
    record.flapping.held = true;
    assert!(held(&record));
}

#[test]
fn checks_answer_200_to_the_master_and_503_to_everybody_else() {
    let script = Script::new();
    let _ = script.is("/groups/orders/primary?node=10.0.0.1:6379", 200);
    let _ = script.is("/groups/orders/primary?node=10.0.0.1%3A6379", 200);
    for path in [
        "/groups/orders/primary?node=10.0.0.2:6379",
        "/groups/orders/primary?node=10.0.0.1:6380",
        "/groups/other/primary?node=10.0.0.1:6379",
        "/groups/orders/replica?node=10.0.0.1:6379",
        "/groups/orders/replica?node=10.0.0.2:6379&max_lag=10",
    ] {
        assert_eq!(script.is(path, 503)["ok"], false);
    }
    for path in [
        "/groups/orders/primary",
        "/groups/orders/primary?node=",
        "/groups/orders/replica?node=10.0.0.2:6379&max_lag=10MB",
    ] {
        let _ = script.is(path, 400);
    }
}

#[test]
fn replicas_are_sent_reads_while_they_may_be_read_from_and_are_not_hidden() {
    let script = Script::new();
    let path = "/groups/orders/replica?node=10.0.0.2:6379";
    script.talk.tell(said(2, good(2)));
    let _ = script.is(path, 200);
    script.talk.tell(said(2, NodeView { hidden: true, ..good(2) }));
    let _ = script.is(path, 503);
    let nodes = script.is("/groups/orders/nodes", 200);
    assert_eq!(nodes["nodes"][1]["unreadable"], "it is not announced to clients");
}

#[test]
fn metrics_tell_the_door_and_the_views_age() {
    let script = Script::new();
    let text = script.get("/metrics").body;
    for line in [
        "vedette_gateway_door_open 1.0",
        "vedette_gateway_groups 1.0",
        "vedette_group_epoch{group=\"orders\"} 1.0",
        "vedette_node_is_master{group=\"orders\",node=\"10.0.0.1:6379\"} 1.0",
        "vedette_node_is_master{group=\"orders\",node=\"10.0.0.2:6379\"} 0.0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
    }
    assert!(text.contains("vedette_gateway_view_age_seconds "), "{text}");
}

#[test]
fn what_was_is_told_and_what_is_not_found_is_404() {
    let mut shelf = Shelf::new(Some(doubt()));
    let today = Today { quorum: Some(2), voters: 3, says: Vec::new() };
    let silent = Script::with(shelf.clone());
    shelf.today = Some(today);
    let script = Script::with(shelf);
    let list = script.is("/history", 200);
    assert_eq!(list["history"][0]["kind"], "incident");
    assert_eq!((&list["shortened"], list["oldest"].is_string()), (&false.into(), true));
    for (path, found) in [
        ("/history?group=orders&since=2m", 1),
        ("/history?since=120000", 1),
        ("/history?since=30s", 0),
        ("/history?since=1", 0),
    ] {
        let list = script.is(path, 200);
        assert_eq!(list["history"].as_array().map(Vec::len), Some(found), "{path}");
    }

    let report = script.is("/groups/%6frders/explain", 200);
    assert_eq!((&report["outcome"], &report["ended"]), (&"no_attempt".into(), &Value::Null));
    assert_eq!(report["today"]["voters"], 3);
    assert_eq!(silent.is("/groups/orders/explain", 200)["today"], Value::Null);
    let id = report["id"].as_str().unwrap();
    assert_eq!(script.is(&format!("/explain/{}", &id[..6]), 200), report);
    for path in ["/groups/others/explain", "/groups/a%20b/explain", "/explain/nothing"] {
        assert!(script.is(path, 404)["error"].is_string(), "{path}");
    }
    for path in ["/history/x", "/explain", "/explain/a/b", "/groups/orders/explain/x"] {
        let _ = script.is(path, 404);
    }
    for path in ["/history?since=yesterday", "/history?since=31d", "/history?group="] {
        assert!(script.is(path, 400)["error"].is_string(), "{path}");
    }
    // The past is not the view: a stale one does not matter.
    script.open.send_replace(false);
    let _ = script.is("/history", 200);
}

#[test]
fn without_jetstream_the_reason_is_told() {
    let script = Script::new();
    for path in ["/history", "/groups/orders/explain", "/explain/276ec50b"] {
        let said = script.is(path, 503);
        let why = said["error"].as_str().unwrap_or_default();
        assert!(why.starts_with("the history cannot be read: jetstream is not there"), "{why}");
    }
}

#[test]
fn a_third_reading_is_refused_until_one_of_two_is_over() {
    let gate = Arc::new(Semaphore::new(0));
    let script = Script::with(Shelf { gate: Arc::clone(&gate), ..Shelf::new(Some(doubt())) });
    let third = async {
        let answer = script.asked("/explain/276ec50b").await;
        gate.add_permits(3);
        answer
    };
    // They are begun in this order.
    let all = async { tokio::join!(script.asked("/history"), script.asked("/history"), third) };
    let (first, second, third) = script.runtime.block_on(all);
    assert_eq!([first, second, third].map(|answer| answer.status.as_u16()), [200, 200, 503]);
    assert!(script.get("/history").status.is_success(), "there is a place again");
}
