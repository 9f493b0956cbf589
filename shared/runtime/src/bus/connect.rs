//! Getting a connection to NATS, and saying when it comes and goes.

use super::{BusError, Counts, WARN_INTERVAL};
use crate::limit::Limit;
use crate::{Clock, NatsConfig, Shutdown};
use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerError};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::sync::watch;
use vedette_model::{Instant, Sender};

/// A server that is silent for so long is asked; after two unanswered pings the next one is tried.
const PING_INTERVAL: Duration = Duration::from_secs(1);
/// For one server to accept and to greet. A stopped server accepts and is silent.
const CONNECT_LIMIT: Duration = Duration::from_secs(1);
/// Messages on their way to the socket.
const OUTBOUND_LIMIT: usize = 4_096;
/// Messages of one subscription that nobody has taken yet; those beyond are dropped and logged.
const INBOUND_LIMIT: usize = 16_384;
/// Between two rounds through the servers at the first connect, and the cap of the back-off later.
const RETRY_INTERVAL: Duration = Duration::from_millis(250);
/// An outage longer than this is worth a warning.
const OUTAGE_LIMIT: Duration = Duration::from_secs(3);
/// How often an outage that goes on is warned of again.
const OUTAGE_REMINDER: Duration = Duration::from_secs(60);

pub(super) async fn connect(
    config: &NatsConfig,
    sender: &Sender,
    clock: &Clock,
    shutdown: &Shutdown,
    returns: watch::Sender<u64>,
    counts: &Arc<Counts>,
) -> Result<Client, BusError> {
    let servers = crate::config::masked(&config.servers);
    let link = Link::spawn(clock.clone(), servers.clone(), returns, Arc::clone(counts));
    let options = options(config, sender, link).await?;
    let client = tokio::select! {
        biased;
        () = shutdown.triggered() => return Err(BusError::Stopped),
        client = first(config, options, clock, &servers) => client?,
    };
    let info = client.server_info();
    if !client.is_server_compatible(2, 10, 0) {
        let server = format!("{} ({}:{})", info.server_name, info.host, info.port);
        return Err(BusError::TooOld { server, version: info.version });
    }
    tracing::info!(
        from = "connecting",
        to = "connected",
        server = info.server_name,
        version = info.version,
        as_client = %sender,
        "nats is there"
    );
    Ok(client)
}

/// Tries until it works or cannot work.
async fn first(
    config: &NatsConfig,
    options: ConnectOptions,
    clock: &Clock,
    servers: &str,
) -> Result<Client, BusError> {
    let said = Limit::new(WARN_INTERVAL / 2);
    let begun = clock.now();
    loop {
        let error = match options.clone().connect(&config.servers).await {
            Ok(client) => return Ok(client),
            Err(error) => error,
        };
        match error.kind() {
            ConnectErrorKind::Authentication | ConnectErrorKind::AuthorizationViolation => {
                let why = error.to_string();
                return Err(BusError::Denied { servers: servers.into(), why });
            }
            ConnectErrorKind::ServerParse
            | ConnectErrorKind::Dns
            | ConnectErrorKind::TimedOut
            | ConnectErrorKind::Tls
            | ConnectErrorKind::Io
            | ConnectErrorKind::MaxReconnects => {}
        }
        let now = clock.now();
        if said.pass(now).is_some() {
            let waited_ms = now.since(begun).as_millis();
            if now.since(begun) < OUTAGE_LIMIT {
                tracing::info!(servers, %error, "waiting for nats");
            } else {
                tracing::warn!(
                    servers, waited_ms, %error,
                    "still waiting for nats: start it, or correct nats.servers"
                );
            }
        }
        clock.sleep(RETRY_INTERVAL).await;
    }
}

