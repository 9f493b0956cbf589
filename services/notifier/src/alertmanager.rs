//! Prometheus's Alertmanager, API v2.

use crate::alert::{Alert, Change, TEST, alert};
use crate::poster::Poster;
use crate::words;
use serde_json::{Value, json};
use std::time::Duration;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use vedette_model::Event;
use vedette_protocol::notice::Outcome;
use vedette_runtime::Clock;

/// When a problem counts as over although nobody said so: nobody repeats it.
const ENDS_BY_ITSELF: Duration = Duration::from_secs(24 * 60 * 60);

/// The same of a test.
const TEST_ENDS: Duration = Duration::from_secs(60);

/// One Alertmanager; of a cluster, each is a sink of its own.
#[derive(Debug)]
pub struct Alertmanager {
    poster: Poster,
    clock: Clock,
}

impl Alertmanager {
    /// At this URL, its path being that of `alerts`.
    pub fn new(poster: Poster) -> Self {
        Self { poster, clock: Clock::start() }
    }

    /// All of them at once; what is no problem's beginning or end is left out.
    pub async fn deliver(&self, events: &[Event]) -> Outcome {
        let now_ms = self.clock.unix_ms();
        let alerts = events.iter().filter_map(|event| Some(body(event, &alert(event)?, now_ms)));
        let alerts: Vec<Value> = alerts.collect();
        if alerts.is_empty() {
            return Outcome::Delivered;
        }
        self.poster.post(&[], Value::Array(alerts).to_string().into_bytes()).await
    }
}

fn body(event: &Event, alert: &Alert, now_ms: u64) -> Value {
    let mut labels = json!({
        "alertname": "Vedette",
        "problem": alert.problem,
        "group": event.group,
        "of": alert.of,
    });
    let mut body = json!({
        "annotations": {
            "summary": words::line(event),
            "description": event.cause,
            "trace_id": event.trace_id.to_string(),
            "event_id": event.id,
        },
    });
    match alert.change {
        // The severity is no label: it would make the end another alert than the beginning.
        Change::Begins(severity) => {
            body["annotations"]["severity"] = severity.as_str().into();
            body["startsAt"] = rfc3339(now_ms).into();
            let limit = if alert.problem == TEST { TEST_ENDS } else { ENDS_BY_ITSELF };
            let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
            body["endsAt"] = rfc3339(now_ms.saturating_add(limit)).into();
        }
        Change::Ends => body["endsAt"] = rfc3339(now_ms).into(),
    }
    body["labels"] = labels.take();
    body
}

/// Milliseconds since 1970 as Alertmanager and CloudEvents want them.
pub fn rfc3339(ms: u64) -> String {
    let nanos = i128::from(ms) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    at.format(&Rfc3339).unwrap_or_default()
}
