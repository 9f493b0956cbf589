//! The sinks that there are.

use super::{WEBHOOKS, invalid, parse_url};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use vedette_model::{EventName, GroupName, Secret};
use vedette_runtime::ConfigError;

/// Where events go. Each sink has its own queue and pace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkConfig {
    /// The notifier's own log.
    pub log: LogConfig,
    /// HTTP.
    pub webhook: WebhookConfig,
    /// Sentinel's scripts.
    pub executable: ExecutableConfig,
    /// Slack, and those who take the same.
    pub slack: SlackConfig,
    /// PagerDuty.
    pub pagerduty: PagerDutyConfig,
    /// Prometheus's Alertmanager.
    pub alertmanager: AlertmanagerConfig,
    /// E-mail.
    pub email: EmailConfig,
    /// `CloudEvents` on NATS.
    pub cloudevents: CloudEventsConfig,
}

impl SinkConfig {
    /// How long one delivery may take, by key.
    pub(super) const fn limits(&self) -> [(&'static str, u64); 6] {
        [
            ("sink.webhook.limit_ms", self.webhook.limit_ms),
            ("sink.executable.limit_ms", self.executable.limit_ms),
            ("sink.slack.limit_ms", self.slack.limit_ms),
            ("sink.pagerduty.limit_ms", self.pagerduty.limit_ms),
            ("sink.alertmanager.limit_ms", self.alertmanager.limit_ms),
            ("sink.email.limit_ms", self.email.limit_ms),
        ]
    }

    /// Whether there is a sink at all.
    pub(super) const fn is_anywhere(&self) -> bool {
        self.log.enabled
            || !self.webhook.urls.is_empty()
            || self.executable.notification_script.is_some()
            || self.executable.client_reconfig_script.is_some()
            || self.slack.secret_url.is_some()
            || self.pagerduty.routing_key.is_some()
            || !self.alertmanager.urls.is_empty()
            || self.email.server.is_some()
            || self.cloudevents.subject.is_some()
    }

    /// Checks what the types cannot, of the sinks that are not scripts or webhooks.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(url) = &self.slack.secret_url {
            parse_url("sink.slack.secret_url", url.expose())?;
        }
        parse_url("sink.pagerduty.url", &self.pagerduty.url)?;
        let urls = &self.alertmanager.urls;
        if urls.len() > WEBHOOKS {
            let why = format!("at most {WEBHOOKS} are served");
            return Err(invalid("sink.alertmanager.urls", urls.len(), why));
        }
        for url in urls {
            parse_url("sink.alertmanager.urls", url)?;
        }
        self.email.check()?;
        let subject = self.cloudevents.subject.as_deref().unwrap_or("x");
        let plain =
            |part: &str| !part.is_empty() && !part.contains(['*', '>', ' ', '\t', '\r', '\n']);
        if !subject.split('.').all(plain) {
            let why = "must be words with dots between them, without * and >".into();
            return Err(invalid("sink.cloudevents.subject", subject, why));
        }
        Ok(())
    }
}

/// Slack's incoming webhook: one message for each event, or for those that a route gathers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlackConfig {
    /// The webhook's URL, which is a secret; absent means no Slack.
    pub secret_url: Option<Secret>,
    /// Milliseconds for one message with its answer, 100 to 600,000.
    pub limit_ms: u64,
}

impl Default for SlackConfig {
    fn default() -> Self {
        Self { secret_url: None, limit_ms: 10_000 }
    }
}

/// `PagerDuty`: problems are triggered and resolved; other events are none of its business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PagerDutyConfig {
    /// The integration's key; absent means no `PagerDuty`.
    pub routing_key: Option<Secret>,
    /// Where the Events API v2 is; another one for the European region or a proxy.
    pub url: String,
    /// Milliseconds for one event with its answer, 100 to 600,000.
    pub limit_ms: u64,
}

impl Default for PagerDutyConfig {
    fn default() -> Self {
        let url = "https://events.pagerduty.com/v2/enqueue".into();
        Self { routing_key: None, url, limit_ms: 10_000 }
    }
}

/// Alertmanager: problems begin and end; other events are none of its business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertmanagerConfig {
    /// Each Alertmanager, `http://host:9093` with its prefix if it has one; of a cluster all of
    /// them. At most 16, each a sink of its own.
    pub urls: Vec<String>,
    /// Sent as `Authorization: Bearer …`; absent means none.
    pub token: Option<Secret>,
    /// Milliseconds for one request with its answer, 100 to 600,000.
    pub limit_ms: u64,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self { urls: Vec::new(), token: None, limit_ms: 5_000 }
    }
}

