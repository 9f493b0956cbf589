//! Replicas that are gone for good.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;
use std::time::Duration;
use vedette_harness::{LIMIT, Node, Plan, System, now, pick, stays, within};
use vedette_live::{compare, events, finish, invariants, ms, rounds, tell, writing};
use vedette_model::{EventName, GroupRecord, NodeAddr};

const FORGOTTEN_WITHIN: Duration = Duration::from_secs(60);
/// A member is never given up sooner, whatever the settings say.
const LEAST: Duration = Duration::from_secs(15);

/// Forgets as soon as it may.
async fn forgetful() -> Result<System> {
    let mut plan = Plan::default();
    plan.settings.push("tombstone_after_ms = 1000".into());
    plan.settings.push("prune_after_ms = 1000".into());
    let mut system = System::start(plan).await?;
    system
        .announce(&["sdown", "odown", "down", "-slave", "leader", "takeover", "good", "failover"]);
    Ok(system)
}

/// The newest record that was committed.
fn record(system: &System) -> Result<GroupRecord> {
    let seen = system.watcher.since(0);
    let records = seen.iter().filter_map(|seen| pick::record(&seen.fact));
    records.max_by_key(|record| record.revision).cloned().context("no record was committed")
}

fn listed(record: &GroupRecord) -> BTreeSet<NodeAddr> {
    record.members.iter().map(|member| member.addr.clone()).collect()
}

#[tokio::test]
async fn replaced_replicas_are_forgotten_and_the_living_are_all_there() -> Result<()> {
    let mut system = forgetful().await?;
    let (master, folder, writer) = (system.master(), system.path()?, writing(&system).await?);
    let gateway = compare::gateway(&mut system, "g1").await?;
    let (group, replaced) = (system.group(), rounds(3)?);
    for round in 0..replaced {
        let name = format!("redis{}", system.nodes.len() + 1);
        let node = Node::start(&name, &folder, Some(&master), None, &[]).await?;
        let addr = node.addr().clone();
        system.nodes.push(node);
        within(LIMIT, "the new replica is recorded", async || {
            listed(&record(&system).ok()?).contains(&addr).then_some(())
        })
        .await?;
        system.nodes[1 + round].kill9()?;
    }
    let since = now();
    let living = system.nodes.iter().filter(|node| node.pid().is_some());
    let living: BTreeSet<NodeAddr> = living.map(|node| node.addr().clone()).collect();
    ensure!(listed(&record(&system)?).len() > living.len(), "the last one was forgotten at once");
    within(LIMIT * 2, "the record shows exactly the living", async || {
        (listed(&record(&system).ok()?) == living).then_some(())
    })
    .await
    .with_context(|| format!("it shows {:?}", record(&system)))?;
    let replicas = living.iter().filter(|addr| **addr != master).cloned().collect();
    within(LIMIT, "SENTINEL REPLICAS shows exactly the living", async || {
        (compare::replicas(gateway, group.as_str()).await.ok()? == replicas).then_some(())
    })
    .await
    .with_context(|| format!("they are {replicas:?}"))?;
    ensure!(now() < since + FORGOTTEN_WITHIN, "it took {:.0} ms", ms(since, now()));
    tell(&format!("{replaced} dead replicas forgotten {:.0} ms after the last", ms(since, now())));
    system.all_follow(&master).await?;
    let gone = events(&system, 0, EventName::SlaveGone).len();
    ensure!(gone == replaced, "each is told once, and not {gone} times");
    finish(system, writer, &master).await
}

#[tokio::test]
async fn while_the_master_is_dead_nobody_is_forgotten() -> Result<()> {
    let mut system = forgetful().await?;
    let known = listed(&record(&system)?);
    // One is dead, and the two others hang, so that nobody can take over.
    system.nodes[2].kill9()?;
    for node in &system.nodes[..2] {
        node.stop()?;
    }
    let mark = system.watcher.mark();
    stays(LEAST + Duration::from_secs(7), async || {
        let record = record(&system)?;
        ensure!(listed(&record) == known, "{:?}", record.members);
        ensure!(record.members.iter().all(|member| !member.gone), "{:?}", record.members);
        Ok(())
    })
    .await?;
    ensure!(events(&system, mark, EventName::SlaveGone).is_empty(), "and nothing else was said");
    for node in &system.nodes[..2] {
        node.cont()?;
    }
    system.nodes[2].start()?;
    system.nodes[2].answers().await?;
    let master = within(LIMIT, "all are back", async || {
        let master = record(&system).ok().filter(|r| r.failover.is_none())?.master;
        for node in &system.nodes {
            let well = if *node.addr() == master {
                node.is_master().await
            } else {
                node.follows(&master).await
            };
            if !well {
                return None;
            }
        }
        Some(master)
    })
    .await?;
    ensure!(listed(&record(&system)?) == known, "with {master} as the master");
    invariants(&system)?;
    system.finish().await
}
