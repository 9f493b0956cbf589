//! The voter's configuration and flags.

use clap::Parser;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use vedette_model::{Roster, VoterId};
use vedette_runtime::config::ServiceConfig;
use vedette_runtime::life::ServiceFlags;
use vedette_runtime::{CommonConfig, CommonFlags, ConfigError, Overrides, RosterConfig};

/// A voter's whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What every service has.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// The first roster. What the voters decided since then is in their stores and goes before
    /// it; a voter that is not on it waits to be put on with `vedette roster add`.
    pub roster: RosterConfig,
    /// The file that keeps this voter's promises and records, made at the first start. On a disk
    /// of its own machine that survives a restart: a voter that lost it does not vote until the
    /// others have told it what it must not forget. Required.
    pub store: Option<PathBuf>,
}

impl Config {
    /// The configuration as the service uses it.
    ///
    /// # Errors
    /// A [`ConfigError`] that names what is missing or clashes.
    pub fn parts(&self) -> Result<Parts, ConfigError> {
        let id = VoterId::parse(&self.common.id).map_err(|error| ConfigError::Invalid {
            key: "id".into(),
            given: self.common.id.clone(),
            why: error.to_string(),
        })?;
        let roster = self.roster.roster()?;
        let store = self.store.clone().filter(|path| !path.as_os_str().is_empty());
        let store = store.ok_or_else(|| ConfigError::Missing {
            key: "store",
            remedy: "name the file for this voter's promises with --store, VEDETTE_STORE or \
                     `store` in the file"
                .into(),
        })?;
        Ok(Parts { id, roster, store })
    }
}

/// What is the voter's own in its configuration, checked.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Who it is.
    pub id: VoterId,
    /// Who votes at first.
    pub roster: Roster,
    /// Where it keeps what it promised.
    pub store: PathBuf,
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.parts().map(|_| ())
    }
}

/// Counts opinions, grants votes, keeps the records
#[derive(Debug, Clone, Default, Parser)]
#[command(name = "vedette-voter", version)]
pub struct Flags {
    /// What every service has.
    #[command(flatten)]
    pub common: CommonFlags,
    /// File that keeps this voter's promises and records
    #[arg(long, value_name = "FILE")]
    pub store: Option<PathBuf>,
}

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }

    fn overrides(&self) -> Overrides {
        Overrides::default().set("store", self.store.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::Service;
    use vedette_runtime::config::load_from;

    fn load(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        load_from(Service::Voter, None, pairs, Overrides::default())
    }

    #[test]
    fn the_environment_is_enough() {
        let config = load(&[
            ("VEDETTE_ID", "a"),
            ("VEDETTE_STORE", "/var/lib/vedette/a.redb"),
            ("VEDETTE_ROSTER__VERSION", "4"),
            ("VEDETTE_ROSTER__VOTERS", "a,b,c"),
        ]);
        let parts = config.unwrap().parts().unwrap();
        assert_eq!(parts.id.as_str(), "a");
        assert_eq!((parts.roster.version.0, parts.roster.voters().len()), (4, 3));
        assert_eq!(parts.store, PathBuf::from("/var/lib/vedette/a.redb"));
    }

    #[test]
    fn a_voter_that_is_not_on_the_first_roster_may_be_put_on_later() {
        let config = load(&[("VEDETTE_ID", "v9"), ("VEDETTE_STORE", "x")]);
        assert!(!config.unwrap().parts().unwrap().roster.voters().is_empty());
    }

    #[test]
    fn a_voter_without_a_store_is_refused() {
        for pairs in [vec![("VEDETTE_ID", "v1")], vec![("VEDETTE_ID", "v1"), ("VEDETTE_STORE", "")]]
        {
            let error = load(&pairs).unwrap_err();
            assert!(matches!(error, ConfigError::Missing { key: "store", .. }), "{error}");
        }
    }
}
