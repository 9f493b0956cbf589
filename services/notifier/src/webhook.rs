//! A webhook: one POST per event and try.

use anyhow::Context;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use std::error::Error as _;
use std::time::Duration;
use vedette_model::{Event, Fact, Secret};
use vedette_protocol::notice::Outcome;

/// The same for every try and every repetition of an event: a receiver keeps it to tell them apart.
pub const EVENT_ID: &str = "Vedette-Event-Id";
/// The event's name.
pub const EVENT_NAME: &str = "Vedette-Event";
/// Bytes of an answer that are read and repeated.
const ANSWER_BYTES: usize = 512;

/// A webhook with its connections.
#[derive(Debug)]
pub struct Webhook {
    client: Client,
    url: Url,
    /// Scheme, host and port: the rest may be a secret.
    shown: String,
    limit: Duration,
}

impl Webhook {
    /// Makes the client; connects when the first event comes.
    ///
    /// # Errors
    /// If the token cannot be a header, or if there are no certificates to trust and the URL is
    /// `https`.
    pub fn new(url: Url, token: Option<Secret>, limit: Duration) -> anyhow::Result<Self> {
        // Fails if a provider was installed before; it is the same one then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose()))
                .context("sink.webhook.token holds characters that a header must not have")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        let mut builder = Client::builder()
            .default_headers(headers)
            .user_agent(concat!("vedette-notifier/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .timeout(limit);
        if url.scheme() == "http" {
            // Nothing is verified, so nothing needs to be trusted.
            builder = builder.tls_certs_only([]);
        }
        let client = builder.build().context(
            "no certificate authorities to trust: install ca-certificates or set SSL_CERT_FILE",
        )?;
        let shown = url.origin().ascii_serialization();
        Ok(Self { client, url, shown, limit })
    }

    /// One try.
    pub async fn deliver(&self, event: &Event) -> Outcome {
        let body = match vedette_wire::encode(&Fact::Event(event.clone())) {
            Ok(body) => body,
            Err(error) => return Outcome::Refused(format!("it cannot be written: {error}")),
        };
        let Ok(id) = HeaderValue::from_str(&event.id) else {
            return Outcome::Refused("its id cannot be a header".into());
        };
        let post = self.client.post(self.url.clone()).header(EVENT_ID, id);
        let sent = post.header(EVENT_NAME, event.name.as_str()).body(body).send().await;
        match sent {
            Ok(answer) => {
                let status = answer.status();
                let words = words(answer).await;
                self.judge(status, &words)
            }
            Err(error) if error.is_timeout() => Outcome::Retry(format!(
                "{} did not answer within {} ms",
                self.shown,
                self.limit.as_millis()
            )),
            Err(error) => {
                Outcome::Retry(format!("{} cannot be reached: {}", self.shown, causes(&error)))
            }
        }
    }

    fn judge(&self, status: StatusCode, words: &str) -> Outcome {
        let why = format!("{} answered {status}: {words}", self.shown);
        if status.is_success() {
            Outcome::Delivered
        } else if status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        {
            Outcome::Retry(why)
        } else {
            Outcome::Refused(format!("{why}; correct sink.webhook.urls or the receiver"))
        }
    }
}

/// The start of the answer's body. Reading it to the end lets the connection be used again.
async fn words(mut answer: reqwest::Response) -> String {
    let mut bytes = Vec::new();
    while bytes.len() < ANSWER_BYTES {
        match answer.chunk().await {
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    bytes.truncate(ANSWER_BYTES);
    String::from_utf8_lossy(&bytes).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The innermost cause, which says most: `connection refused`.
fn causes(error: &reqwest::Error) -> String {
    let mut innermost: &dyn std::error::Error = match error.source() {
        Some(source) => source,
        None => return "the request could not be sent".into(),
    };
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
