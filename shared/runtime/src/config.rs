//! Configuration: defaults < TOML file < `VEDETTE_…` environment < flags, parsed whole and checked
//! before anything is connected.

mod common;
mod exposed;
mod layers;
mod show;

pub use common::{
    CommonConfig, CommonFlags, HistoryConfig, HttpConfig, LogConfig, LogFormat, NatsConfig,
    NodesConfig, OtlpProtocol, RosterConfig, TelemetryConfig,
};
pub use exposed::exposed;
pub use layers::{Overrides, load, load_from};
pub use show::show;

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;
use thiserror::Error;

/// A service's whole configuration. `Default` gives every key, also the optional ones (as `None`):
/// a key that it does not have is unknown and refused, so no field may be skipped when serialised.
pub trait ServiceConfig: Default + Serialize + DeserializeOwned {
    /// The part that all services have.
    fn common(&self) -> &CommonConfig;

    /// Checks what the types cannot: ranges, and keys that do not go together.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the keys and their values.
    fn check(&self) -> Result<(), ConfigError>;
}

/// Why a configuration was refused. The process exits with 64.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML, or a value has the wrong type.
    #[error("{0}")]
    Value(String),
    /// A key that does not exist.
    #[error("unknown key {key} in {origin}; known here: {known}")]
    Unknown {
        /// The key, levels joined by dots.
        key: String,
        /// The file or environment variable.
        origin: String,
        /// The keys of that level.
        known: String,
    },
    /// A key without which the service cannot run.
    #[error("{key} is not set: {remedy}")]
    Missing {
        /// The key.
        key: &'static str,
        /// How to set it.
        remedy: String,
    },
    /// A value that is not allowed.
    #[error("{key} = {given}: {why}")]
    Invalid {
        /// The key.
        key: String,
        /// Its value.
        given: String,
        /// What is allowed.
        why: String,
    },
    /// Two values that do not go together.
    #[error("{one} clashes with {other}: {why}")]
    Clash {
        /// One, as `key = value`.
        one: String,
        /// The other, as `key = value`.
        other: String,
        /// Why, and which to change.
        why: String,
    },
}

/// The URLs without users and passwords, for logs.
pub(crate) fn masked(servers: &[String]) -> String {
    servers.iter().map(|url| show::mask_url(url)).collect::<Vec<_>>().join(", ")
}
