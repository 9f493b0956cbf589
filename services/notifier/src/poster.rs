//! HTTP to one receiver: one POST per try.

use anyhow::Context;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use std::error::Error as _;
use std::time::Duration;
use vedette_protocol::notice::Outcome;

/// Bytes of an answer that are read and repeated.
const ANSWER_BYTES: usize = 512;

/// A receiver with its connections.
#[derive(Debug)]
pub struct Poster {
    client: Client,
    url: Url,
    /// Scheme, host and port: the rest may be a secret.
    shown: String,
    limit: Duration,
    /// The key to correct if the receiver refuses.
    key: &'static str,
}

impl Poster {
    /// Makes the client; connects when the first event comes. `headers` are sent each time, `key`
    /// is what an operator would correct.
    ///
    /// # Errors
    /// If there are no certificates to trust and the URL is `https`.
    pub fn new(
        url: Url,
        headers: HeaderMap,
        limit: Duration,
        key: &'static str,
    ) -> anyhow::Result<Self> {
        // Fails if a provider was installed before; it is the same one then.
        let _ = rustls::crypto::ring::default_provider().install_default();
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
        Ok(Self { client, url, shown, limit, key })
    }

    /// One try with a body of JSON.
    pub async fn post(&self, headers: &[(&'static str, String)], body: Vec<u8>) -> Outcome {
        let mut post = self.client.post(self.url.clone());
        post = post.header(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in headers {
            let Ok(value) = HeaderValue::from_str(value) else {
                return Outcome::Refused(format!("{name} cannot be a header"));
            };
            post = post.header(HeaderName::from_static(name), value);
        }
        match post.body(body).send().await {
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
        let separator = if words.is_empty() { "" } else { ": " };
        let why = format!("{} answered {status}{separator}{words}", self.shown);
        if status.is_success() {
            Outcome::Delivered
        } else if status.is_server_error()
            || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
        {
            Outcome::Retry(why)
        } else {
            Outcome::Refused(format!("{why}; correct {} or the receiver", self.key))
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
