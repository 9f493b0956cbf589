//! A webhook: one POST per event, or per message of several, and try.

use crate::poster::Poster;
use crate::signature::Signer;
use anyhow::Context;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use serde_json::json;
use std::time::Duration;
use vedette_model::{Event, Fact, Secret};
use vedette_protocol::notice::Outcome;

/// The same for every try and every repetition of an event: a receiver keeps it to tell them apart.
pub const EVENT_ID: &str = "vedette-event-id";
/// The event's name; `events` for a message of several.
pub const EVENT_NAME: &str = "vedette-event";

/// A webhook with its connections.
#[derive(Debug)]
pub struct Webhook {
    poster: Poster,
    signer: Option<Signer>,
}

impl Webhook {
    /// Makes the client; connects when the first event comes.
    ///
    /// # Errors
    /// If the token cannot be a header, or if there are no certificates to trust and the URL is
    /// `https`.
    pub fn new(url: Url, token: Option<Secret>, limit: Duration) -> anyhow::Result<Self> {
        let headers = bearer(token, "sink.webhook.token")?;
        let poster = Poster::new(url, headers, limit, "sink.webhook.urls")?;
        Ok(Self { poster, signer: None })
    }

    /// With each of these secrets signing what is sent.
    ///
    /// # Errors
    /// If one of them is none.
    pub fn signed(mut self, secrets: &[Secret]) -> anyhow::Result<Self> {
        self.signer = Signer::parse(secrets)?;
        Ok(self)
    }

    /// One try.
    pub async fn deliver(&self, events: &[Event]) -> Outcome {
        let [first, rest @ ..] = events else { return Outcome::Delivered };
        let (name, body) = if rest.is_empty() {
            let body = vedette_wire::encode(&Fact::Event(first.clone()));
            (first.name.as_str(), body.map_err(|error| error.to_string()))
        } else {
            let body = serde_json::to_vec(&json!({ "id": first.id, "events": events }));
            ("events", body.map_err(|error| error.to_string()))
        };
        let body = match body {
            Ok(body) => body,
            Err(error) => return Outcome::Refused(format!("it cannot be written: {error}")),
        };
        let mut headers = vec![(EVENT_ID, first.id.clone()), (EVENT_NAME, name.into())];
        if let Some(signer) = &self.signer {
            headers.extend(signer.headers(&first.id, &body));
        }
        self.poster.post(&headers, body).await
    }
}

/// The headers of somebody who shows a token.
///
/// # Errors
/// If it cannot be a header.
pub fn bearer(token: Option<Secret>, key: &str) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
            .with_context(|| format!("{key} holds characters that a header must not have"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    Ok(headers)
}
