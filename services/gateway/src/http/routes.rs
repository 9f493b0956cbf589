//! What is answered to which path.

use super::past::{Archive, Source};
use super::shown;
use crate::commands::Answers;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::json;
use std::sync::Arc;
use tokio::sync::watch;
use vedette_model::{GroupRecord, Instant, MasterRecord, NodeAddr};
use vedette_protocol::gateway::{Gateway, Unfit};
use vedette_runtime::http::{Answer, Ask, Site};
use vedette_runtime::metrics::Form;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// What the second port answers from.
pub struct Window<S> {
    answers: Arc<Answers>,
    is_open: watch::Receiver<bool>,
    archive: Archive<S>,
}

impl<S> Window<S> {
    /// Answers from the same view as Sentinel clients are, and from the archive.
    pub const fn new(
        answers: Arc<Answers>,
        is_open: watch::Receiver<bool>,
        archive: Archive<S>,
    ) -> Self {
        Self { answers, is_open, archive }
    }

    /// What is known now. Nothing is waited for: the view is held.
    fn known(&self, parts: &[&str], query: &str, form: Form) -> Answer {
        let open = *self.is_open.borrow();
        let (view, now) = (self.answers.view(), self.answers.now());
        match parts {
            ["healthz"] => Answer::plain(StatusCode::OK, "ok"),
            ["readyz"] if open => Answer::plain(StatusCode::OK, "ok"),
            ["readyz"] => Answer::plain(StatusCode::SERVICE_UNAVAILABLE, "the door is shut"),
            ["metrics"] => {
                // They ask for the view by themselves.
                drop(view);
                Answer::metrics(&self.answers.metrics().meter, form)
            }
            ["status"] => json(StatusCode::OK, &shown::status(&view, open, now)),
            ["groups", rest @ ..] => groups(&view, rest, query, now),
            _ => error(StatusCode::NOT_FOUND, "no such page"),
        }
    }
}

impl<S: Source> Site for Window<S> {
    async fn answer(&self, Ask { path, query, form }: Ask<'_>) -> Answer {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        match &*parts {
            ["history"] => self.archive.history(query).await,
            ["groups", group, "explain"] => self.archive.latest(&decoded(group)).await,
            ["explain", id] => self.archive.called(decoded(id)).await,
            _ => self.known(&parts, query, form),
        }
    }
}

pub(super) fn json(status: StatusCode, shown: &impl Serialize) -> Answer {
    let body = serde_json::to_string(shown).map(|text| text + "\n");
    body.map_or_else(
        // Texts and numbers only: it does not fail.
        |error| Answer::plain(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        |body| Answer { status, form: JSON, body },
    )
}

pub(super) fn error(status: StatusCode, why: &str) -> Answer {
    json(status, &json!({ "error": why }))
}

/// A check's: what a load balancer goes by is the status alone.
fn verdict(verdict: Result<(), Unfit>) -> Answer {
    match verdict {
        Ok(()) => json(StatusCode::OK, &json!({ "ok": true })),
        Err(why) => {
            let body = json!({ "ok": false, "why": why.to_string() });
            json(StatusCode::SERVICE_UNAVAILABLE, &body)
        }
    }
}

fn groups(view: &Gateway, rest: &[&str], query: &str, now: Instant) -> Answer {
    match rest {
        [] => told(view, now, || {
            let all = view.records().map(|record| shown::group(view, record, now));
            json(StatusCode::OK, &json!({ "groups": all.collect::<Vec<_>>() }))
        }),
        [group, "primary"] => check(query, |node, _| view.primary(&decoded(group), &node, now)),
        [group, "replica"] => {
            check(query, |node, lag| view.readable(&decoded(group), &node, lag, now))
        }
        [group] => of(view, group, now, |record| {
            let nodes = shown::nodes(view, record, now);
            let group = shown::group(view, record, now);
            json(StatusCode::OK, &shown::Whole { group, nodes })
        }),
        [group, "master"] => {
            of(view, group, now, |record| json(StatusCode::OK, &MasterRecord::from(record)))
        }
        [group, "nodes"] => of(view, group, now, |record| {
            json(StatusCode::OK, &json!({ "nodes": shown::nodes(view, record, now) }))
        }),
        [_, ..] => error(StatusCode::NOT_FOUND, "no such page"),
    }
}

/// What is not fresh is not told.
fn told(view: &Gateway, now: Instant, tell: impl FnOnce() -> Answer) -> Answer {
    if view.is_fresh(now) {
        return tell();
    }
    error(StatusCode::SERVICE_UNAVAILABLE, &Unfit::Stale.to_string())
}

fn of(
    view: &Gateway,
    group: &str,
    now: Instant,
    tell: impl FnOnce(&GroupRecord) -> Answer,
) -> Answer {
    told(view, now, || match view.record(&decoded(group)) {
        Some(record) => tell(record),
        None => error(StatusCode::NOT_FOUND, &Unfit::UnknownGroup.to_string()),
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
                Err(_) => return error(StatusCode::BAD_REQUEST, "max_lag is in bytes"),
            },
            _ => {}
        }
    }
    match node {
        Some(node) => verdict(ask(node, lag)),
        None => error(StatusCode::BAD_REQUEST, "say which: ?node=host:port"),
    }
}
