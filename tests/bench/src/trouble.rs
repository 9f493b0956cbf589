//! A NATS server that dies together with the master.

use anyhow::{Context as _, Result, bail};
use clap::ValueEnum;
use serde::Serialize;
use std::cmp::Ordering;
use std::fmt;
use vedette_harness::{LIMIT, System, pick, within};

/// Probers of three that are cut off with the leader.
const CUT_OFF: usize = 2;
/// Connections go to a server by chance: so often a prober is started again for another.
const ATTEMPTS: usize = 60;

/// Which server dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// None
    None,
    /// The one of the orchestrator that leads the failover, and of two of the three probers
    Services,
    /// The same, but it dies when the first prober calls the master down
    ServicesLate,
    /// The one that leads the stream of the retained masters
    Stream,
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no NATS server",
            Self::Services => "the NATS server of the leader and two probers",
            Self::ServicesLate => "that server at the first SDOWN",
            Self::Stream => "the NATS server that leads the stream",
        })
    }
}

impl Trouble {
    /// Where the victim is in the list of servers.
    ///
    /// # Errors
    /// If there is none, or the services do not get there.
    pub async fn victim(self, system: &mut System) -> Result<Option<usize>> {
        let name = match self {
            Self::None => return Ok(None),
            Self::Services | Self::ServicesLate => gathered(system).await?,
            Self::Stream => {
                within(LIMIT, "the retained masters have a leader", async || {
                    system.stream_leader().await.ok().flatten()
                })
                .await?
            }
        };
        let found = system.nats.iter().position(|server| server.name() == name);
        found.map(Some).with_context(|| format!("no server {name}"))
    }
}

/// The server of the orchestrator that leads, and of just so many probers.
async fn gathered(system: &mut System) -> Result<String> {
    let leader = system.leader().context("nobody has proposed anything")?;
    let server = connected(system, &leader)?;
    for _ in 0..ATTEMPTS {
        let (mut there, mut elsewhere) = (Vec::new(), Vec::new());
        for prober in ["p1", "p2", "p3"] {
            let at_it = connected(system, prober)? == server;
            if at_it {
                there.push(prober)
            } else {
                elsewhere.push(prober)
            };
        }
        let moved = match there.len().cmp(&CUT_OFF) {
            Ordering::Less => elsewhere.first(),
            Ordering::Equal => return Ok(server),
            Ordering::Greater => there.first(),
        };
        started_again(system, moved.context("there are three probers")?).await?;
    }
    bail!("after {ATTEMPTS} attempts {CUT_OFF} probers are still not at {server}")
}

/// Waits until it has spoken of every node.
async fn started_again(system: &mut System, prober: &str) -> Result<()> {
    let mark = system.watcher.mark();
    let process = system.service(prober)?;
    process.terminate(LIMIT).await?;
    process.start()?;
    for node in &system.nodes {
        let what = format!("{prober} reports on {}", node.addr());
        let speaks = |fact: &_| {
            let report = pick::node(fact)?;
            (report.prober.as_str() == prober && report.node == *node.addr()).then_some(())
        };
        system.watcher.wait(mark, LIMIT, &what, speaks).await?;
    }
    Ok(())
}

fn connected(system: &mut System, service: &str) -> Result<String> {
    let server = system.service(service)?.nats_server();
    server.with_context(|| format!("{service} is not connected"))
}
