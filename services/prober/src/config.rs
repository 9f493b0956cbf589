//! What a prober is configured with.

use clap::Parser;
use serde::{Deserialize, Serialize};
use vedette_model::NodeAddr;
use vedette_runtime::config::ServiceConfig;
use vedette_runtime::life::ServiceFlags;
use vedette_runtime::{CommonConfig, CommonFlags, ConfigError};

/// A prober's whole configuration. Whom it watches and how is in the group records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What every service has.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// Greetings for tools that listen on the nodes' channel `__sentinel__:hello`.
    pub hello: HelloConfig,
}

/// Greetings as Sentinels publish them on each node every two seconds. Both keys, or none: then
/// nobody is greeted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloConfig {
    /// Sentinel's id, 40 hexadecimal digits.
    pub id: Option<String>,
    /// Where Sentinel clients reach it, `host:port`.
    pub address: Option<NodeAddr>,
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        match (&self.hello.id, &self.hello.address) {
            (Some(id), Some(_)) if id.len() != 40 || !id.bytes().all(|b| b.is_ascii_hexdigit()) => {
                let why = "it must be 40 hexadecimal digits".into();
                Err(ConfigError::Invalid { key: "hello.id".into(), given: id.clone(), why })
            }
            (Some(_), Some(_)) | (None, None) => Ok(()),
            (Some(_), None) => {
                let remedy = "it goes with hello.id: host:port of a gateway".into();
                Err(ConfigError::Missing { key: "hello.address", remedy })
            }
            (None, Some(_)) => {
                let remedy = "it goes with hello.address: 40 hexadecimal digits".into();
                Err(ConfigError::Missing { key: "hello.id", remedy })
            }
        }
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
