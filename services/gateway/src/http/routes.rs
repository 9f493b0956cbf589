//! What is answered to which path.

use super::shown;
use crate::commands::Answers;
use hyper::header::HeaderValue;
use hyper::{Method, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::watch;
use vedette_model::{GroupRecord, Instant, NodeAddr};
use vedette_protocol::gateway::{Gateway, Unfit};

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
/// As Prometheus asks for it.
const METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// What the second port answers from.
pub struct Site {
    answers: Arc<Answers>,
    is_open: watch::Receiver<bool>,
}

/// One answer.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The body's form.
    pub form: HeaderValue,
    /// The body.
    pub body: String,
}

impl Answer {
    fn json(status: StatusCode, shown: &impl Serialize) -> Self {
        let body = serde_json::to_string(shown).map(|text| text + "\n");
        body.map_or_else(
            // Texts and numbers only: it does not fail.
            |error| Self::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            |body| Self { status, form: JSON, body },
        )
    }

    fn plain(status: StatusCode, text: &str) -> Self {
        Self { status, form: PLAIN, body: format!("{text}\n") }
    }

    fn error(status: StatusCode, why: &str) -> Self {
        Self::json(status, &json!({ "error": why }))
    }

    /// A check's: what a load balancer goes by is the status alone.
    fn check(verdict: Result<(), Unfit>) -> Self {
        match verdict {
            Ok(()) => Self::json(StatusCode::OK, &json!({ "ok": true })),
            Err(why) => {
                let body = json!({ "ok": false, "why": why.to_string() });
                Self::json(StatusCode::SERVICE_UNAVAILABLE, &body)
            }
        }
    }
}

impl Site {
    /// Answers from the same view as Sentinel clients are.
    pub const fn new(answers: Arc<Answers>, is_open: watch::Receiver<bool>) -> Self {
        Self { answers, is_open }
    }

    /// The answer to one request. Nothing can be changed here.
    pub fn answer(&self, method: &Method, path: &str, query: &str) -> Answer {
        // HAProxy's checks come as OPTIONS unless told otherwise.
        if ![Method::GET, Method::HEAD, Method::OPTIONS].contains(method) {
            return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "only GET, HEAD and OPTIONS");
        }
        let open = *self.is_open.borrow();
        let (view, now) = (self.answers.view(), self.answers.now());
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match &*parts {
            ["healthz"] => Answer::plain(StatusCode::OK, "ok"),
            ["readyz"] if open => Answer::plain(StatusCode::OK, "ok"),
            ["readyz"] => Answer::plain(StatusCode::SERVICE_UNAVAILABLE, "the door is shut"),
            ["metrics"] => {
                // It asks for the view by itself.
                drop(view);
                self.metrics(open)
            }
            ["status"] => Answer::json(StatusCode::OK, &shown::status(&view, open, now)),
            ["groups", rest @ ..] => groups(&view, rest, query, now),
            _ => Answer::error(StatusCode::NOT_FOUND, "no such page"),
        }
    }

    fn metrics(&self, open: bool) -> Answer {
        self.answers.metrics().text(&self.answers.present(open)).map_or_else(
            |error| Answer::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
            |body| Answer { status: StatusCode::OK, form: METRICS, body },
        )
    }
}

fn groups(view: &Gateway, rest: &[&str], query: &str, now: Instant) -> Answer {
    match rest {
        [] => told(view, now, || {
            let all = view.records().map(|record| shown::group(view, record, now));
            Answer::json(StatusCode::OK, &json!({ "groups": all.collect::<Vec<_>>() }))
        }),
        [group, "primary"] => check(query, |node, _| view.primary(&decoded(group), &node, now)),
        [group, "replica"] => {
            check(query, |node, lag| view.readable(&decoded(group), &node, lag, now))
        }
        [group] => of(view, group, now, |record| {
            let nodes = shown::nodes(view, record, now);
            let group = shown::group(view, record, now);
            Answer::json(StatusCode::OK, &shown::Whole { group, nodes })
        }),
        [group, "master"] => {
            of(view, group, now, |record| Answer::json(StatusCode::OK, &shown::master(record)))
        }
        [group, "nodes"] => of(view, group, now, |record| {
            Answer::json(StatusCode::OK, &json!({ "nodes": shown::nodes(view, record, now) }))
        }),
        [_, ..] => Answer::error(StatusCode::NOT_FOUND, "no such page"),
    }
}

/// What is not fresh is not told.
fn told(view: &Gateway, now: Instant, tell: impl FnOnce() -> Answer) -> Answer {
    if view.is_fresh(now) {
        return tell();
    }
    Answer::error(StatusCode::SERVICE_UNAVAILABLE, &Unfit::Stale.to_string())
}

fn of(
    view: &Gateway,
    group: &str,
    now: Instant,
    tell: impl FnOnce(&GroupRecord) -> Answer,
) -> Answer {
    told(view, now, || match view.record(&decoded(group)) {
        Some(record) => tell(record),
        None => Answer::error(StatusCode::NOT_FOUND, &Unfit::UnknownGroup.to_string()),
    })
}

fn decoded(part: &str) -> String {
    percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// A load balancer's question about `node`, with `max_lag` in bytes.
fn check(query: &str, ask: impl FnOnce(NodeAddr, Option<u64>) -> Result<(), Unfit>) -> Answer {
    let (mut node, mut lag) = (None, None);
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        match &*name {
            "node" => node = NodeAddr::parse(&value).ok(),
            "max_lag" => match value.parse() {
                Ok(bytes) => lag = Some(bytes),
                Err(_) => return Answer::error(StatusCode::BAD_REQUEST, "max_lag is in bytes"),
            },
            _ => {}
        }
    }
    match node {
        Some(node) => Answer::check(ask(node, lag)),
        None => Answer::error(StatusCode::BAD_REQUEST, "say which: ?node=host:port"),
    }
}
