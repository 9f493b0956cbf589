//! What the incidents have in common.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use vedette_harness::{LIMIT, Plan, System};
use vedette_live::collector::{Collector, Taken, tree, well_formed};
use vedette_live::tell;
use vedette_model::{MasterRecord, NodeAddr};

/// What every failover of a master that is down has.
pub const FAILOVER: &[(&str, usize)] = &[
    ("incident", 1),
    ("detect", 2),
    ("verdict", 2),
    ("candidacy", 1),
    ("ballot", 2),
    ("survey", 1),
    ("info", 2),
    ("select", 1),
    ("commit", 3),
    ("accept", 4),
    ("promote", 1),
    ("announce", 1),
    ("repoint", 1),
];
/// What may begin or go on after an incident's end.
const AFTERWARDS: &[&str] = &["return", "notify", "tell"];
/// Log lines that belong to failovers.
pub const WORDS: &[&str] =
    &["sdown", "odown", "down", "leader", "takeover", "lease", "superseded", "abort", "reboot"];

/// A system whose services tell a collector.
pub async fn traced(plan: Plan) -> Result<(System, Collector)> {
    let collector = Collector::start().await?;
    let mut plan = plan;
    plan.service_environment.extend(collector.environment());
    let mut system = System::start(plan).await?;
    system.announce(WORDS);
    Ok((system, collector))
}

/// Waits for another master than the old one.
pub async fn switched(system: &System, mark: usize, old: &NodeAddr) -> Result<MasterRecord> {
    let group = system.group();
    Ok(system.watcher.new_master(mark, LIMIT, &group, old).await?.1)
}

/// The incident's spans, once these have come; they are one tree, shown where one looks.
pub async fn whole(
    collector: &Collector,
    trace: &str,
    wanted: &[(&str, usize)],
) -> Result<Vec<Taken>> {
    shown(collector.whole(trace, wanted).await?)
}

/// The same after a service died together with its last spans.
pub async fn bereaved(
    collector: &Collector,
    trace: &str,
    wanted: &[(&str, usize)],
) -> Result<Vec<Taken>> {
    shown(collector.bereaved(trace, wanted).await?)
}

fn shown(spans: Vec<Taken>) -> Result<Vec<Taken>> {
    tell(&format!("\n{}", tree(&spans)));
    well_formed(&spans, AFTERWARDS)?;
    Ok(spans)
}

/// All spans of the run are of these traces.
pub fn nothing_else(collector: &Collector, traces: &[&str]) -> Result<()> {
    let all = collector.traces();
    let strange: Vec<_> =
        collector.taken().into_iter().filter(|s| !traces.contains(&s.trace.as_str())).collect();
    ensure!(
        strange.is_empty(),
        "{} traces and not {}:\n{}",
        all.len(),
        traces.len(),
        tree(&strange)
    );
    Ok(())
}

/// The first span of a name.
pub fn first<'a>(spans: &'a [Taken], name: &str) -> Result<&'a Taken> {
    spans.iter().find(|span| span.name == name).with_context(|| format!("no {name}"))
}

/// The root, which came to this.
pub fn root<'a>(spans: &'a [Taken], outcome: &str) -> Result<&'a Taken> {
    let root = spans.iter().find(|span| span.parent.is_none()).context("a root")?;
    ensure!(root.attribute("vedette.outcome") == outcome, "{root:?}");
    Ok(root)
}

/// The moments of a span by name.
pub fn moments(span: &Taken) -> BTreeMap<&str, &BTreeMap<String, String>> {
    span.events.iter().map(|(_, name, attributes)| (name.as_str(), attributes)).collect()
}
