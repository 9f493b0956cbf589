//! `SENTINEL CONFIG`, `DEBUG` and `SIMULATE-FAILURE`: what belongs to one Sentinel, not to a group.
//!
//! A gateway is configured by its file and keeps nothing. What is asked for is answered; what is to
//! be changed is done if it is so already, and refused with the place to change it otherwise.

use super::{Answers, lower, shown, text};
use crate::reply::Reply;
use bytes::Bytes;
use std::collections::BTreeSet;
use tracing::level_filters::LevelFilter;
use vedette_model::{Setting, fits};

/// A parameter of `SENTINEL CONFIG`, and how it is changed.
const PARAMETERS: [(&str, &str); 7] = [
    ("resolve-hostnames", "names are always resolved"),
    ("announce-hostnames", "a node is always shown by the name it is recorded with"),
    ("announce-ip", "it is clients.announce_host in the gateway's configuration"),
    ("announce-port", "it is clients.announce_port in the gateway's configuration"),
    ("sentinel-user", "gateways do not log in to one another"),
    ("sentinel-pass", "gateways do not log in to one another"),
    ("loglevel", "it is log.level in the gateway's configuration"),
];

/// Sentinel's timers and what is nearest to them, in milliseconds; 0 where there is nothing alike.
const TIMERS: [(&str, u64); 13] = [
    ("INFO-PERIOD", 10_000),
    ("PING-PERIOD", 1_000),
    ("ASK-PERIOD", 1_000),
    ("PUBLISH-PERIOD", 1_000),
    (DOWN_AFTER, 5_000),
    (FAILOVER_TIMEOUT, 60_000),
    ("TILT-TRIGGER", 0),
    ("TILT-PERIOD", 0),
    ("SLAVE-RECONF-TIMEOUT", 10_000),
    ("MIN-LINK-RECONNECT-PERIOD", 0),
    ("ELECTION-TIMEOUT", 500),
    ("SCRIPT-MAX-RUNTIME", 0),
    ("SCRIPT-RETRY-DELAY", 0),
];

const DOWN_AFTER: &str = "DEFAULT-DOWN-AFTER";
const FAILOVER_TIMEOUT: &str = "DEFAULT-FAILOVER-TIMEOUT";

const FAILURES: [&str; 2] = ["crash-after-election", "crash-after-promotion"];

impl Answers {
    pub(super) fn global(&self, verb: &str, words: &[Bytes]) -> Reply {
        match (verb, words) {
            ("config", [get, patterns @ ..]) if lower(get) == "get" => self.config_get(patterns),
            ("config", [set, pairs @ ..]) if lower(set) == "set" => {
                self.config_set(pairs).map_or_else(Reply::err, |()| Reply::ok())
            }
            ("config", _) => Reply::err(
                "Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> \
                 [<param> <value> ...] are supported.",
            ),
            ("debug", pairs) => self.debug(pairs),
            (_, flags) => simulate_failure(flags),
        }
    }

    fn parameter(&self, name: &str) -> String {
        match name {
            "resolve-hostnames" | "announce-hostnames" => "yes".into(),
            "announce-ip" => self.config().announce_host.clone().unwrap_or_default(),
            "announce-port" => self.config().announce_port.unwrap_or(0).to_string(),
            "loglevel" => self.loglevel.into(),
            _ => String::new(),
        }
    }

    fn config_get(&self, patterns: &[Bytes]) -> Reply {
        let mut told = BTreeSet::new();
        let mut pairs = Vec::new();
        for pattern in patterns {
            let pattern = lower(pattern);
            for (name, _) in PARAMETERS {
                if fits(pattern.as_bytes(), name.as_bytes()) && told.insert(name) {
                    pairs.push((Reply::bulk(name), Reply::bulk(self.parameter(name))));
                }
            }
        }
        Reply::Map(pairs)
    }

