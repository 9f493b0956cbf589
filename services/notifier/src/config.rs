//! What a notifier is configured with.

mod route;
mod sinks;

pub use route::{RetryConfig, RouteConfig};
pub use sinks::{
    AlertmanagerConfig, CloudEventsConfig, EmailConfig, ExecutableConfig, LogConfig,
    PagerDutyConfig, SinkConfig, SlackConfig, WebhookConfig,
};

use crate::signature::Signer;
use clap::Parser;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use vedette_protocol::notice::Routes;
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
    /// Which of them go where; read from the top, for each sink the first that fits counts. Without
    /// any, everything goes everywhere.
    pub route: Vec<RouteConfig>,
    /// How long sinks are borne with.
    pub retry: RetryConfig,
}

impl Config {
    /// The routing table.
    pub fn routes(&self) -> Routes {
        Routes::new(self.route.iter().map(RouteConfig::route).collect())
    }
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        let SinkConfig { webhook, executable, .. } = &self.sink;
        for (key, limit_ms) in self.sink.limits() {
            check_limit(key, limit_ms)?;
        }
        self.sink.check()?;
        if webhook.urls.len() > WEBHOOKS {
            let why = format!("at most {WEBHOOKS} webhooks are served");
            return Err(invalid("sink.webhook.urls", webhook.urls.len(), why));
        }
        for url in &webhook.urls {
            parse_url("sink.webhook.urls", url)?;
        }
        if let Err(error) = Signer::parse(&webhook.secrets) {
            return Err(invalid("sink.webhook.secrets", "(not shown)", error.to_string()));
        }
        self.retry.check()?;
        for route in &self.route {
            route.check()?;
        }
        if !(1..=64).contains(&executable.parallel) {
            let why = "must be 1 to 64".into();
            return Err(invalid("sink.executable.parallel", executable.parallel, why));
        }
        check_script("sink.executable.notification_script", &executable.notification_script)?;
        check_script("sink.executable.client_reconfig_script", &executable.client_reconfig_script)?;
        if self.sink.is_anywhere() {
            return Ok(());
        }
        let remedy = "a notifier without a sink tells nobody: set sink.log.enabled, \
                      sink.webhook.urls, another sink or a script of sink.executable";
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

/// A URL for HTTP. An error does not repeat it: a path may hold a secret.
pub(crate) fn parse_url(key: &str, text: &str) -> Result<Url, ConfigError> {
    let refused = |why: String| invalid(key, "(not shown)", why);
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

/// Tells people and hooks what happened: the log, webhooks, chat, pagers, mail and scripts.
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
    use vedette_model::{EventName, Secret, Service};
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
            ("VEDETTE_SINK__WEBHOOK__SECRETS", "s3cret", "sink.webhook.secrets"),
            ("VEDETTE_SINK__EMAIL__SERVER", "smtp://u:s3cret@h", "sink.email.server"),
            ("VEDETTE_SINK__CLOUDEVENTS__SUBJECT", "ops.*", "sink.cloudevents.subject"),
            ("VEDETTE_RETRY__GIVE_UP_MS", "5", "retry.give_up_ms"),
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
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn no_sinks_secret_is_shown_and_that_there_is_none_is() {
        let secret = format!("whsec_{}", "A".repeat(32));
        let config = load(&[
            ("VEDETTE_SINK__WEBHOOK__URLS", "http://a/1"),
            ("VEDETTE_SINK__WEBHOOK__TOKEN", "c4nary"),
            ("VEDETTE_SINK__WEBHOOK__SECRETS", &secret),
            ("VEDETTE_SINK__SLACK__SECRET_URL", "https://h/c4nary"),
            ("VEDETTE_SINK__PAGERDUTY__ROUTING_KEY", "c4nary"),
            ("VEDETTE_SINK__ALERTMANAGER__TOKEN", "c4nary"),
            ("VEDETTE_SINK__EMAIL__SERVER", "smtp://h"),
            ("VEDETTE_SINK__EMAIL__FROM", "v@example.com"),
            ("VEDETTE_SINK__EMAIL__TO", "w@example.com"),
            ("VEDETTE_SINK__EMAIL__USER", "u"),
            ("VEDETTE_SINK__EMAIL__PASSWORD", "c4nary"),
        ])
        .unwrap();
        for shown in [vedette_runtime::config::show(&config).unwrap(), format!("{config:?}")] {
            assert!(!shown.contains("c4nary") && !shown.contains(&secret), "{shown}");
        }
        let shown = vedette_runtime::config::show(&Config::default()).unwrap();
        assert!(shown.contains("sink.webhook.secrets = []"), "{shown}");
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
