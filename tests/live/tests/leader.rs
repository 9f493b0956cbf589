//! The acting orchestrator is killed, or frozen, exactly at each step of a failover: the other one
//! brings it to its end, and the one that wakes again changes nothing any more.
//!
//! `VEDETTE_ROUNDS=20 cargo test -p vedette-live --test leader -- --nocapture` measures for longer,
//! and takes all points also for the one that is late when it wakes.

use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use vedette_harness::{LIMIT, Plan, Spy, System, Writer, now, pick, stays, within};
use vedette_live::{distribution, finish, ms, rounds, tell, writing};
use vedette_model::{Fact, NodeAddr};

/// In the order in which a failover passes them; each is explained in the orchestrator's `fault.rs`.
const POINTS: &[&str] = &[
    "claimed",
    "surveyed",
    "plan-proposed",
    "plan-committed",
    "selected",
    "promote-sent",
    "promoted",
    "master-proposed",
    "master-committed",
    "announcing",
    "announced",
    "re-pointed",
    "repaired",
    "ending",
    "end-proposed",
    "ended",
];
/// From the fault to the end of the failover, brought about by the other orchestrator.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(2);
/// Over which the woken one must not touch any node; longer than any command waits.
const QUIET: Duration = Duration::from_millis(1_500);
/// A bus that is slow for the one that wakes.
const LATE: Duration = Duration::from_secs(5);
/// The writer's own.
const WRITES: &[&str] = &["set", "wait"];

#[tokio::test]
async fn the_leader_killed_at_each_step() -> Result<()> {
    at_each_step("kill", POINTS, Duration::ZERO).await
}

#[tokio::test]
async fn the_leader_frozen_at_each_step() -> Result<()> {
    at_each_step("stop", POINTS, Duration::ZERO).await
}

#[tokio::test]
async fn the_leader_frozen_at_each_step_and_late_when_it_wakes() -> Result<()> {
    // It takes longer than all of them together without.
    let few: Vec<_> = POINTS.iter().copied().step_by(4).collect();
    at_each_step("stop", if rounds(1)? > 1 { POINTS } else { &few }, LATE).await
}

/// `late`: what the failed one says and hears from its fault on is late by up to this.
async fn at_each_step(verb: &str, points: &[&'static str], late: Duration) -> Result<()> {
    let relayed = !late.is_zero();
    let plan = Plan { fault_points: true, relayed, ..Plan::of_many_failovers() };
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "leader", "takeover", "lease", "superseded"]);
    // What the woken one says of a promotion that it may not send any more.
    system.announce(&["abort-slave-timeout"]);
    if relayed {
        system.announce(&["without nats"]);
    }
    let writer = writing(&system).await?;
    let mut took: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    let mut master = system.master();
    for _ in 0..rounds(1)? {
        for point in points {
            let fault = format!("{verb}@{point}");
            let (new, ms) =
                one(&mut system, &writer, &master, &fault, late).await.context(fault.clone())?;
            took.entry(*point).or_default().push(ms);
            master = new;
        }
    }
    tell(&format!("{verb} of the leader at each point, to the end of the failover in ms:"));
    for point in points {
        tell(&format!("  {point:<18}{}", distribution(took.get_mut(point).context("it ran")?)));
    }
    finish(system, writer, &master).await
}

/// One failover with one fault. Returns the new master, and the milliseconds from the fault to the
/// failover's end.
async fn one(
    system: &mut System,
    writer: &Writer,
    old: &NodeAddr,
    fault: &str,
    late: Duration,
) -> Result<(NodeAddr, f64)> {
    let dead = system.nodes.iter().position(|node| node.addr() == old);
    let dead = dead.context("the master is one of ours")?;
    let mark = system.watcher.mark();
    system.arm(fault)?;
    let killed = system.nodes[dead].kill9()?;
    let passed = || system.is_armed().is_ok_and(|armed| !armed).then(now);
    let failed = within(LIMIT, "the point is passed", async || passed()).await?;
    let leader = within(LIMIT, "a leader that failed", async || failed_one(system)).await?;
    let id = system.services[leader].name().to_string();
    system.relays.get(&id).inspect(|relay| relay.delay(late));

    let (new, ended) = ended(system, mark, old).await?;
    let took = ms(failed, ended.max(failed));
    writer.write_on(&new, killed, LIMIT).await?;
    ensure!(took <= ms_of(TAKEN_OVER_WITHIN), "the failover took {took:.0} ms after the fault");
    system.all_follow(&new).await?;
    if system.services[leader].is_stopped() {
        wake(system, leader, QUIET + late).await?;
    } else {
        let mark = system.watcher.mark();
        system.services[leader].start()?;
        lives(system, mark, leader).await?;
    }
    system.nodes[dead].start()?;
    system.nodes[dead].answers().await?;
    system.all_follow(&new).await?;
    let masters = system.watcher.since(mark);
    let mut masters = masters.iter().filter_map(|seen| pick::master(&seen.fact));
    let other = masters.find(|record| record.master != new && record.master != *old);
    ensure!(other.is_none(), "another master was announced: {other:?}");
    Ok((new, took))
}

/// Which service was ended or stopped by the fault.
fn failed_one(system: &mut System) -> Option<usize> {
    system.services.iter_mut().position(|s| s.is_stopped() || s.collect().is_some())
}

/// When a record of a new master without a failover was told, and who it is.
async fn ended(system: &System, mark: usize, old: &NodeAddr) -> Result<(NodeAddr, Instant)> {
    let settled = |fact: &Fact| {
        let record = pick::record(fact)?;
        (record.master != *old && record.failover.is_none()).then(|| record.master.clone())
    };
    let what = "a record of a new master without a failover";
    let (at, master) = system.watcher.wait(mark, LIMIT, what, settled).await?;
    Ok((master, at))
}

/// The frozen one goes on where it stood: nothing that changes a node may come of it.
async fn wake(system: &System, leader: usize, quiet: Duration) -> Result<()> {
    let running: Vec<_> = system.nodes.iter().filter(|node| node.pid().is_some()).collect();
    let mut spies = Vec::new();
    for node in &running {
        spies.push(Spy::on(node).await?);
    }
    let mark = system.watcher.mark();
    system.services[leader].cont()?;
    stays(quiet, async || {
        for (spy, node) in spies.iter().zip(&running) {
            let mut changes = spy.changes(node).await?;
            changes.retain(|command, _| !WRITES.contains(&command.as_str()));
            ensure!(changes.is_empty(), "{} was touched: {changes:?}", node.name());
        }
        Ok(())
    })
    .await?;
    system.relays.values().for_each(|relay| relay.delay(Duration::ZERO));
    lives(system, mark, leader).await
}

async fn lives(system: &System, mark: usize, service: usize) -> Result<()> {
    let id = system.services[service].name();
    let lives = |fact: &Fact| pick::heartbeat(fact).filter(|beat| beat.id == id).map(|_| ());
    system.watcher.wait(mark, LIMIT, &format!("{id} lives again"), lives).await?;
    Ok(())
}

fn ms_of(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
