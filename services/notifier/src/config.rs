//! What a notifier is configured with.

use clap::Parser;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use vedette_model::{EventName, GroupName, Secret};
use vedette_runtime::config::ServiceConfig;
use vedette_runtime::life::ServiceFlags;
use vedette_runtime::{CommonConfig, CommonFlags, ConfigError, Overrides};

/// Milliseconds that one delivery may take at most, whatever the sink.
const LIMIT_RANGE_MS: std::ops::RangeInclusive<u64> = 100..=600_000;
/// Webhooks; each has a queue and a connection pool of its own.
const WEBHOOKS: usize = 16;

/// The whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What all services have.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// Where events go.
    pub sink: SinkConfig,
}

/// Where events go. Each sink has its own queue and pace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SinkConfig {
    /// The notifier's own log.
    pub log: LogConfig,
    /// HTTP.
    pub webhook: WebhookConfig,
    /// Sentinel's scripts.
    pub executable: ExecutableConfig,
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
        Self { urls: Vec::new(), token: None, events: Vec::new(), limit_ms: 5_000 }
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

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        let SinkConfig { webhook, executable, log } = &self.sink;
        check_limit("sink.webhook.limit_ms", webhook.limit_ms)?;
        check_limit("sink.executable.limit_ms", executable.limit_ms)?;
        if webhook.urls.len() > WEBHOOKS {
            let why = format!("at most {WEBHOOKS} webhooks are served");
            return Err(invalid("sink.webhook.urls", webhook.urls.len(), why));
        }
        for url in &webhook.urls {
            parse_url(url)?;
        }
        if !(1..=64).contains(&executable.parallel) {
            let why = "must be 1 to 64".into();
            return Err(invalid("sink.executable.parallel", executable.parallel, why));
        }
        check_script("sink.executable.notification_script", &executable.notification_script)?;
        check_script("sink.executable.client_reconfig_script", &executable.client_reconfig_script)?;
        let scripts = [&executable.notification_script, &executable.client_reconfig_script];
        let anywhere = log.enabled
            || !webhook.urls.is_empty()
            || scripts.iter().any(|script| script.is_some());
        if anywhere {
            return Ok(());
        }
        let remedy = "a notifier without a sink tells nobody: set sink.log.enabled, \
                      sink.webhook.urls or a script of sink.executable";
        Err(ConfigError::Missing { key: "sink", remedy: remedy.into() })
    }
}

fn invalid(key: &str, given: impl ToString, why: String) -> ConfigError {
    ConfigError::Invalid { key: key.into(), given: given.to_string(), why }
}

fn check_limit(key: &str, given: u64) -> Result<(), ConfigError> {
    if LIMIT_RANGE_MS.contains(&given) {
        return Ok(());
    }
    Err(invalid(key, given, "must be 100 to 600000".into()))
}

