//! `vedette doctor`: what is not wrong yet and will hurt one day.
//!
//! ```text
//!  status ────────────► what needs attention now ──┐
//!  heartbeats, records ► system: voters, quorums ──┤
//!  JetStream ─────────► bus: what is retained ─────┼─► findings, each with what to do
//!  the nodes themselves ► node: disk, rights, … ───┘
//! ```

mod bus;
mod node;
mod system;

use crate::args::Listing;
use crate::columns::columns;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use crate::status::{Report, collect};
use serde::Serialize;
use std::time::Duration;
use vedette_runtime::Shutdown;

/// How urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Looked at, and well.
    Ok,
    /// It may hurt one day.
    Warning,
    /// A failover would not happen, or would lose what need not be lost.
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Error => "ERROR",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, Serialize, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// `system`, `nats`, a group, or a node.
    about: String,
    /// What holds, and what to do if it should not.
    text: String,
}

/// Collects findings about one thing.
struct Findings<'a> {
    about: String,
    all: &'a mut Vec<Finding>,
    worst: Level,
}

impl<'a> Findings<'a> {
    const fn about(about: String, all: &'a mut Vec<Finding>) -> Self {
        Self { about, all, worst: Level::Ok }
    }

    fn add(&mut self, level: Level, text: impl Into<String>) {
        self.worst = self.worst.max(level);
        self.all.push(Finding { level, about: self.about.clone(), text: text.into() });
    }

    fn warn(&mut self, is_so: bool, text: impl Into<String>) {
        if is_so {
            self.add(Level::Warning, text);
        }
    }

    fn err(&mut self, is_so: bool, text: impl Into<String>) {
        if is_so {
            self.add(Level::Error, text);
        }
    }

    /// Says that it was looked at, if nothing was found.
    fn end(mut self, well: impl Into<String>) {
        if self.worst == Level::Ok {
            self.add(Level::Ok, well);
        }
    }
}

/// Looks at everything; whether nothing worse than a warning was found.
///
/// # Errors
/// What is wrong with NATS, or that no voter answers, with what to do about it.
pub async fn run(wanted: &Listing, config: &Config, shutdown: &Shutdown) -> anyhow::Result<bool> {
    let connection = connect(config, shutdown).await?;
    let heard = collect(&connection, Duration::from_millis(wanted.wait)).await?;
    heard.ensure_voters(config)?;
    let roster = config.roster.roster()?;
    let mut all = Vec::new();
    for text in Report::of(&heard, &roster).attention {
        all.push(Finding { level: Level::Error, about: "now".into(), text });
    }
    system::look(&heard, &roster, &mut all);
    bus::look(&connection, &mut all).await;
    for record in heard.records.values() {
        node::look(record, &mut all).await;
    }
    let worst = all.iter().map(|finding| finding.level).max();
    if wanted.json {
        out::line(&serde_json::to_string_pretty(&all)?)?;
    } else {
        let rows: Vec<_> = all
            .iter()
            .map(|finding| {
                [finding.level.word().into(), finding.about.clone(), finding.text.clone()]
            })
            .collect();
        out::text(&columns(["", "ABOUT", "FOUND"], &rows))?;
    }
    Ok(worst.is_none_or(|worst| worst < Level::Error))
}