async fn options(
    config: &NatsConfig,
    sender: &Sender,
    link: Link,
) -> Result<ConnectOptions, BusError> {
    let (count, link) = (config.servers.len(), Arc::new(link));
    let mut options = ConnectOptions::new()
        .name(format!("vedette-{}-{}", sender.service, sender.id))
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_LIMIT)
        .client_capacity(OUTBOUND_LIMIT)
        .subscription_capacity(INBOUND_LIMIT)
        // Also of the servers that these tell us of later.
        .require_tls(config.servers.iter().any(|url| url.starts_with("tls://")))
        .reconnect_delay_callback(move |attempts| reconnect_delay(attempts, count))
        .event_callback(move |event| {
            link.heard(&event);
            std::future::ready(())
        });
    if let (Some(user), Some(password)) = (&config.user, &config.password) {
        options = options.user_and_password(user.clone(), password.expose().to_owned());
    }
    if let Some(token) = &config.token {
        options = options.token(token.expose().to_owned());
    }
    if let Some(path) = &config.credentials_file {
        options = options
            .credentials_file(path)
            .await
            .map_err(|source| BusError::Credentials { path: path.clone(), source })?;
    }
    if let Some(path) = &config.ca_file {
        options = options.add_root_certificates(path.clone());
    }
    if let (Some(certificate), Some(key)) = (&config.certificate_file, &config.key_file) {
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

/// Two rounds through all servers at once, then 10 ms doubling up to the cap.
fn reconnect_delay(attempts: usize, servers: usize) -> Duration {
    let over = attempts.saturating_sub(2 * servers);
    if over == 0 {
        return Duration::ZERO;
    }
    let doublings = u32::try_from(over - 1).unwrap_or(u32::MAX).min(10);
    (Duration::from_millis(10) * (1 << doublings)).min(RETRY_INTERVAL)
}

/// Says when the connection comes and goes.
struct Link {
    clock: Clock,
    gone_since: watch::Sender<Option<Instant>>,
    returns: watch::Sender<u64>,
    said: Limit,
    counts: Arc<Counts>,
}

impl Link {
    /// With what counts the returns to the bus.
    fn spawn(
        clock: Clock,
        servers: String,
        returns: watch::Sender<u64>,
        counts: Arc<Counts>,
    ) -> Self {
        let (gone_since, outages) = watch::channel(None);
        tokio::spawn(warn_of_outages(clock.clone(), outages, servers));
        Self { clock, gone_since, returns, said: Limit::new(WARN_INTERVAL), counts }
    }

    fn heard(&self, event: &Event) {
        match event {
            Event::Connected => {
                if let Some(since) = self.gone_since.send_replace(None) {
                    self.returns.send_modify(|count| *count += 1);
                    let gone_ms = self.clock.now().since(since).as_millis();
                    tracing::info!(
                        from = "disconnected",
                        to = "connected",
                        gone_ms,
                        "nats is back"
                    );
                }
            }
            Event::Disconnected => {
                self.gone_since.send_replace(Some(self.clock.now()));
                tracing::info!(
                    from = "connected",
                    to = "disconnected",
                    cause = "the connection broke or the server stopped answering",
                    "nats is gone; trying the others"
                );
            }
            Event::SlowConsumer(_) | Event::ServerError(ServerError::SlowConsumer(_)) => {
                self.counts.dropped.fetch_add(1, Relaxed);
                if let Some(times) = self.said.pass(self.clock.now()) {
                    tracing::warn!(
                        times,
                        "messages were dropped because this process is too slow: give it more cpu"
                    );
                }
            }
            Event::ServerError(ServerError::Other(text)) if is_permission(text) => {
                if let Some(times) = self.said.pass(self.clock.now()) {
                    tracing::warn!(times, cause = text, "nats refuses: correct its permissions");
                }
            }
            Event::ServerError(error) => tracing::info!(%error, "nats complains"),
            Event::ClientError(error) => tracing::debug!(%error, "nats client"),
            Event::LameDuckMode | Event::Draining | Event::Closed => {
                tracing::debug!(%event, "nats connection");
            }
        }
    }
}

fn is_permission(text: &str) -> bool {
    text.to_ascii_lowercase().contains("permissions violation")
}

/// Ends with the connection that it watches.
async fn warn_of_outages(
    clock: Clock,
    mut outages: watch::Receiver<Option<Instant>>,
    servers: String,
) {
    let mut wait = OUTAGE_LIMIT;
    loop {
        let Some(since) = *outages.borrow_and_update() else {
            wait = OUTAGE_LIMIT;
            if outages.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::select! {
            changed = outages.changed() => if changed.is_err() { return },
            () = clock.sleep(wait) => {
                let gone_ms = clock.now().since(since).as_millis();
                tracing::warn!(servers, gone_ms, "still without nats: no failover can happen \
                    from here; start a server or repair the network");
                wait = OUTAGE_REMINDER;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reconnecting_starts_at_once_and_stays_frequent() {
        let delays: Vec<_> = (1..12).map(|n| reconnect_delay(n, 2).as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 0, 10, 20, 40, 80, 160, 250, 250]);
        assert_eq!(reconnect_delay(usize::MAX, 3), RETRY_INTERVAL);
    }

    #[test]
    fn a_permission_error_is_told_from_other_complaints() {
        assert!(is_permission("Permissions Violation for Publish to \"a\""));
        assert!(!is_permission("Stale Connection"));
    }
}
