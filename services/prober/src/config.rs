//! What a prober is configured with.

use clap::Parser;
use serde::{Deserialize, Serialize};
use vedette_runtime::config::ServiceConfig;
use vedette_runtime::life::ServiceFlags;
use vedette_runtime::{CommonConfig, CommonFlags, ConfigError};

/// A prober's whole configuration. Whom it watches and how is in the group records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What every service has.
    #[serde(flatten)]
    pub common: CommonConfig,
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        Ok(())
    }
}

/// Watches nodes and says when they go quiet.
#[derive(Debug, Parser)]
#[command(name = "vedette-prober", version)]
pub struct Flags {
    /// What every service has.
    #[command(flatten)]
    pub common: CommonFlags,
}

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }
}
