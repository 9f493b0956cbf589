//! Slack's incoming webhooks, and those who take the same (Mattermost, Rocket.Chat).

use crate::poster::Poster;
use crate::words;
use serde_json::json;
use vedette_model::Event;
use vedette_protocol::notice::Outcome;

/// An incoming webhook.
#[derive(Debug)]
pub struct Slack(Poster);

impl Slack {
    /// To this URL.
    pub const fn new(poster: Poster) -> Self {
        Self(poster)
    }

    /// One message for all of them.
    pub async fn deliver(&self, events: &[Event]) -> Outcome {
        let text =
            format!("*{}*\n{}", escaped(&words::title(events)), escaped(&words::text(events)));
        self.0.post(&[], json!({ "text": text }).to_string().into_bytes()).await
    }
}

/// The three characters that mean something to Slack.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
