//! What an orchestrator is configured with.

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use vedette_runtime::config::ServiceConfig;
use vedette_runtime::life::ServiceFlags;
use vedette_runtime::{
    CommonConfig, CommonFlags, ConfigError, HistoryConfig, Overrides, RosterConfig,
};

/// An orchestrator's whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What every service has.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// The voters.
    pub roster: RosterConfig,
    /// Path of the groups file, which declares the groups to seed. Without it the orchestrator
    /// serves the groups that the voters have records of.
    pub groups_file: Option<PathBuf>,
    /// How much of what happens JetStream keeps.
    pub history: HistoryConfig,
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.history.check()?;
        self.roster.roster().map(drop)
    }
}

/// Plans a failover and carries it out.
#[derive(Debug, Parser)]
#[command(name = "vedette-orchestrator", version)]
pub struct Flags {
    /// What every service has.
    #[command(flatten)]
    pub common: CommonFlags,
    /// Declares the groups to seed (TOML)
    #[arg(long, value_name = "FILE")]
    pub groups_file: Option<PathBuf>,
}

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }

    fn overrides(&self) -> Overrides {
        Overrides::default().set("groups_file", self.groups_file.as_ref())
    }
}
