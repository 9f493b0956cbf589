//! What is counted, and how Prometheus reads it.

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::atomic::AtomicU64;

type Named = Family<[(&'static str, &'static str); 1], Counter>;

/// Why somebody is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turned {
    /// `clients.max_clients` are here.
    Full,
    /// The TLS handshake failed, or took too long.
    Handshake,
}

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// `QUIT`.
    Quit,
    /// The client closed it.
    Closed,
    /// It broke.
    Broken,
    /// It was closed from here: nothing was asked for too long, or a request or a login not brought
    /// to its end.
    Idle,
    /// It did not read its replies.
    Unread,
    /// It read its events too slowly.
    Slow,
    /// What it sent was no request.
    Malformed,
    /// `CLIENT KILL`.
    Killed,
    /// The gateway stops.
    Stopping,
}

impl Left {
    /// As the metric names it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quit => "quit",
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Unread => "unread",
            Self::Slow => "slow",
            Self::Malformed => "malformed",
            Self::Killed => "killed",
            Self::Stopping => "stopping",
        }
    }
}

/// The gateway's counters. Gauges are set when they are asked for.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Connections accepted.
    pub connections: Counter,
    /// Events told to subscribers.
    pub events: Counter,
    refused: Named,
    ended: Named,
    commands: Named,
    all_commands: Counter,
}

/// What holds at this moment.
#[derive(Debug, Clone, Copy, Default)]
pub struct Now {
    /// Clients that are here.
    pub clients: usize,
    /// Those of them that subscribe to something.
    pub subscribers: usize,
    /// Whether clients are served.
    pub open: bool,
    /// Seconds since a majority of the voters had answered; absent if it never has.
    pub age: Option<f64>,
    /// Groups known.
    pub groups: usize,
    /// Other gateways that serve.
    pub gateways: usize,
    /// Voters that answer, and voters needed.
    pub voters: (usize, usize),
}

impl Metrics {
    /// A client was not served.
    pub fn turned(&self, why: Turned) {
        let word = match why {
            Turned::Full => "full",
            Turned::Handshake => "handshake",
        };
        self.refused.get_or_create(&[("reason", word)]).inc();
    }

    /// A connection ended.
    pub fn left(&self, why: Left) {
        self.ended.get_or_create(&[("reason", why.word())]).inc();
    }

    /// A command came; its name is one of a list, not what the client sent.
    pub fn command(&self, name: &'static str) {
        self.all_commands.inc();
        self.commands.get_or_create(&[("command", name)]).inc();
    }

    /// All commands so far.
    pub fn commands_so_far(&self) -> u64 {
        self.all_commands.get()
    }

    /// The text for Prometheus.
    ///
    /// # Errors
    /// None: a text takes whatever is written to it.
    pub fn text(&self, now: &Now) -> Result<String, fmt::Error> {
        let mut all = Registry::with_prefix("vedette_gateway");
        all.register("connections", "Connections accepted", self.connections.clone());
        all.register("refused", "Connections refused, by reason", self.refused.clone());
        all.register("ended", "Connections that ended, by reason", self.ended.clone());
        all.register("commands", "Commands by name", self.commands.clone());
        all.register("events", "Events told to subscribers", self.events.clone());
        let number = |value: usize| {
            let gauge: Gauge = Gauge::default();
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
            gauge
        };
        all.register("clients", "Clients connected", number(now.clients));
        all.register("subscribers", "Clients that subscribe", number(now.subscribers));
        all.register("door_open", "1 while clients are served", number(now.open.into()));
        all.register("groups", "Groups known", number(now.groups));
        all.register("gateways", "Other gateways that serve", number(now.gateways));
        all.register("voters_answering", "Voters that answer", number(now.voters.0));
        all.register("voters_needed", "Voters that must answer", number(now.voters.1));
        let age: Gauge<f64, AtomicU64> = Gauge::default();
        age.set(now.age.unwrap_or(f64::INFINITY));
        let help = "Time since a majority of the voters had answered";
        all.register_with_unit("view_age", help, Unit::Seconds, age);
        let mut text = String::new();
        encode(&mut text, &all)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_told_in_prometheus_form() {
        let metrics = Metrics::default();
        metrics.connections.inc();
        metrics.turned(Turned::Full);
        metrics.left(Left::Slow);
        metrics.command("ping");
        metrics.command("ping");
        let now = Now { clients: 3, open: true, age: Some(0.5), ..Now::default() };
        let text = metrics.text(&now).unwrap();
        for line in [
            "vedette_gateway_connections_total 1",
            "vedette_gateway_refused_total{reason=\"full\"} 1",
            "vedette_gateway_ended_total{reason=\"slow\"} 1",
            "vedette_gateway_commands_total{command=\"ping\"} 2",
            "vedette_gateway_clients 3",
            "vedette_gateway_door_open 1",
            "vedette_gateway_view_age_seconds 0.5",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
        assert!(metrics.text(&Now::default()).unwrap().contains("view_age_seconds inf"));
    }
}
