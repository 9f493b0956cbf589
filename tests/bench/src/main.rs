//! Vedette measured beside Redis Sentinel, in one run on one machine: `cargo bench-vs`.
//!
//! ```text
//!   failover     world: who watches the nodes    ──┐  one trial after the other, ──┬─► table, to read
//!   switchover   stage: who changes their master ──┤  each on fresh data           └─► JSON, every number
//!   mass         guards: who watches a crowd     ──┤
//!   watching     the same                        ──┤
//!   gateway      side: who is asked              ──┘
//! ```
//!
//! All moments are taken in this one process, when the news arrives here. Exit codes: 0, 1 if the
//! bench could not run, 64 for bad usage. A trial that fails is part of the result.

mod canary;
mod crowd;
mod failover;
mod fleet;
mod gateway;
mod guards;
mod mass;
mod moments;
mod ours;
mod process;
mod redis_py;
mod report;
mod sentinels;
mod statistics;
mod subscriber;
mod summary;
mod surroundings;
mod switchover;
mod table;
mod trouble;
mod watching;
mod world;

use anyhow::{Result, bail};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::ctrl_c;
use tokio::signal::unix::{SignalKind, signal};

/// Measures Vedette beside Redis Sentinel. A table comes out, and with --json every number.
#[derive(Debug, Parser)]
#[command(name = "cargo bench-vs")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// From a master's fault to the news of the next one, and to the next write.
    Failover(failover::Options),
    /// A planned change of master under load: for how long writes wait, and which are lost.
    Switchover(switchover::Options),
    /// Hundreds of masters die at once: until the last of them has been replaced.
    Mass(mass::Options),
    /// What watching many nodes costs: processor time and memory.
    Watching(watching::Options),
    /// How fast a gateway answers, and how soon all its subscribers hear of a new master.
    Gateway(gateway::Options),
    /// Nodes that only pretend: what the bench starts for itself.
    #[command(hide = true)]
    Fleet(fleet::Options),
    /// Asks nodes and does nothing else: what Vedette and Sentinel are measured against.
    #[command(hide = true)]
    Pinger(guards::pinger::Options),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // There is nobody to tell if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { 64 });
        }
    };
    match runtime(&arguments).and_then(|runtime| runtime.block_on(until_the_end(&arguments))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A fleet has one thread, so that several of them take turns, and so have the bare pinger, which is to
/// cost as little as can be, and who asks a gateway; all else has as many as there are cores.
fn runtime(arguments: &Arguments) -> Result<Runtime> {
    let mut builder = match &arguments.what {
        What::Fleet(_) | What::Pinger(_) | What::Gateway(_) => Builder::new_current_thread(),
        What::Failover(_) | What::Switchover(_) | What::Mass(_) | What::Watching(_) => {
            Builder::new_multi_thread()
        }
    };
    Ok(builder.enable_all().build()?)
}

async fn until_the_end(arguments: &Arguments) -> Result<()> {
    // What is dropped on the way out ends all processes.
    tokio::select! {
        done = run(arguments) => done,
        interrupted = interrupted() => interrupted,
    }
}

/// Until somebody wants the end.
async fn interrupted() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        asked = ctrl_c() => asked?,
        _ = terminated.recv() => {}
    }
    bail!("interrupted")
}

async fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.what {
        What::Failover(options) => failover::run(options).await,
        What::Switchover(options) => switchover::run(options).await,
        What::Mass(options) => mass::run(options).await,
        What::Watching(options) => watching::run(options).await,
        What::Gateway(options) => gateway::run(options).await,
        What::Fleet(options) => fleet::run(options).await,
        What::Pinger(options) => guards::pinger::run(options).await,
    }
}
