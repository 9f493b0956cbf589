//! The same nodes, and whoever changes their master.

use crate::ours::Ours;
use crate::sentinels::Sentinels;
use crate::trouble::Trouble;
use crate::world::REPLICAS;
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::time::Instant;
use tempfile::TempDir;
use tokio::sync::watch;
use vedette_harness::{GROUP, LIMIT, Node, Target, Writer, binary, now, within};
use vedette_live::compare::{Asked, Form};
use vedette_model::NodeAddr;

/// Silence that nobody sees here.
const DOWN_AFTER_MS: u64 = 5_000;

/// How the master is changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// `SENTINEL FAILOVER`.
    Sentinel,
    /// `SENTINEL FAILOVER … COORDINATED` of Valkey 9, whose the nodes are too.
    Coordinated,
    /// `FAILOVER TO`, said to the master itself.
    FailoverTo,
    /// `vedette switchover`.
    Vedette,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sentinel => "`SENTINEL FAILOVER`",
            Self::Coordinated => "Valkey's `COORDINATED`, nodes of Valkey",
            Self::FailoverTo => "`FAILOVER TO`",
            Self::Vedette => "`vedette switchover`",
        })
    }
}

impl Way {
    /// Those that can be tried here.
    ///
    /// # Errors
    /// If a named server is none.
    pub fn all() -> Result<Vec<Self>> {
        binary::command_line()?;
        let mut all = vec![Self::Sentinel, Self::FailoverTo, Self::Vedette];
        if binary::valkey()?.is_some() {
            all.insert(1, Self::Coordinated);
        } else {
            eprintln!("without Valkey 9: name its valkey-server in VEDETTE_VALKEY_SERVER");
        }
        Ok(all)
    }
}

/// A group of nodes without watchers.
pub struct Bare {
    nodes: Vec<Node>,
    master: watch::Sender<Target>,
    _folder: TempDir,
}

/// All that runs in one trial.
pub enum Stage {
    Sentinels(Box<Sentinels>, &'static [&'static str]),
    Bare(Box<Bare>),
    Vedette(Box<Ours>),
}

impl Stage {
    /// Starts it and waits until it is settled.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(way: Way) -> Result<Self> {
        Ok(match way {
            Way::Sentinel => {
                let world = Sentinels::start(binary::redis()?, DOWN_AFTER_MS).await?;
                Self::Sentinels(Box::new(world), &["SENTINEL", "FAILOVER", GROUP])
            }
            Way::Coordinated => {
                let world = Sentinels::start(valkey()?, DOWN_AFTER_MS).await?;
                let words = &["SENTINEL", "FAILOVER", GROUP, "COORDINATED"];
                Self::Sentinels(Box::new(world), words)
            }
            Way::FailoverTo => {
                let folder = tempfile::Builder::new().prefix("vedette-bench-").tempdir()?;
                let nodes = Node::start_group(REPLICAS, folder.path(), None).await?;
                let (master, _) = watch::channel((nodes[0].addr().clone(), None));
                Self::Bare(Box::new(Bare { nodes, master, _folder: folder }))
            }
            Way::Vedette => {
                let mut world = Ours::start(1, DOWN_AFTER_MS).await?;
                world.hear_less(Trouble::None).await?;
                Self::Vedette(Box::new(world))
            }
        })
    }

    /// The nodes, the master first.
    pub fn nodes(&self) -> &[Node] {
        match self {
            Self::Sentinels(world, _) => &world.nodes,
            Self::Bare(world) => &world.nodes,
            Self::Vedette(world) => &world.system.nodes,
        }
    }

    /// An application that writes, and moves when it is told of another master.
    ///
    /// # Errors
    /// If it cannot be told.
    pub async fn writer(&self) -> Result<Writer> {
        match self {
            Self::Sentinels(world, _) => Ok(Writer::told(world.subscriber.master())),
            Self::Bare(world) => Ok(Writer::told(world.master.subscribe())),
            Self::Vedette(world) => world.system.writer().await,
        }
    }

    /// Changes the master. When applications were told, and which it is.
    ///
    /// # Errors
    /// If it was refused, or nobody was told in time.
    pub async fn change(&self) -> Result<(Instant, NodeAddr)> {
        match self {
            Self::Sentinels(world, words) => {
                let said = Asked::connect(world.places()[0]).await?.ask(words).await?;
                ensure!(matches!(&said, Form::Simple(text) if text == "OK"), "{said:?}");
                world.subscriber.switch(LIMIT).await
            }
            Self::Bare(world) => world.change().await,
            Self::Vedette(world) => {
                let said = world.system.vedette(&["switchover", GROUP]).await?;
                world.announced(LIMIT).await.context(said)
            }
        }
    }

    /// Ends everything. If it did not go `well`, the logs stay, and their place is printed.
    pub fn end(self, well: bool) {
        match self {
            Self::Sentinels(world, _) => world.end(well),
            Self::Bare(_) => {}
            Self::Vedette(world) => world.end(well),
        }
    }
}

impl Bare {
    /// Hands over to the first replica. Applications are told as soon as that says it is a master.
    async fn change(&self) -> Result<(Instant, NodeAddr)> {
        let target = &self.nodes[1];
        let (host, port) = (target.addr().host(), target.addr().port().to_string());
        let _: String = self.nodes[0].command(&["FAILOVER", "TO", host, &port]).await?;
        let what = format!("{} is a master", target.addr());
        within(LIMIT, &what, async || target.is_master().await.then_some(())).await?;
        let at = now();
        self.master.send_replace((target.addr().clone(), None));
        Ok((at, target.addr().clone()))
    }
}

fn valkey() -> Result<PathBuf> {
    binary::valkey()?.context("VEDETTE_VALKEY_SERVER names no valkey-server")
}