/// A webhook's URL. An error does not repeat it: a path may hold a secret.
pub(crate) fn parse_url(text: &str) -> Result<Url, ConfigError> {
    let refused = |why: String| invalid("sink.webhook.urls", "(not shown)", why);
    let url = Url::parse(text).map_err(|error| refused(format!("one is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(refused("each must be http://… or https://… with a host".into()));
    }
    Ok(url)
}

/// Refuses what could not run, like Sentinel does at its start.
fn check_script(key: &str, path: &Option<PathBuf>) -> Result<(), ConfigError> {
    let Some(path) = path else { return Ok(()) };
    let refused = |why: String| Err(invalid(key, path.display(), why));
    if !path.is_absolute() {
        return refused("must be an absolute path".into());
    }
    match executable(path) {
        Ok(true) => Ok(()),
        Ok(false) => refused("must be an executable file: chmod +x it".into()),
        Err(error) => refused(error.to_string()),
    }
}

fn executable(path: &Path) -> std::io::Result<bool> {
    let metadata = std::fs::metadata(path)?;
    Ok(metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Tells people and hooks what happened: the log, webhooks and Sentinel's scripts.
#[derive(Debug, Parser)]
#[command(name = "vedette-notifier", version, after_help = EXAMPLES)]
pub struct Flags {
    #[command(flatten)]
    common: CommonFlags,
    /// Where to POST each event as JSON; repeat it for several
    #[arg(long, value_name = "URL")]
    webhook: Vec<String>,
    /// Executable to run with each warning's name and payload
    #[arg(long, value_name = "FILE")]
    notification_script: Option<PathBuf>,
    /// Executable to run when a master has changed
    #[arg(long, value_name = "FILE")]
    client_reconfig_script: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  vedette-notifier --id n1 --nats nats://10.0.0.1:4222 --webhook https://hooks.example.com/redis
  vedette-notifier --id n1 --client-reconfig-script /usr/local/bin/move-vip
  vedette-notifier --config /etc/vedette/notifier.toml --print-config";

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }

    fn overrides(&self) -> Overrides {
        let webhooks = (!self.webhook.is_empty()).then_some(&self.webhook);
        Overrides::default()
            .set("sink.webhook.urls", webhooks)
            .set("sink.executable.notification_script", self.notification_script.as_ref())
            .set("sink.executable.client_reconfig_script", self.client_reconfig_script.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::Service;
    use vedette_runtime::config::load_from;

    fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let all = [("VEDETTE_ID", "n1")].iter().chain(variables);
        let all = all.map(|(name, value)| ((*name).to_string(), (*value).to_string()));
        load_from(Service::Notifier, None, all, Overrides::default())
    }

    #[test]
    fn the_environment_sets_every_sink() {
        let config = load(&[
            ("VEDETTE_SINK__LOG__ENABLED", "false"),
            ("VEDETTE_SINK__WEBHOOK__URLS", "http://a/1,https://b/2"),
            ("VEDETTE_SINK__WEBHOOK__TOKEN", "12345"),
            ("VEDETTE_SINK__WEBHOOK__EVENTS", "+switch-master,+odown"),
            ("VEDETTE_SINK__EXECUTABLE__NOTIFICATION_SCRIPT", "/bin/true"),
        ])
        .unwrap();
        assert!(!config.sink.log.enabled);
        assert_eq!(config.sink.webhook.urls, ["http://a/1", "https://b/2"]);
        assert_eq!(config.sink.webhook.token, Some(Secret::new("12345".into())));
        assert_eq!(config.sink.webhook.events, [EventName::SwitchMaster, EventName::Odown]);
        assert_eq!(config.sink.executable.notification_script, Some("/bin/true".into()));
    }

    #[test]
    fn what_could_not_work_is_refused_by_its_key() {
        let wrong = [
            ("VEDETTE_SINK__WEBHOOK__URLS", "ftp://files.example.com", "sink.webhook.urls"),
            ("VEDETTE_SINK__WEBHOOK__LIMIT_MS", "5", "sink.webhook.limit_ms"),
            ("VEDETTE_SINK__WEBHOOK__EVENTS", "+no-such-event", "sink.webhook.events"),
            ("VEDETTE_SINK__EXECUTABLE__PARALLEL", "0", "sink.executable.parallel"),
            (
                "VEDETTE_SINK__EXECUTABLE__NOTIFICATION_SCRIPT",
                "/etc/passwd",
                "sink.executable.notification_script",
            ),
            (
                "VEDETTE_SINK__EXECUTABLE__CLIENT_RECONFIG_SCRIPT",
                "/no/such/script",
                "sink.executable.client_reconfig_script",
            ),
        ];
        for (name, value, key) in wrong {
            let error = load(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(key), "{name}={value}: {error}");
        }
    }

    #[test]
    fn a_notifier_without_a_sink_is_refused() {
        let error = load(&[("VEDETTE_SINK__LOG__ENABLED", "false")]).unwrap_err();
        assert!(matches!(error, ConfigError::Missing { key: "sink", .. }), "{error}");
    }

    #[test]
    fn an_error_does_not_show_a_webhooks_secret_path() {
        let error = load(&[("VEDETTE_SINK__WEBHOOK__URLS", "ftp://h/s3cret")]).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
    }
}
