//! E-mail over SMTP.

use crate::config::EmailConfig;
use crate::words;
use anyhow::Context;
use lettre::message::header::ContentType;
use lettre::message::{Mailbox, MessageBuilder};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use std::time::Duration;
use vedette_model::Event;
use vedette_protocol::notice::Outcome;

/// A mail server, and who is written to.
#[derive(Debug)]
pub struct Email {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    limit: Duration,
    from: Mailbox,
    to: Vec<Mailbox>,
}

impl Email {
    /// By the configured server.
    ///
    /// # Errors
    /// If its URL or an address is none.
    pub fn new(config: &EmailConfig) -> anyhow::Result<Self> {
        // Fails if a provider was installed before; it is the same one then.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = config.server.as_deref().unwrap_or_default();
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(server);
        let mut builder = builder.context("sink.email.server is no smtp:// or smtps:// URL")?;
        if let (Some(user), Some(password)) = (&config.user, &config.password) {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose().into()));
        }
        let from = config.from.parse().context("sink.email.from is no address")?;
        let to: Result<Vec<Mailbox>, _> = config.to.iter().map(|to| to.parse()).collect();
        let to = to.context("sink.email.to holds what is no address")?;
        let limit = Duration::from_millis(config.limit_ms);
        Ok(Self { transport: builder.timeout(Some(limit)).build(), limit, from, to })
    }

    /// One mail for all of them.
    pub async fn deliver(&self, events: &[Event]) -> Outcome {
        let message = match self.message(events) {
            Ok(message) => message,
            Err(error) => return Outcome::Refused(format!("it cannot be written: {error}")),
        };
        let sent = tokio::time::timeout(self.limit, self.transport.send(message)).await;
        match sent {
            Ok(Ok(_)) => Outcome::Delivered,
            Ok(Err(error)) if error.is_permanent() => Outcome::Refused(format!(
                "the mail server refuses: {error}; correct sink.email or the server"
            )),
            Ok(Err(error)) => Outcome::Retry(format!("the mail server fails: {error}")),
            Err(_) => {
                let limit = self.limit.as_millis();
                Outcome::Retry(format!("the mail server did not answer within {limit} ms"))
            }
        }
    }

    fn message(&self, events: &[Event]) -> Result<Message, lettre::error::Error> {
        let id = events.first().map_or("", |event| event.id.as_str());
        let builder = MessageBuilder::new()
            .from(self.from.clone())
            .subject(format!("[vedette] {}", words::title(events)))
            // The same in each try: a mail store keeps one.
            .message_id(Some(format!("<{}@vedette>", plain(id))))
            .header(ContentType::TEXT_PLAIN);
        let to = |builder: MessageBuilder, to: &Mailbox| builder.to(to.clone());
        let ids: Vec<_> = events.iter().map(|event| event.id.as_str()).collect();
        let body = format!("{}\nevent ids: {}\n", words::text(events), ids.join(" "));
        self.to.iter().fold(builder, to).body(body)
    }
}

/// What a message id may hold.
fn plain(id: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '.' };
    id.chars().map(plain).collect()
}