/// E-mail over SMTP: one for each event, or for those that a route gathers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmailConfig {
    /// `smtps://host` (TLS), `smtp://host:587?tls=required` (STARTTLS) or `smtp://host` (neither);
    /// absent means no e-mail.
    pub server: Option<String>,
    /// User name; goes with `password`.
    pub user: Option<String>,
    /// Password; goes with `user`.
    pub password: Option<Secret>,
    /// Who writes: `Vedette <vedette@example.com>`. Required with `server`.
    pub from: String,
    /// Who is written to, at least one with `server`.
    pub to: Vec<String>,
    /// Milliseconds for one mail with the server's answer, 100 to 600,000.
    pub limit_ms: u64,
}

impl Default for EmailConfig {
    fn default() -> Self {
        let (server, user, password, from, to) = (None, None, None, String::new(), Vec::new());
        Self { server, user, password, from, to, limit_ms: 30_000 }
    }
}

impl EmailConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let Some(server) = &self.server else { return Ok(()) };
        if server.contains('@') {
            let why = "must not hold a user: sink.email.user and sink.email.password are for that";
            return Err(invalid("sink.email.server", "(not shown)", why.into()));
        }
        if self.user.is_some() != self.password.is_some() {
            let remedy = "user and password go together".into();
            return Err(ConfigError::Missing { key: "sink.email", remedy });
        }
        if self.to.is_empty() {
            let remedy = "name who is written to, or leave sink.email.server out".into();
            return Err(ConfigError::Missing { key: "sink.email.to", remedy });
        }
        match crate::email::Email::new(self) {
            Ok(_) => Ok(()),
            Err(error) => Err(invalid("sink.email", "(not shown)", format!("{error:#}"))),
        }
    }
}

/// `CloudEvents` 1.0, structured, on the NATS that the services use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloudEventsConfig {
    /// The subject; absent means none are sent.
    pub subject: Option<String>,
    /// Whether a stream of yours takes that subject: then an event counts as told once the stream
    /// has acknowledged it. Otherwise once the server has it, whoever listens.
    pub acknowledged: bool,
}

/// The log as a sink.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// Whether each event is a line of the log.
    pub enabled: bool,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { enabled: true }
    }
}

/// Webhooks: one JSON POST per event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookConfig {
    /// Each is a sink of its own; `http://` or `https://`, at most 16.
    pub urls: Vec<String>,
    /// Each signs what is sent: `whsec_` and 24 to 64 bytes in base64. Two while one replaces the
    /// other; none means no signature.
    pub secrets: Vec<Secret>,
    /// Sent as `Authorization: Bearer …`; absent means none.
    pub token: Option<Secret>,
    /// Only these events, by name; empty means all.
    pub events: Vec<EventName>,
    /// Milliseconds for one POST with its answer, 100 to 600,000. A longer one counts as failed
    /// and is tried again.
    pub limit_ms: u64,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        let (urls, secrets, events) = (Vec::new(), Vec::new(), Vec::new());
        Self { urls, secrets, token: None, events, limit_ms: 5_000 }
    }
}

/// Executables with Sentinel's arguments, run directly and never through a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutableConfig {
    /// Run for every event that Sentinel calls a warning, with the event's name and its payload.
    pub notification_script: Option<PathBuf>,
    /// Run when the master has changed, with the master's name, `leader`, `start`, from-ip,
    /// from-port, to-ip and to-port.
    pub client_reconfig_script: Option<PathBuf>,
    /// Only for these groups, by name; empty means all.
    pub groups: Vec<GroupName>,
    /// Run them as the Sentinel of this id would: only for what services of this id tell, and for
    /// each change of master, with the role `observer` where another one led. Absent: for all, with
    /// the role `leader`.
    pub in_place_of: Option<String>,
    /// Scripts that run at the same time, 1 to 64; more wait for their turn.
    pub parallel: usize,
    /// Milliseconds that one run may take, 100 to 600,000. Then it is killed with all its children
    /// and tried again.
    pub limit_ms: u64,
}

impl Default for ExecutableConfig {
    fn default() -> Self {
        Self {
            notification_script: None,
            client_reconfig_script: None,
            groups: Vec::new(),
            in_place_of: None,
            parallel: 16,
            limit_ms: 60_000,
        }
    }
}
