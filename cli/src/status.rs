//! `vedette status`: who lives, who is master, and what needs attention.
//!
//! ```text
//!  StatusQuery ─► heartbeats ─┐
//!  Digest ──────► records ────┼─► Heard ─► Report ─► table or JSON
//!  listening ───► opinions ───┘
//! ```

mod collect;
mod report;
mod table;
#[cfg(test)]
pub mod tests;

pub use collect::{Heard, collect};
pub use report::{Report, pause_words, present, roster};

use crate::args::Listing;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use std::time::Duration;
use vedette_runtime::Shutdown;

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
