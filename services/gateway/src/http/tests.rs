//! What is answered to which path.

use super::routes::Window;
use super::shown;
use crate::commands::tests::{Talk, good, record, said, view};
use crate::config::ClientsConfig;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::watch;
use vedette_model::{NodeView, Pause};
use vedette_runtime::Clock;
use vedette_runtime::http::{Answer, Ask, Site as _};
use vedette_runtime::metrics::Form;

struct Script {
    site: Window,
    talk: Talk,
    open: watch::Sender<bool>,
}

impl Script {
    fn new() -> Self {
        let (open, is_open) = watch::channel(true);
        let talk = Talk::with(ClientsConfig::default());
        crate::metrics::tell(&talk.answers, is_open.clone());
        Self { site: Window::new(Arc::clone(&talk.answers), is_open), talk, open }
    }

    fn get(&self, path: &str) -> Answer {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        self.site.answer(Ask { path, query, form: Form::OpenMetrics })
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
    assert_eq!(script.is("/groups/%6frders/master", 200)["port"], 6_379);
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
