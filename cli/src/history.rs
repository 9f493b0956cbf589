//! `vedette history` and `vedette explain`: what happened, and why, also when nothing did.
//!
//! ```text
//!  kept facts ─► incidents ─┬─► one line each, with what else happened
//!                           └─► Report ─► text or JSON
//! ```

#[cfg(test)]
mod tests;
mod text;

use crate::args::{Explain, History};
use crate::config::Config;
use crate::connect::connect;
use crate::{out, progress};
use anyhow::{Context as _, bail};
use std::time::Duration;
use vedette_history::{Entries, Found, Today, Unfound, reach};
use vedette_model::GroupName;
use vedette_runtime::history::{Past, past};
use vedette_runtime::{Bus, Clock, Shutdown};

/// For reading all that is kept.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// Prints what happened.
///
/// # Errors
/// What is wrong with NATS or JetStream, with what to do about it.
pub async fn run(wanted: &History, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let since_ms = wanted.since.map(|ms| Clock::start().unix_ms().saturating_sub(ms));
    let past = read(&bus, wanted.group.as_ref(), since_ms).await?;
    let entries = Entries::of(&past);
    if wanted.json {
        for entry in entries.json()? {
            out::line(&entry.to_string())?;
        }
        return Ok(());
    }
    if entries.is_empty() {
        out::note(&reach(&past));
    }
    out::text(&text::listing(&entries, &past))
}

/// Prints how a failover came about, or why there was none.
///
/// # Errors
/// There is nothing to explain, or what is wrong with NATS or JetStream; with what to do about it.
pub async fn explain(wanted: &Explain, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let found = find(&bus, &wanted.what).await?;
    let today = if found.incident.is_over() {
        None
    } else {
        let asked = Today::of(&bus, &found.incident.group);
        Some(progress::during("the services' answers", asked).await?)
    };
    let report = found.report(today);
    if wanted.json {
        return out::line(&serde_json::to_string_pretty(&report)?);
    }
    out::text(&text::explained(&report))
}

/// The incident that is meant: the latest of a group, or the one of this id.
async fn find(bus: &Bus, what: &str) -> anyhow::Result<Found> {
    if let Ok(group) = GroupName::parse(what) {
        let past = read(bus, Some(&group), None).await?;
        if let Ok(latest) = Found::latest(past, &group) {
            return Ok(latest);
        }
    }
    match Found::called(read(bus, None, None).await?, what) {
        Ok(found) => Ok(found),
        Err(Unfound::Nothing { reach }) => bail!(
            "nothing is kept of a failover of {what}, nor of one with that id; {reach}; `vedette \
             history` lists what there is"
        ),
        Err(Unfound::Several { ids }) => {
            bail!("{what} is the beginning of several ids: {}", ids.join(", "))
        }
    }
}

async fn read(bus: &Bus, group: Option<&GroupName>, since_ms: Option<u64>) -> anyhow::Result<Past> {
    let read = past(bus, group, since_ms, READ_LIMIT);
    let read = progress::during("the history", read).await;
    read.context("the history cannot be read")
}
