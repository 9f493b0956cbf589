//! What the command is configured with: how to reach the bus, and who votes.

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use vedette_node::Tls;
use vedette_runtime::config::ServiceConfig;
use vedette_runtime::{CommonConfig, ConfigError, NodesConfig, RosterConfig};

/// The configuration of everything but `up`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What every service has.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// The voters, in case no service that is alive says who they are.
    pub roster: RosterConfig,
}

impl Config {
    /// How nodes are spoken to over TLS, if they are.
    ///
    /// # Errors
    /// The file that is at fault.
    pub fn nodes_tls(&self) -> anyhow::Result<Option<Arc<Tls>>> {
        let NodesConfig { ca_file, certificate_file, key_file } = self.common.nodes.clone();
        Tls::configured(ca_file, certificate_file, key_file).context("nodes")
    }

    fn with_log_level(level: &str) -> Self {
        let mut common = CommonConfig { id: "cli".into(), ..CommonConfig::default() };
        common.log.level = level.into();
        Self { common, roster: RosterConfig::default() }
    }
}

impl Default for Config {
    fn default() -> Self {
        // What is asked for stands on standard output; of the rest only trouble matters.
        Self::with_log_level("warn")
    }
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.roster.roster().map(drop)
    }
}

/// The configuration of `up`, whose log is that of the services.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UpConfig(pub Config);

impl Default for UpConfig {
    fn default() -> Self {
        Self(Config::with_log_level("info"))
    }
}

impl ServiceConfig for UpConfig {
    fn common(&self) -> &CommonConfig {
        &self.0.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.0.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::Service;
    use vedette_runtime::Overrides;
    use vedette_runtime::config::load_from;

    #[test]
    fn a_level_that_somebody_set_counts_for_every_verb() {
        let environment = || [("VEDETTE_LOG__LEVEL".to_owned(), "debug".to_owned())];
        let load = |environment: Vec<(String, String)>| {
            let own = Overrides::default;
            let asking: Config =
                load_from(Service::Client, None, environment.clone(), own()).unwrap();
            let up: UpConfig = load_from(Service::Client, None, environment, own()).unwrap();
            (asking.common.log.level, up.0.common.log.level)
        };
        assert_eq!(load(Vec::new()), ("warn".into(), "info".into()));
        assert_eq!(load(environment().into()), ("debug".into(), "debug".into()));
    }
}
