//! Vedette measured beside Redis Sentinel, in one run on one machine: `cargo bench-vs`.
//!
//! ```text
//!   failover     world: who watches the nodes    ──┐  one trial after the other, ──┬─► table, to read
//!   switchover   stage: who changes their master ──┘  each on fresh data           └─► JSON, every number
//! ```
//!
//! All moments are taken in this one process, when the news arrives here. Exit codes: 0, 1 if the
//! bench could not run, 64 for bad usage. A trial that fails is part of the result.

mod canary;
mod failover;
mod moments;
mod ours;
mod redis_py;
mod report;
mod sentinels;
mod statistics;
mod subscriber;
mod summary;
mod surroundings;
mod switchover;
mod table;
mod world;

use anyhow::{Result, bail};
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
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
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            // There is nobody to tell if the terminal is gone.
            let _ = error.print();
            return ExitCode::from(if asked { 0 } else { 64 });
        }
    };
    // What is dropped on the way out ends all processes.
    let done = tokio::select! {
        done = run(&arguments) => done,
        interrupted = interrupted() => interrupted,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
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
    }
}
