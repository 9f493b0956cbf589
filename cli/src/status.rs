//! `vedette status`: who lives, who is master, and what needs attention.
//!
//! ```text
//!  StatusQuery ─► heartbeats ─┐
//!  Digest ──────► records ────┼─► Heard ─► Report ─► table or JSON
//!  listening ───► opinions ───┘
//! ```

mod report;
mod table;
#[cfg(test)]
pub mod tests;

pub use report::{Report, pause_words, present, roster};
pub use vedette_history::Heard;

use crate::args::Listing;
use crate::config::Config;
use crate::connect::connect;
use crate::{out, progress};
use std::time::Duration;
use vedette_runtime::{Bus, Shutdown};

/// Prints the report; whether all is well.
///
/// # Errors
/// What is wrong with NATS or the configuration.
pub async fn run(wanted: &Listing, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let bus = connect(config, shutdown).await?;
    let heard = collect(&bus, Duration::from_millis(wanted.wait)).await?;
    let report = Report::of(&heard, &config.roster.roster()?);
    if wanted.json {
        out::line(&serde_json::to_string_pretty(&report)?)?;
    } else {
        out::text(&table::table(&report))?;
    }
    Ok(report.attention.is_empty())
}

/// Asks everybody, and listens for so long.
///
/// # Errors
/// What is wrong with NATS.
pub async fn collect(bus: &Bus, limit: Duration) -> anyhow::Result<Heard> {
    Ok(progress::during("the services' answers", Heard::collect(bus, limit)).await?)
}

/// What is not heard from any voter cannot be told.
///
/// # Errors
/// If none answered, with what to do about it.
pub fn ensure_voters(heard: &Heard, config: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        !heard.voters.is_empty(),
        "no voter answers under the prefix {}: start them (`vedette up HOST:PORT` for a first \
         try), or correct --nats or --prefix",
        config.common.nats.prefix
    );
    Ok(())
}
