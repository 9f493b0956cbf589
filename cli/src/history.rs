//! `vedette history` and `vedette explain`: what happened, and why, also when nothing did.
//!
//! ```text
//!  kept facts ─► incidents ─┬─► one line each, with what else happened
//!                           └─► Report ─► text or JSON
//! ```

mod entries;
mod incident;
mod reason;
mod report;
#[cfg(test)]
mod tests;
mod text;

use crate::args::{Explain, History};
use crate::config::Config;
use crate::connect::connect;
use crate::status::{self, Heard};
use crate::{out, progress, when};
use anyhow::{Context as _, bail};
use entries::Entries;
use report::{Report, Today};
use std::time::Duration;
use vedette_model::GroupName;
use vedette_runtime::history::{Past, past};
use vedette_runtime::{Bus, Clock, Shutdown};

/// For reading all that is kept.
const READ_LIMIT: Duration = Duration::from_secs(30);
/// For what the services say of an incident that is not over.
const LISTEN: Duration = Duration::from_millis(1_200);

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
        for line in entries.json()? {
            out::line(&line)?;
        }
        return Ok(());
    }
    if entries.is_empty() {
        out::note(&empty(&past));
    }
    out::text(&text::listing(&entries, &past))
}

/// Prints how a failover came about, or why there was none.
///
/// # Errors
/// There is nothing to explain, or what is wrong with NATS or JetStream; with what to do about it.
pub async fn explain(wanted: &Explain, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let bus = connect(config, shutdown).await?;
    let (past, incident) = find(&bus, &wanted.what).await?;
    let today = if incident.is_over() { None } else { Some(today(&bus, &incident.group).await?) };
    let report = Report::of(&incident, &past, today);
    if wanted.json {
        return out::line(&serde_json::to_string_pretty(&report)?);
    }
    out::text(&text::explained(&report))
}

/// The incident that is meant: the latest of a group, or the one of this id.
async fn find(bus: &Bus, what: &str) -> anyhow::Result<(Past, incident::Incident)> {
    if let Ok(group) = GroupName::parse(what) {
        let past = read(bus, Some(&group), None).await?;
        let all = incident::incidents(&past.kept);
        if let Some(latest) = all.into_iter().next_back() {
            return Ok((past, latest));
        }
    }
    let past = read(bus, None, None).await?;
    let mut all = incident::incidents(&past.kept);
    all.retain(|incident| incident.is_called(what));
    match all.as_slice() {
        [] => bail!(
            "nothing is kept of a failover of {what}, nor of one with that id; {}; `vedette \
             history` lists what there is",
            empty(&past)
        ),
        [incident] => {
            let incident = incident.clone();
            Ok((past, incident))
        }
        several => {
            let ids: Vec<_> = several.iter().map(|incident| incident.id.as_str()).collect();
            bail!("{what} is the beginning of several ids: {}", ids.join(", "))
        }
    }
}

async fn read(bus: &Bus, group: Option<&GroupName>, since_ms: Option<u64>) -> anyhow::Result<Past> {
    let read = past(bus, group, since_ms, READ_LIMIT);
    let read = progress::during("the history", read).await;
    read.context("the history cannot be read")
}

/// What the services say now.
async fn today(bus: &Bus, group: &GroupName) -> anyhow::Result<Today> {
    let heard: Heard = status::collect(bus, LISTEN).await?;
    let says = heard.services.iter().flat_map(|((service, id), beat)| {
        let standings = beat.standings.iter().filter(|s| s.group == *group && !s.text.is_empty());
        standings.map(move |standing| (format!("{service}/{id}"), standing.text.clone()))
    });
    let quorum = heard.records.get(group).map(|record| record.settings.quorum.get());
    Ok(Today { quorum, voters: heard.voters.len(), says: says.collect() })
}

fn empty(past: &Past) -> String {
    match past.oldest_us {
        Some(at) => format!("the history goes back to {}", when::utc(at)),
        None => "nothing is kept at all: an orchestrator begins the history, if JetStream is there"
            .into(),
    }
}
