//! Who answers: a gateway, or the first of three Sentinels.

use crate::process::Watched;
use crate::sentinels::Sentinels;
use crate::world::{Contestant, QUORUM, REPLICAS};
use anyhow::{Context as _, Result};
use std::net::SocketAddr;
use std::time::Instant;
use vedette_harness::{GROUP, LIMIT, Plan, System, Watcher, binary, pick, within};
use vedette_live::compare::{Asked, Form, master};
use vedette_model::FactKind;

/// Silence that nobody is to see here.
const DOWN_AFTER_MS: u64 = 5_000;

/// A group of nodes, those who watch it, and who of them is asked.
pub struct Side {
    at: SocketAddr,
    process: Watched,
    world: World,
}

enum World {
    Sentinels(Box<Sentinels>),
    Vedette(Box<System>),
}

impl Side {
    /// Starts all of it, with room for so many clients, and waits until it answers.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(contestant: Contestant, clients: usize) -> Result<Self> {
        let side = match contestant {
            Contestant::Sentinel => {
                let lines = format!("maxclients {clients}");
                let world = Sentinels::start_with(binary::redis()?, DOWN_AFTER_MS, &lines).await?;
                let (at, pid) = world.first().context("the Sentinel has ended")?;
                let process = Watched { kind: "Sentinel", name: "sentinel1".into(), pid };
                Self { at, process, world: World::Sentinels(Box::new(world)) }
            }
            Contestant::Vedette { nats } => {
                let plan = Plan {
                    nats,
                    replicas: REPLICAS,
                    notifiers: 0,
                    quorum: u32::try_from(QUORUM)?,
                    down_after_ms: DOWN_AFTER_MS,
                    settings: Vec::new(),
                    ..Plan::default()
                };
                let mut system = System::start(plan).await?;
                // All else that is said would have to be read where the answers are read.
                let only = &[FactKind::RecordCommitted];
                system.watcher = Watcher::start_for(&system.urls(), "vedette", only).await?;
                let room = format!("clients.max_clients = {clients}");
                let at = system.start_gateway("g1", &[&room])?;
                let pid = system.service("g1")?.pid().context("the gateway has ended")?;
                let process = Watched { kind: "gateway", name: "g1".into(), pid };
                Self { at, process, world: World::Vedette(Box::new(system)) }
            }
        };
        let knows = async || master(side.at, GROUP).await.ok();
        within(LIMIT, "it says who is master", knows).await?;
        Ok(side)
    }

    /// Where it answers.
    pub const fn at(&self) -> SocketAddr {
        self.at
    }

    /// Its process.
    pub const fn process(&self) -> &Watched {
        &self.process
    }

    /// What was said on the bus until now.
    pub fn mark(&self) -> usize {
        match &self.world {
            World::Sentinels(_) => 0,
            World::Vedette(system) => system.watcher.mark(),
        }
    }

    /// Begins a planned change of master, with the same command at both. It may be refused for a
    /// moment.
    ///
    /// # Errors
    /// If it is refused for too long.
    pub async fn change(&self) -> Result<()> {
        let mut last = String::new();
        let begun = within(LIMIT, "`SENTINEL FAILOVER` is allowed", async || {
            let asked = async {
                Asked::connect(self.at).await?.ask(&["SENTINEL", "FAILOVER", GROUP]).await
            };
            match asked.await {
                Ok(Form::Simple(ok)) if ok == "OK" => Some(()),
                other => {
                    last = format!("{other:?}");
                    None
                }
            }
        });
        begun.await.with_context(|| last)
    }

    /// When the new master's record was heard on the bus, after the mark. Sentinels have none.
    ///
    /// # Errors
    /// If it was not in time.
    pub async fn committed(&self, mark: usize) -> Result<Option<Instant>> {
        let World::Vedette(system) = &self.world else { return Ok(None) };
        let old = system.master();
        let another =
            |fact: &_| pick::record(fact).filter(|record| record.master != old).map(|_| ());
        let (at, ()) = system.watcher.wait(mark, LIMIT, "the commit", another).await?;
        Ok(Some(at))
    }

    /// Ends everything. If it did not go `well`, the logs stay, and their place is printed.
    pub fn end(self, well: bool) {
        match self.world {
            World::Sentinels(world) => world.end(well),
            World::Vedette(system) => {
                if well {
                    system.abandon();
                }
            }
        }
    }
}
