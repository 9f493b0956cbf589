//! Who watches a crowd.

pub mod pinger;
mod sentinels;
mod services;

use crate::crowd::{Crowd, Group};
use crate::failover::milliseconds;
use crate::process::Watched;
use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use pinger::Pinger;
use sentinels::Sentinels;
use serde::Serialize;
use services::Services;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use vedette_harness::{now, signed_ms, until};
use vedette_model::{GroupName, NodeAddr};

/// Between two looks at whether thousands of nodes are known.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How a crowd comes to be watched.
#[derive(Debug, Clone, Copy, Args)]
pub struct Setup {
    /// How Vedette is told of the groups
    #[arg(long, value_enum, default_value_t = Declare::File)]
    declare: Declare,
    /// For all to be known
    #[arg(long, default_value = "900s", value_parser = milliseconds)]
    settle: u64,
}

impl Setup {
    const fn limit(&self) -> Duration {
        Duration::from_millis(self.settle)
    }
}

/// How Vedette is told of the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Declare {
    /// By the orchestrators' groups file: all at once
    File,
    /// By `vedette apply`: one after the other
    Apply,
}

/// How often a Sentinel asks, ms, unless silence is to be noticed earlier.
const SENTINEL_ASKS_MS: u64 = 1_000;

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Guard {
    /// A program that only pings.
    Pinger,
    /// So many Sentinels, of which more than half must agree.
    Sentinels(usize),
    /// So many probers, of which more than half must agree, with three voters, two orchestrators
    /// and one NATS server.
    Vedette(usize),
}

impl Guard {
    /// Watchers that must agree that a master is down.
    const fn quorum(self) -> usize {
        match self {
            Self::Pinger => 0,
            Self::Sentinels(count) | Self::Vedette(count) => count / 2 + 1,
        }
    }
}

impl Guard {
    /// The silence after which a node is down, where it is asked so often: both in ms.
    ///
    /// Vedette and the pinger ask ten times as often. Sentinel asks each second, or each such
    /// silence, if that is less.
    pub const fn down_after_ms(self, every_ms: u64) -> u64 {
        match self {
            Self::Sentinels(_) if every_ms < SENTINEL_ASKS_MS => every_ms,
            Self::Pinger | Self::Sentinels(_) | Self::Vedette(_) => 10 * every_ms,
        }
    }
}

impl fmt::Display for Guard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pinger => f.write_str("bare pinger"),
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
    /// When they were started.
    begun: Instant,
    /// Who is master of each group.
    masters: HashMap<GroupName, NodeAddr>,
    /// Which others were announced.
    switches: Vec<Switch>,
    happened: Happened,
    folder: TempDir,
}

/// What happened, and how often.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Happened {
    /// How often each, by its name.
    pub counts: BTreeMap<String, usize>,
    /// How often somebody tried to replace a group's master.
    #[serde(skip)]
    pub tries: BTreeMap<GroupName, usize>,
}

impl Happened {
    /// How often all whose names hold this happened.
    pub fn count(&self, part: &str) -> usize {
        let own = self.counts.iter().filter(|(name, _)| name.contains(part));
        own.map(|(_, count)| count).sum()
    }

    fn add(&mut self, name: String) {
        *self.counts.entry(name).or_default() += 1;
    }

    fn tried(&mut self, group: &GroupName) {
        *self.tries.entry(group.clone()).or_default() += 1;
    }

    #[cfg(test)]
    pub fn of(counts: &[(&str, usize)]) -> Self {
        let counts = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Self { counts, ..Self::default() }
    }
}

enum Who {
    Pinger(Pinger),
    Sentinels(Box<Sentinels>),
    Vedette(Box<Services>),
}