    fn config_set(&self, pairs: &[Bytes]) -> Result<(), String> {
        let mut named = BTreeSet::new();
        for pair in pairs.chunks(2) {
            let name = lower(&pair[0]);
            let given = shown(&pair[0]);
            let Some((name, why)) = PARAMETERS.iter().find(|(known, _)| *known == name) else {
                return Err(format!("Invalid argument '{given}' to SENTINEL CONFIG SET"));
            };
            if !named.insert(*name) {
                return Err(format!("Duplicate argument '{given}' to SENTINEL CONFIG SET"));
            }
            let Some(value) = pair.get(1) else {
                return Err(format!("Missing argument '{given}' value"));
            };
            if text(value) != self.parameter(name) {
                let value = if *name == "sentinel-pass" { "******".into() } else { shown(value) };
                return Err(format!(
                    "Invalid value '{value}' to SENTINEL CONFIG SET '{given}': {why}"
                ));
            }
        }
        Ok(())
    }

    /// What a new group starts with may be configured; the others are constants.
    fn timers(&self) -> [(&'static str, u64); 13] {
        let own = |name: &str| {
            self.config().new_group.iter().find_map(|setting| match (name, setting) {
                (DOWN_AFTER, Setting::DownAfterMs(ms))
                | (FAILOVER_TIMEOUT, Setting::FailoverTimeoutMs(ms)) => Some(*ms),
                _ => None,
            })
        };
        TIMERS.map(|(name, ms)| (name, own(name).unwrap_or(ms)))
    }

    fn debug(&self, pairs: &[Bytes]) -> Reply {
        let timers = self.timers();
        if pairs.is_empty() {
            let timer = |(name, ms): (&str, u64)| (Reply::bulk(name), Reply::bulk(ms.to_string()));
            return Reply::Map(timers.into_iter().map(timer).collect());
        }
        for pair in pairs.chunks(2) {
            let given = shown(&pair[0]);
            let name = text(&pair[0]).to_ascii_uppercase();
            let known = timers.iter().find(|(timer, _)| *timer == name);
            let (Some((_, ms)), Some(value)) = (known, pair.get(1)) else {
                return Reply::err(format!(
                    "Unknown option or number of arguments for SENTINEL DEBUG '{given}'"
                ));
            };
            let invalid =
                format!("Invalid argument '{}' for SENTINEL DEBUG '{given}'", shown(value));
            match text(value).parse::<u64>() {
                Ok(0) | Err(_) => return Reply::err(invalid),
                Ok(value) if value == *ms => {}
                Ok(_) => {
                    return Reply::err(format!(
                        "{invalid}: timers that are no group's are constants"
                    ));
                }
            }
        }
        Reply::ok()
    }
}

/// Sentinel's word for what the log holds: `log.level` as it holds for all that has no level of its
/// own. What holds more than that of `info` is `debug`.
pub(super) fn loglevel(level: &str) -> &'static str {
    let general = level.split(',').filter_map(|part| part.trim().parse().ok()).next_back();
    match general.unwrap_or(LevelFilter::ERROR) {
        LevelFilter::OFF => "nothing",
        LevelFilter::ERROR | LevelFilter::WARN => "warning",
        LevelFilter::INFO => "notice",
        LevelFilter::DEBUG | LevelFilter::TRACE => "debug",
    }
}

fn simulate_failure(flags: &[Bytes]) -> Reply {
    match flags.first().map(lower).as_deref() {
        Some("help") => Reply::bulks(FAILURES),
        Some(known) if FAILURES.contains(&known) => {
            Reply::err("a gateway elects nobody and promotes nobody: kill an orchestrator for that")
        }
        Some(_) | None => Reply::err("Unknown failure simulation specified"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_the_log_is_told_in_sentinels_words() {
        for (level, word) in [
            ("off", "nothing"),
            ("error", "warning"),
            ("warn", "warning"),
            ("info", "notice"),
            ("debug", "debug"),
            ("TRACE", "debug"),
            ("vedette_runtime=debug, warn", "warning"),
            ("debug,vedette_runtime=off", "debug"),
            ("vedette_runtime=debug", "warning"),
        ] {
            assert_eq!(loglevel(level), word, "{level}");
        }
    }
}
