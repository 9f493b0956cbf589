//! Services killed all the time, and a voter's file damaged: everybody starts again, and the
//! record is whole.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;
use vedette_harness::{
    GROUP, LIMIT, Plan, Process, System, Writer, binary, now, pick, until, within,
};
use vedette_live::chaos::rng::Rng;
use vedette_live::{finish, invariants, seconds, switched, tell, writing};
use vedette_model::{Fact, Health, NodeAddr};

/// Rest between two kills, in ms. Each of nine services lives for some seconds.
const REST: (u64, u64) = (60, 440);
const PLACES: usize = 20;

/// Who says that it is well, since a mark.
fn well(system: &System, mark: usize) -> BTreeSet<String> {
    let beats = system.watcher.since(mark);
    let beats = beats.iter().filter_map(|seen| pick::heartbeat(&seen.fact));
    beats.filter(|beat| beat.health == Health::Well).map(|beat| beat.id.clone()).collect()
}

/// Waits until each service says that it is well, and each voter what it knows of the group.
async fn all_are_back(system: &mut System) -> Result<()> {
    let mark = system.watcher.mark();
    let ids: BTreeSet<String> = system.services.iter().map(|s| s.name().to_string()).collect();
    within(LIMIT, "every service says that it is well", async || {
        ids.is_subset(&well(system, mark)).then_some(())
    })
    .await
    .with_context(|| format!("well are {:?}", well(system, mark)))?;
    for voter in ["v1", "v2", "v3"] {
        knows_the_group(system, voter).await?;
    }
    Ok(())
}

/// A voter without the group's record says nothing of it.
async fn knows_the_group(system: &mut System, voter: &str) -> Result<()> {
    let (mark, group) = (system.watcher.mark(), system.group());
    let what = format!("{voter} knows the group");
    let knows = |fact: &Fact| {
        let beat = pick::heartbeat(fact).filter(|beat| beat.id == voter)?;
        beat.standings.iter().any(|standing| standing.group == group).then_some(())
    };
    let deadline = now() + LIMIT;
    while now() < deadline {
        system.status_says(&[""]).await?;
        if system.watcher.wait(mark, Duration::from_millis(300), &what, knows).await.is_ok() {
            return Ok(());
        }
    }
    anyhow::bail!("not in time: {what}")
}

/// The recorded master, if it is one, all others follow it and the writer writes there.
async fn settled(system: &System, writer: &Writer) -> Option<NodeAddr> {
    let master = system.ask_master().await.ok()?.master;
    let followed = async |node: &vedette_harness::Node| match node.addr() == &master {
        true => node.is_master().await,
        false => node.follows(&master).await,
    };
    for node in &system.nodes {
        if !followed(node).await {
            return None;
        }
    }
    (writer.last()?.node == master).then_some(master)
}

/// `vedette set`, which goes on by itself; each time another value.
fn change(system: &System, round: usize) -> Result<Process> {
    let nats = system.urls().join(",");
    let value = format!("patience_ms={}", 2_000 + round);
    let words = ["--nats", &nats, "set", GROUP, &value].map(String::from).into();
    Process::spawn("operator", binary::command_line()?, words, &system.path()?)
}

