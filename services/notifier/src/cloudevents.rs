//! `CloudEvents` 1.0 to a NATS subject, in structured mode.

use crate::alertmanager::rfc3339;
use serde_json::{Value, json};
use std::time::Duration;
use vedette_model::Event;
use vedette_protocol::notice::Outcome;
use vedette_runtime::{Bus, Clock};

/// The content type of the structured mode.
const CONTENT_TYPE: &str = "application/cloudevents+json";
/// For one message with the server's answer.
const LIMIT: Duration = Duration::from_secs(5);

/// A subject of the NATS that the services use.
#[derive(Debug)]
pub struct CloudEvents {
    subject: String,
    /// Whether a stream must acknowledge it.
    acknowledged: bool,
    clock: Clock,
}

impl CloudEvents {
    /// To this subject.
    pub fn new(subject: String, acknowledged: bool) -> Self {
        Self { subject, acknowledged, clock: Clock::start() }
    }

    /// One message.
    pub async fn deliver(&self, event: &Event, bus: &Bus) -> Outcome {
        let body = self.body(event).to_string().into_bytes();
        let headers = [("content-type", CONTENT_TYPE), ("Nats-Msg-Id", event.id.as_str())];
        let sent = bus.publish_foreign(&self.subject, &headers, body, self.acknowledged);
        match tokio::time::timeout(LIMIT, sent).await {
            Ok(Ok(())) => Outcome::Delivered,
            Ok(Err(why)) => Outcome::Retry(format!("{}: {why}", self.subject)),
            Err(_) => Outcome::Retry(format!("{}: nats does not answer", self.subject)),
        }
    }

    fn body(&self, event: &Event) -> Value {
        json!({
            "specversion": "1.0",
            "id": event.id,
            "source": format!("/vedette/{}", event.source),
            "type": format!("vedette.event.{}", event.name),
            "subject": event.group,
            "time": rfc3339(self.clock.unix_ms()),
            "datacontenttype": "application/json",
            "data": event,
        })
    }
}
