//! `PagerDuty`, Events API v2: a problem is triggered and resolved by the same key.

use crate::alert::{Alert, Change, TEST, alert};
use crate::poster::Poster;
use crate::words;
use serde_json::{Value, json};
use vedette_model::{Event, Secret};
use vedette_protocol::notice::Outcome;

/// Characters that a summary and a key may have.
const SUMMARY: usize = 1_024;
const KEY: usize = 255;

/// A service's integration.
#[derive(Debug)]
pub struct PagerDuty {
    poster: Poster,
    routing_key: Secret,
}

impl PagerDuty {
    /// Of this routing key.
    pub const fn new(poster: Poster, routing_key: Secret) -> Self {
        Self { poster, routing_key }
    }

    /// What is no problem's beginning or end is no business of this sink.
    pub async fn deliver(&self, event: &Event) -> Outcome {
        let Some(alert) = alert(event) else { return Outcome::Delivered };
        let sent = self.post(event, &alert).await;
        if alert.problem == TEST && sent == Outcome::Delivered {
            // Nobody else would.
            return self.post(event, &Alert { change: Change::Ends, ..alert }).await;
        }
        sent
    }

    async fn post(&self, event: &Event, alert: &Alert) -> Outcome {
        self.poster.post(&[], self.body(event, alert).to_string().into_bytes()).await
    }

    fn body(&self, event: &Event, alert: &Alert) -> Value {
        let dedup_key: String = alert.key(event).chars().take(KEY).collect();
        let key = self.routing_key.expose();
        match alert.change {
            Change::Ends => {
                json!({ "routing_key": key, "event_action": "resolve", "dedup_key": dedup_key })
            }
            Change::Begins(severity) => json!({
                "routing_key": key,
                "event_action": "trigger",
                "dedup_key": dedup_key,
                "client": "Vedette",
                "payload": {
                    "summary": words::line(event).chars().take(SUMMARY).collect::<String>(),
                    "source": event.source,
                    "severity": severity.as_str(),
                    "component": alert.of,
                    "group": event.group,
                    "class": event.name,
                    "custom_details": event,
                },
            }),
        }
    }
}