#[tokio::test]
async fn services_killed_at_any_moment_start_again_and_lose_no_record() -> Result<()> {
    let mut plan = Plan::default();
    // A node that was killed comes back with its data and a new history.
    plan.node_lines.push("appendonly yes".into());
    plan.settings.push("trust_recorded_address = true".into());
    let mut system = System::start(plan).await?;
    let (writer, start) = (writing(&system).await?, system.watcher.mark());
    let (mut rng, mut kills, mut failovers) = (Rng::new(33), 0, 0);
    let mut dead: Option<(usize, usize)> = None;
    let end = now() + seconds(30)?;
    let (mut operator, mut told) = (None::<Process>, 0);
    while now() < end {
        // An operator changes a setting all the time; each change may meet a kill.
        if operator.as_mut().is_none_or(|set| set.collect().is_some()) {
            told += 1;
            operator = Some(change(&system, told)?);
        }
        let victim = usize::try_from(rng.range(0, 9))?;
        let service = &mut system.services[victim];
        let ended = service.ended();
        ensure!(ended.is_none(), "{} ended by itself with {ended:?}", service.name());
        service.restart()?;
        kills += 1;
        match dead {
            Some((node, mark)) => {
                let old = system.nodes[node].addr().clone();
                let other =
                    |fact: &Fact| pick::master(fact).filter(|m| m.master != old).map(|_| ());
                if system.watcher.first(mark, other).is_some() {
                    system.nodes[node].start()?;
                    failovers += 1;
                    dead = None;
                }
            }
            None => {
                if let Some(master) = settled(&system, &writer).await {
                    let node = system.nodes.iter().position(|n| *n.addr() == master);
                    let node = node.context("one of ours")?;
                    dead = Some((node, system.watcher.mark()));
                    system.nodes[node].kill9()?;
                }
            }
        }
        until(now() + Duration::from_millis(rng.range(REST.0, REST.1))).await;
    }
    if let Some((node, _)) = dead {
        system.nodes[node].start()?;
    }
    all_are_back(&mut system).await?;
    let master =
        within(LIMIT, "one master whom all follow", async || settled(&system, &writer).await)
            .await?;
    let seen = system.watcher.since(start);
    let records = seen.iter().filter_map(|seen| pick::record(&seen.fact));
    let values: BTreeSet<u64> = records.map(|record| record.settings.patience_ms).collect();
    let changes = values.len() - 1;
    tell(&format!(
        "{kills} services killed, {failovers} failovers and {changes} of {told} changes meanwhile"
    ));
    ensure!(changes >= 2, "too few changes to have met one: {changes}");
    ensure!(failovers >= 2, "too few failovers to have met one: {failovers}");
    let revisions = system.watcher.since(start);
    let revisions = revisions.iter().filter_map(|s| pick::record(&s.fact)).map(|r| r.revision);
    ensure!(revisions.max().is_some(), "no record was committed");
    for service in &system.services {
        let log = service.log();
        ensure!(!log.contains("is damaged"), "{} lost its file: {log}", service.name());
        ensure!(!log.contains("panicked"), "{} panicked: {log}", service.name());
    }
    let writes = writer.stop().await?;
    writes.nothing_received_is_missing_on(system.node(&master)?).await?;
    invariants(&system)?;
    system.shut_down().await
}

/// Flips bits of the file. In every second place it is one bit anywhere that is used, which may
/// be a page given back; else one in each copy of a stored value, of which one counts. Returns
/// where.
fn flip(file: &Path, place: usize, rng: &mut Rng) -> Result<Vec<usize>> {
    let mut bytes = std::fs::read(file)?;
    let wheres = if place.is_multiple_of(2) {
        let used: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        vec![used[place * used.len() / PLACES]]
    } else {
        let ahead = usize::try_from(rng.range(0, 100))?;
        let copies = bytes.windows(GROUP.len()).enumerate();
        let copies = copies.filter(|(_, window)| *window == GROUP.as_bytes());
        copies.map(|(at, _)| at + ahead).filter(|at| *at < bytes.len()).collect()
    };
    let bit = rng.range(0, 8);
    for at in &wheres {
        bytes[*at] ^= 1 << bit;
    }
    std::fs::write(file, bytes)?;
    Ok(wheres)
}

fn set_aside(folder: &Path) -> Result<usize> {
    let names = std::fs::read_dir(folder)?.collect::<std::io::Result<Vec<_>>>()?;
    let is_aside = |name: &str| name.starts_with("v1.redb.damaged-");
    Ok(names.iter().filter(|entry| is_aside(&entry.file_name().to_string_lossy())).count())
}

#[tokio::test]
async fn a_voter_starts_from_any_damaged_file_and_gets_its_memory_back() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["damaged", "memory", "sdown", "odown", "down", "leader", "takeover"]);
    let (old, writer) = (system.master(), writing(&system).await?);
    let before = system.members_are_known().await?;
    let (folder, mut rng) = (system.path()?, Rng::new(33));
    for place in 0..PLACES {
        let aside = set_aside(&folder)?;
        system.service("v1")?.kill9()?;
        let wheres = flip(&folder.join("v1.redb"), place, &mut rng)?;
        let mark = system.watcher.mark();
        system.service("v1")?.start()?;
        let back = within(LIMIT, "v1 is well again", async || {
            well(&system, mark).contains("v1").then_some(())
        });
        back.await.with_context(|| format!("a bit of each of the bytes {wheres:?} was flipped"))?;
        knows_the_group(&mut system, "v1").await?;
        let told = system.service("v1")?.log().matches("the store is damaged").count();
        let moved = set_aside(&folder)?;
        ensure!(told == moved, "{moved} files were set aside, and it said so {told} times");
        ensure!(moved <= aside + 1, "one file, one damage");
    }
    let moved = set_aside(&folder)?;
    tell(&format!("{PLACES} times bits were flipped, {moved} times it mattered"));
    ensure!(moved >= PLACES / 4, "hardly any was noticed: {moved} of {PLACES}");
    let after = system.members_are_known().await?;
    ensure!((&after.master, after.epoch) == (&before.master, before.epoch), "{after:?}");

    // What it was told by the others is enough to decide with one of them.
    system.service("v3")?.kill9()?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master;
    system.service("v3")?.start()?;
    system.all_follow(&new).await?;
    finish(system, writer, &new).await
}