/// Somebody said who is master.
struct Said {
    at: Instant,
    group: GroupName,
    master: NodeAddr,
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
    pub async fn start(
        guard: Guard,
        crowd: &Crowd,
        down_after_ms: u64,
        setup: Setup,
    ) -> Result<Self> {
        let begun = now();
        let folder = tempfile::Builder::new().prefix("vedette-bench-").tempdir()?;
        let path: &Path = folder.path();
        let quorum = guard.quorum();
        let who = match guard {
            Guard::Pinger => Who::Pinger(Pinger::start(crowd, down_after_ms / 10).await?),
            Guard::Sentinels(count) => Who::Sentinels(Box::new(
                Sentinels::start(count, quorum, crowd, down_after_ms, setup.limit(), path).await?,
            )),
            Guard::Vedette(probers) => {
                let groups = services::groups_file(crowd, quorum, down_after_ms, path)?;
                let apply = setup.declare == Declare::Apply;
                let services = Services::start(probers, crowd, &groups, apply, path).await?;
                Who::Vedette(Box::new(services))
            }
        };
        let named = |group: &Group| (group.name.clone(), group.master().clone());
        let masters = crowd.groups.iter().map(named).collect();
        Ok(Self {
            who,
            begun,
            masters,
            switches: Vec::new(),
            happened: Happened::default(),
            folder,
        })
    }

    /// Waits until all of them know and watch all nodes: so many seconds after they were started.
    ///
    /// # Errors
    /// How far they came in time.
    pub async fn settled(&mut self, crowd: &mut Crowd, setup: Setup) -> Result<f64> {
        let limit = setup.limit();
        let end = now() + limit;
        loop {
            self.listen();
            let missing = match &mut self.who {
                Who::Pinger(pinger) => pinger.missing(crowd).await?,
                Who::Sentinels(sentinels) => sentinels.missing(crowd).await?,
                Who::Vedette(services) => services.missing(crowd).await?,
            };
            let Some(missing) = missing else {
                if let Who::Vedette(services) = &mut self.who {
                    services.hear_less().await?;
                }
                return Ok(signed_ms(now(), self.begun) / 1e3);
            };
            let now = now();
            ensure!(now < end, "not settled within {limit:?}: {missing}");
            until(now + LOOK_EVERY).await;
        }
    }

    /// Their processes.
    pub fn processes(&self) -> Vec<Watched> {
        match &self.who {
            Who::Pinger(pinger) => pinger.processes(),
            Who::Sentinels(sentinels) => sentinels.processes(),
            Who::Vedette(services) => services.processes(),
        }
    }

    /// Each announcement of another master than before, since it was asked last.
    pub fn switches(&mut self) -> Vec<Switch> {
        self.listen();
        std::mem::take(&mut self.switches)
    }

    /// Who is master, as they said last.
    pub fn master(&self, group: &Group) -> NodeAddr {
        self.masters.get(&group.name).unwrap_or_else(|| group.master()).clone()
    }

    fn listen(&mut self) {
        let said = match &mut self.who {
            Who::Pinger(_) => Vec::new(),
            Who::Sentinels(sentinels) => sentinels.masters(&mut self.happened),
            Who::Vedette(services) => services.masters(&mut self.happened),
        };
        for Said { at, group, master } in said {
            if self.masters.get(&group) != Some(&master) {
                self.masters.insert(group.clone(), master);
                self.switches.push(Switch { at, group });
            }
        }
    }

    /// What happened since it was asked last.
    pub fn happened(&mut self) -> Happened {
        self.listen();
        std::mem::take(&mut self.happened)
    }

    /// Lines of their logs that tell of an error, until now.
    pub fn errors(&self) -> usize {
        match &self.who {
            Who::Pinger(_) => 0,
            Who::Sentinels(sentinels) => sentinels.errors(),
            Who::Vedette(services) => services.errors(),
        }
    }

    /// Ends everything; the logs stay if it did not go `well`.
    pub fn end(self, well: bool) {
        let Self { who, folder, .. } = self;
        drop(who);
        if !well {
            eprintln!("logs are kept in {}", folder.keep().display());
        }
    }
}
