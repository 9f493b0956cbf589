//! Which events go where, and for how long they are tried.

use super::invalid;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use vedette_protocol::notice::{Quiet, Route};
use vedette_runtime::ConfigError;

/// Names of sinks, as they stand in logs and health.
const SINKS: &[&str] = &[
    "log",
    "webhook",
    "slack",
    "pagerduty",
    "alertmanager",
    "email",
    "cloudevents",
    "notification-script",
    "client-reconfig-script",
];
/// Of these there may be several.
const SEVERAL: &[&str] = &["webhook", "alertmanager"];

/// One row of the routing table. What is left out fits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RouteConfig {
    /// Names of sinks; `webhook-2` is the second of several webhooks.
    pub sinks: Vec<String>,
    /// Patterns of events' names, as Redis has them: `+switch-master`, `-failover-*`.
    pub events: Vec<String>,
    /// Patterns of groups' names.
    pub groups: Vec<String>,
    /// Milliseconds within which what happens is one message, 0 to 3,600,000; 0 for one message
    /// each. For webhooks, Slack, Alertmanager and e-mail; the others are told one by one.
    pub gather_ms: u64,
    /// Times in UTC in which nothing is told: `22:00-07:00`, `mon-fri 22:00-07:00`. What happens in
    /// them is told when they end.
    pub quiet: Vec<String>,
}

impl RouteConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for sink in &self.sinks {
            let kind = match sink.rsplit_once('-') {
                Some((kind, n)) if SEVERAL.contains(&kind) && n.parse::<usize>().is_ok() => kind,
                Some(_) | None => sink.as_str(),
            };
            if !SINKS.contains(&kind) {
                let why = format!("no such sink; there are {}", SINKS.join(", "));
                return Err(invalid("route.sinks", sink, why));
            }
        }
        for pattern in self.events.iter().chain(&self.groups) {
            if pattern.is_empty() {
                let why = "an empty pattern fits nothing: leave the key out for everything";
                return Err(invalid("route.events or route.groups", "", why.into()));
            }
        }
        if self.gather_ms > 3_600_000 {
            return Err(invalid("route.gather_ms", self.gather_ms, "must be 0 to 3600000".into()));
        }
        for quiet in &self.quiet {
            Quiet::parse(quiet).map_err(|why| invalid("route.quiet", quiet, why))?;
        }
        Ok(())
    }

    pub(super) fn route(&self) -> Route {
        let Self { sinks, events, groups, gather_ms, quiet } = self.clone();
        // They were parsed when the configuration was checked.
        let quiet = quiet.iter().filter_map(|text| Quiet::parse(text).ok()).collect();
        Route { sinks, events, groups, gather: Duration::from_millis(gather_ms), quiet }
    }
}

/// How long sinks are borne with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryConfig {
    /// Milliseconds after the first try of an event from which a failure is final, 1,000 to
    /// 604,800,000. It becomes a dead letter then, and the next event of its group has its turn.
    pub give_up_ms: u64,
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self { give_up_ms: 3_600_000 }
    }
}

impl RetryConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if (1_000..=604_800_000).contains(&self.give_up_ms) {
            return Ok(());
        }
        let why = "must be 1000 to 604800000".into();
        Err(invalid("retry.give_up_ms", self.give_up_ms, why))
    }
}
