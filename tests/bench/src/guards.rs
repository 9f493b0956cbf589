//! Who watches a crowd.

mod sentinels;
mod services;

use crate::crowd::Crowd;
use crate::process::Watched;
use anyhow::Result;
use sentinels::Sentinels;
use serde::Serialize;
use services::Services;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vedette_harness::until;
use vedette_model::GroupName;

/// Between two looks at whether thousands of nodes are known.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// So many Sentinels, of which more than half must agree.
    Sentinels(usize),
    /// So many probers, of which more than half must agree, with three voters, two orchestrators
    /// and one NATS server.
    Vedette(usize),
}

impl Guard {
    /// Watchers that must agree that a master is down.
    const fn quorum(self) -> usize {
        let (Self::Sentinels(count) | Self::Vedette(count)) = self;
        count / 2 + 1
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sentinels(1) => f.write_str("1 Sentinel"),
            Self::Sentinels(count) => write!(f, "{count} Sentinels"),
            Self::Vedette(1) => f.write_str("Vedette, 1 prober"),
            Self::Vedette(count) => write!(f, "Vedette, {count} probers"),
        }
    }
}

/// Who watches, at work in a folder of their own.
pub struct Guards {
    who: Who,
    folder: TempDir,
}

enum Who {
    Sentinels(Box<Sentinels>),
    Vedette(Box<Services>),
}

/// Another master was announced.
pub struct Switch {
    pub at: Instant,
    pub group: GroupName,
}

impl Guards {
    /// Starts them. They do not know the crowd yet.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(guard: Guard, crowd: &Crowd, down_after_ms: u64) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vedette-bench-").tempdir()?;
        let path: &Path = folder.path();
        let quorum = guard.quorum();
        let who = match guard {
            Guard::Sentinels(count) => Who::Sentinels(Box::new(
                Sentinels::start(count, quorum, crowd, down_after_ms, path).await?,
            )),
            Guard::Vedette(probers) => Who::Vedette(Box::new(
                Services::start(probers, quorum, crowd, down_after_ms, path).await?,
            )),
        };
        Ok(Self { who, folder })
    }

    /// Waits until all of them know and watch all nodes.
    ///
    /// # Errors
    /// How far they came in time.
    pub async fn settled(&mut self, crowd: &mut Crowd, limit: Duration) -> Result<()> {
        let end = vedette_harness::now() + limit;
        loop {
            let missing = match &mut self.who {
                Who::Sentinels(sentinels) => sentinels.missing(crowd).await?,
                Who::Vedette(services) => services.missing(crowd).await?,
            };
            let Some(missing) = missing else { return Ok(()) };
            let now = vedette_harness::now();
            anyhow::ensure!(now < end, "not settled within {limit:?}: {missing}");
            until(now + LOOK_EVERY).await;
        }
    }

    /// Their processes.
    pub fn processes(&self) -> Vec<Watched> {
        match &self.who {
            Who::Sentinels(sentinels) => sentinels.processes(),
            Who::Vedette(services) => services.processes(),
        }
    }

    /// What was announced since it was asked last: each group that has another master than at the
    /// beginning, as often as it is said.
    pub fn switches(&mut self) -> Vec<Switch> {
        match &mut self.who {
            Who::Sentinels(sentinels) => sentinels.switches(),
            Who::Vedette(services) => services.switches(),
        }
    }

    /// How often what happened, by its name, up to the last [`Guards::switches`].
    pub fn happenings(&self) -> &BTreeMap<String, usize> {
        match &self.who {
            Who::Sentinels(sentinels) => &sentinels.happenings,
            Who::Vedette(services) => &services.happenings,
        }
    }

    /// Ends everything; the logs stay if it did not go `well`.
    pub fn end(self, well: bool) {
        let Self { who, folder } = self;
        drop(who);
        if !well {
            eprintln!("logs are kept in {}", folder.keep().display());
        }
    }
}
