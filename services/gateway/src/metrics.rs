//! What is counted, and what Prometheus is told of the present.

use crate::commands::Answers;
use std::sync::{Arc, Weak};
use tokio::sync::watch;
use vedette_model::GroupRecord;
use vedette_protocol::gateway::Gateway;
use vedette_runtime::metrics::{Counter, Family, Labels, Meter, flag, number, single};

/// Without a text made for each: commands come by the hundred thousand.
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

/// The gateway's counters.
#[derive(Debug)]
pub struct Metrics {
    /// All metrics of the process.
    pub meter: Meter,
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
    /// Probers that live.
    pub probers: usize,
    /// Voters that answer, and voters needed.
    pub voters: (usize, usize),
}

impl Metrics {
    /// Nothing is counted yet.
    pub fn new(meter: Meter) -> Self {
        Self {
            connections: meter.count("gateway_connections", "Connections accepted"),
            events: meter.count("gateway_events", "Events told to subscribers"),
            refused: meter.add(
                "gateway_refused",
                "Connections refused, by reason",
                Named::default(),
            ),
            ended: meter.add(
                "gateway_ended",
                "Connections that ended, by reason",
                Named::default(),
            ),
            commands: meter.add("gateway_commands", "Commands by name", Named::default()),
            all_commands: Counter::default(),
            meter,
        }
    }

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
}

/// Tells what holds at the moment somebody asks. What answers clients is not kept alive by it.
pub fn tell(answers: &Arc<Answers>, is_open: watch::Receiver<bool>) {
    let meter = answers.metrics().meter.clone();
    let now = {
        let answers = Arc::downgrade(answers);
        move || answers.upgrade().map(|answers| answers.present(*is_open.borrow()))
    };
    let gauge = |name, help, pick: fn(&Now) -> Option<f64>| {
        let now = now.clone();
        let value = move || now().and_then(|now| pick(&now)).map(single);
        meter.look(name, help, move || value().unwrap_or_default());
    };
    gauge("gateway_clients", "Clients connected", |now| Some(count(now.clients)));
    gauge("gateway_subscribers", "Clients that subscribe", |now| Some(count(now.subscribers)));
    gauge("gateway_door_open", "1 while clients are served", |now| Some(flag(now.open)));
    gauge("gateway_groups", "Groups known", |now| Some(count(now.groups)));
    gauge("gateway_gateways", "Other gateways that serve", |now| Some(count(now.gateways)));
    gauge("gateway_probers", "Probers that live", |now| Some(count(now.probers)));
    gauge("gateway_voters_answering", "Voters that answer", |now| Some(count(now.voters.0)));
    gauge("gateway_voters_needed", "Voters that must answer", |now| Some(count(now.voters.1)));
    let help = "Time since a majority of the voters had answered";
    gauge("gateway_view_age_seconds", help, |now| now.age);
    groups(&meter, &Arc::downgrade(answers));
}

/// Of each group and each node.
fn groups(meter: &Meter, answers: &Weak<Answers>) {
    let each = |name, help, told: fn(&Answers, &Gateway, &GroupRecord) -> Vec<(Labels, f64)>| {
        let answers = Weak::clone(answers);
        meter.look(name, help, move || {
            let Some(answers) = answers.upgrade() else { return Vec::new() };
            let view = answers.view();
            view.records().flat_map(|record| told(&answers, &view, record)).collect()
        });
    };
    each("group_epoch", "The present master's epoch", |_, _, record| {
        vec![(of(record), number(record.epoch.0))]
    });
    each("group_master_down", "1 while a quorum calls the master down", |answers, view, record| {
        vec![(of(record), flag(view.odown(record, answers.now()).is_some()))]
    });
    each("group_failover_running", "1 during a failover or switchover", |_, _, record| {
        vec![(of(record), flag(record.failover.is_some()))]
    });
    each("group_paused", "1 while it is only observed", |_, _, record| {
        vec![(of(record), flag(record.pause.is_some()))]
    });
    each("group_held", "1 while it waits for a person after too many failovers", |_, _, record| {
        vec![(of(record), flag(record.flapping.held))]
    });
    each(
        "group_eligible_replicas",
        "Replicas that could be read from now",
        |answers, view, record| {
            let (name, now) = (record.group.as_str(), answers.now());
            let fit =
                record.members.iter().filter(|m| view.readable(name, &m.addr, None, now).is_ok());
            vec![(of(record), count(fit.count()))]
        },
    );
    each("node_down", "1 while a prober calls it down", |answers, view, record| {
        let down = |m: &vedette_model::Member| {
            flag(view.look(record, &m.addr, answers.now()).down.is_some())
        };
        record.members.iter().map(|m| (node(record, m), down(m))).collect()
    });
    each("node_is_master", "1 for the recorded master", |_, _, record| {
        let is = |m: &vedette_model::Member| flag(m.addr == record.master);
        record.members.iter().map(|m| (node(record, m), is(m))).collect()
    });
    each("node_lag_bytes", "How far a replica is behind its master", |answers, view, record| {
        let lag = |m: &vedette_model::Member| view.lag(record, &m.addr, answers.now()).map(number);
        record.members.iter().filter_map(|m| Some((node(record, m), lag(m)?))).collect()
    });
}

fn of(record: &GroupRecord) -> Labels {
    vec![("group", record.group.to_string())]
}

fn node(record: &GroupRecord, member: &vedette_model::Member) -> Labels {
    vec![("group", record.group.to_string()), ("node", member.addr.to_string())]
}

fn count(things: usize) -> f64 {
    number(u64::try_from(things).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_runtime::metrics::Form;

    #[test]
    fn everything_that_is_counted_is_told() {
        let metrics = Metrics::new(Meter::default());
        metrics.connections.inc();
        metrics.turned(Turned::Full);
        metrics.left(Left::Slow);
        metrics.command("ping");
        metrics.command("ping");
        let text = metrics.meter.text(Form::OpenMetrics).unwrap();
        for line in [
            "vedette_gateway_connections_total 1",
            "vedette_gateway_refused_total{reason=\"full\"} 1",
            "vedette_gateway_ended_total{reason=\"slow\"} 1",
            "vedette_gateway_commands_total{command=\"ping\"} 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing:\n{text}");
        }
    }
}
