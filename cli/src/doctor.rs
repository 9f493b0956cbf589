//! `vedette doctor`: what is not wrong yet and will hurt one day.
//!
//! ```text
//!  status ────────────► what needs attention now ──┐
//!  heartbeats, records ► system: voters, quorums ──┤
//!  JetStream ─────────► bus: what is retained ─────┼─► findings, each with what to do
//!  the nodes themselves ► node: disk, rights, … ───┤
//!  the command's file ──► own: who may open it ────┘
//! ```

mod bus;
mod node;
mod system;

use crate::args::Listing;
use crate::columns::columns;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use crate::status::{Report, collect, ensure_voters};
use serde::Serialize;
use std::path::Path;
use std::time::Duration;
use vedette_runtime::Shutdown;
use vedette_runtime::config::exposed;

/// How urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    /// Looked at, and well.
    Ok,
    /// It cannot be looked at from here; says where it can.
    Note,
    /// It may hurt one day.
    Warning,
    /// A failover would not happen, or would lose what need not be lost.
    Error,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
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
        if self.worst < Level::Warning {
            self.add(Level::Ok, well);
        }
    }
}

/// Looks at everything; whether nothing worse than a warning was found.
///
/// # Errors
/// What is wrong with NATS, or that no voter answers, with what to do about it.
pub async fn run(
    wanted: &Listing,
    file: Option<&Path>,
    config: &Config,
    shutdown: &Shutdown,
) -> anyhow::Result<bool> {
    let tls = config.nodes_tls()?;
    let connection = connect(config, shutdown).await?;
    let heard = collect(&connection, Duration::from_millis(wanted.wait)).await?;
    ensure_voters(&heard, config)?;
    let roster = config.roster.roster()?;
    let mut all = Vec::new();
    for text in Report::of(&heard, &roster).attention {
        all.push(Finding { level: Level::Error, about: "now".into(), text });
    }
    if let Some(file) = file {
        own(file, &mut all);
    }
    system::look(&heard, &roster, &mut all);
    bus::look(&connection, &mut all).await;
    for record in heard.records.values() {
        node::look(record, tls.as_ref(), &mut all).await;
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

/// Looks at the command's own configuration file: whoever reads it can do what its owner can.
fn own(file: &Path, all: &mut Vec<Finding>) {
    let mut findings = Findings::about("configuration".into(), all);
    if let Some(found) = exposed(file) {
        findings.add(Level::Warning, found);
    }
    findings.end(format!("{} shows no secret to others", file.display()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_with_a_password_that_others_may_open_is_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cli.toml");
        std::fs::write(&file, "[nats]\nuser = \"operator\"\npassword = \"hush\"\n").unwrap();
        for (mode, level) in [(0o640, Level::Warning), (0o604, Level::Warning), (0o600, Level::Ok)]
        {
            std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
            let mut all = Vec::new();
            own(&file, &mut all);
            let [finding] = all.as_slice() else { panic!("{all:?}") };
            assert_eq!(finding.level, level, "{mode:o}: {finding:?}");
            assert!(!finding.text.contains("hush"), "{finding:?}");
        }
    }
}
