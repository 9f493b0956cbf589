//! What is measured: the same nodes, and who watches them.

use crate::ours::Ours;
use crate::sentinels::Sentinels;
use crate::trouble::Trouble;
use anyhow::{Result, bail, ensure};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use vedette_harness::{NatsServer, Node, Writer, binary};
use vedette_model::NodeAddr;

/// Watchers that must agree that a master is down.
pub const QUORUM: usize = 2;
/// Replicas beside the master.
pub const REPLICAS: usize = 2;

/// Who watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Contestant {
    /// Three Sentinels.
    Sentinel,
    /// Three probers, three voters, two orchestrators and a gateway, with so many NATS servers.
    Vedette { nats: usize },
}

impl Contestant {
    /// Whether it goes on without one of its NATS servers.
    pub const fn is_clustered(&self) -> bool {
        matches!(self, Self::Vedette { nats } if *nats > 1)
    }
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sentinel => f.write_str("Sentinel"),
            Self::Vedette { nats } => write!(f, "Vedette, {nats} NATS"),
        }
    }
}

/// What the watchers said of the master.
pub struct Watched {
    /// Who called it down, and when; the same one perhaps several times.
    pub down: Vec<(Instant, String)>,
    /// When the first that counts said that they are enough.
    pub odown: Option<Instant>,
    /// What the rule that was applied lets pass first.
    pub waiting: Option<Duration>,
    /// When that had passed by what the rule counts from, where it is told: from the first question
    /// that the master did not answer any more.
    pub rule_over: Option<Instant>,
}

/// A group of nodes in a temporary folder, watched, and known in full by all who watch.
pub enum World {
    Sentinels(Box<Sentinels>),
    Vedette(Box<Ours>),
}

impl World {
    /// Starts all of it and waits until it is settled.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(contestant: Contestant, down_after_ms: u64) -> Result<Self> {
        match contestant {
            Contestant::Sentinel => Ok(Self::Sentinels(Box::new(
                Sentinels::start(binary::redis()?, down_after_ms).await?,
            ))),
            Contestant::Vedette { nats } => {
                Ok(Self::Vedette(Box::new(Ours::start(nats, down_after_ms).await?)))
            }
        }
    }

    /// The nodes, the master first.
    pub fn nodes(&mut self) -> &mut Vec<Node> {
        match self {
            Self::Sentinels(world) => &mut world.nodes,
            Self::Vedette(world) => &mut world.system.nodes,
        }
    }

    /// The NATS servers.
    pub fn nats(&mut self) -> &mut [NatsServer] {
        match self {
            Self::Sentinels(_) => &mut [],
            Self::Vedette(world) => &mut world.system.nats,
        }
    }

    /// Which of them is to die with the master. From now on no more is heard than what is measured.
    ///
    /// # Errors
    /// If there is none.
    pub async fn victim(&mut self, trouble: Trouble) -> Result<Option<usize>> {
        match self {
            Self::Sentinels(_) => Ok(None),
            Self::Vedette(world) => {
                let victim = trouble.victim(&mut world.system).await?;
                world.hear_less(trouble).await?;
                Ok(victim)
            }
        }
    }

    /// Waits for the first word on the bus that the master is down.
    ///
    /// # Errors
    /// If none comes in time, or the watchers have no bus.
    pub async fn called_down(&self, limit: Duration) -> Result<()> {
        match self {
            Self::Sentinels(_) => bail!("Sentinels have no bus"),
            Self::Vedette(world) => world.called_down(limit).await,
        }
    }

    /// Where a client of Sentinel asks.
    pub fn places(&self) -> Vec<SocketAddr> {
        match self {
            Self::Sentinels(world) => world.places(),
            Self::Vedette(world) => vec![world.gateway],
        }
    }

    /// Where all files are.
    ///
    /// # Errors
    /// Once all has ended.
    pub fn folder(&self) -> Result<PathBuf> {
        match self {
            Self::Sentinels(world) => Ok(world.folder.path().into()),
            Self::Vedette(world) => world.system.path(),
        }
    }

    /// A client that writes, and moves when it is told of another master.
    ///
    /// # Errors
    /// If it cannot be told.
    pub async fn writer(&self) -> Result<Writer> {
        match self {
            Self::Sentinels(world) => Ok(Writer::told(world.subscriber.master())),
            Self::Vedette(world) => world.system.writer().await,
        }
    }

    /// Waits for the announcement of another master.
    ///
    /// # Errors
    /// If none comes in time.
    pub async fn announced(&self, limit: Duration) -> Result<(Instant, NodeAddr)> {
        match self {
            Self::Sentinels(world) => world.subscriber.switch(limit).await,
            Self::Vedette(world) => world.announced(limit).await,
        }
    }

    /// Waits for the first `+switch-master`. When it came.
    ///
    /// # Errors
    /// If none comes in time, or if it names another than this one.
    pub async fn switched(&self, master: &NodeAddr, limit: Duration) -> Result<Instant> {
        let (at, named) = match self {
            Self::Sentinels(world) => world.subscriber.switch(limit).await?,
            Self::Vedette(world) => world.subscriber.switch(limit).await?,
        };
        ensure!(named == *master, "{master} was announced, and +switch-master says {named}");
        Ok(at)
    }

    /// What the watchers have said of the master since all was settled.
    pub fn watched(&self) -> Watched {
        match self {
            Self::Sentinels(world) => world.watched(),
            Self::Vedette(world) => world.watched(),
        }
    }

    /// Ends everything. If it did not go `well`, the logs stay, and their place is printed.
    pub fn end(self, well: bool) {
        match self {
            Self::Sentinels(world) => world.end(well),
            Self::Vedette(world) => world.end(well),
        }
    }
}
