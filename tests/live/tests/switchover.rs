//! Planned switchovers under load: nothing acknowledged is lost, and writes wait for milliseconds.
//!
//! `VEDETTE_ROUNDS=100 cargo test -p vedette-live --test switchover -- --nocapture` measures longer.

use anyhow::{Context, Result, ensure};
use vedette_harness::{GROUP, LIMIT, Node, Plan, System, Writer, now, pick, within};
use vedette_live::{distribution, events, gap, invariants, rounds, tell, writing};
use vedette_model::{EventName, Fact, NodeAddr, SwitchReason};

/// Applications that write at the same time.
const WRITERS: usize = 8;
/// Steps that a switchover has and a failover has not; each is explained in `fault.rs` of the
/// orchestrator, as are the others.
const POINTS: &[&str] = &[
    "plan-committed",
    "selected",
    "pause-sent",
    "paused",
    "level",
    "freeze-sent",
    "frozen",
    "promote-sent",
    "promoted",
    "master-committed",
    "announced",
];

async fn several(system: &System) -> Result<Vec<Writer>> {
    let mut writers = Vec::new();
    for _ in 0..WRITERS {
        writers.push(writing(system).await?);
    }
    Ok(writers)
}

/// Every acknowledged write must be on the master.
async fn nothing_is_lost(system: &System, writers: &[Writer], master: &NodeAddr) -> Result<usize> {
    let mut count = 0;
    for writer in writers {
        let missing = writer.missing_on(system.node(master)?).await?;
        ensure!(missing.is_empty(), "{} acknowledged writes are lost", missing.len());
        count += writer.acknowledged().len();
    }
    Ok(count)
}

async fn full_synchronisations(nodes: &[Node]) -> Result<u64> {
    let mut sum = 0;
    for node in nodes {
        let info: String = node.command(&["INFO", "stats"]).await?;
        let count = info.lines().find_map(|line| line.strip_prefix("sync_full:"));
        sum += count.context("a node says how often it gave all")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_after_the_other_under_load_loses_nothing() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&[]);
    let writers = several(&system).await?;
    let (mut master, rounds) = (system.master(), rounds(5)?);
    let before = full_synchronisations(&system.nodes).await?;
    let (mut waited, mut seen, start) = (Vec::new(), Vec::new(), now());
    for round in 0..rounds {
        let mark = system.watcher.mark();
        let begun = now();
        let said = system.vedette(&["switchover", GROUP]).await?;
        let (announced, new) =
            system.watcher.new_master(mark, LIMIT, &system.group(), &master).await?;
        ensure!(new.reason == SwitchReason::Switchover && new.loss.bytes == Some(0), "{new:?}");
        ensure!(said.contains("nothing was lost"), "round {round}: {said}");
        let number = said.split("waited for ").nth(1).and_then(|rest| rest.split(" ms").next());
        waited.push(number.context("it says how long")?.parse::<f64>()?);
        for writer in &writers {
            writer.write_on(&new.master, announced, LIMIT).await?;
            seen.push(gap(&writer.since(begun), begun, announced));
        }
        master = new.master;
        nothing_is_lost(&system, &writers, &master).await?;
        system.all_follow(&master).await?;
    }
    let after = full_synchronisations(&system.nodes).await?;
    let took = start.elapsed().as_secs_f64();
    let count = nothing_is_lost(&system, &writers, &master).await?;
    tell(&format!(
        "{rounds} switchovers, {count} acknowledged writes ({:.0} a second), 0 lost; writes waited in \
         ms:",
        count as f64 / took
    ));
    tell(&format!("  by the leader's clock      {}", distribution(&mut waited)));
    tell(&format!("  by {WRITERS} writers             {}", distribution(&mut seen)));
    ensure!(after == before, "{} full synchronisations", after - before);
    order_of_events(&system, rounds)?;
    for writer in writers {
        writer.stop().await?;
    }
    invariants(&system)?;
    system.finish().await
}

/// As Sentinel says them.
fn order_of_events(system: &System, rounds: usize) -> Result<()> {
    let wanted = [
        EventName::TryFailover,
        EventName::ElectedLeader,
        EventName::SelectedSlave,
        EventName::SendSlaveofNoOne,
        EventName::PromotedSlave,
        EventName::SwitchMaster,
        EventName::FailoverEnd,
    ];
    let all = system.watcher.since(0);
    let names: Vec<_> = all
        .iter()
        .filter_map(|seen| pick::any_event(&seen.fact))
        .map(|event| event.name)
        .filter(|name| wanted.contains(name))
        .collect();
    ensure!(names == wanted.repeat(rounds), "{names:?}");
    for name in [EventName::Sdown, EventName::AbortMasterTimeout, EventName::AbortSlaveTimeout] {
        ensure!(events(system, 0, name).is_empty(), "{name} was told");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_killed_in_the_middle_loses_nothing() -> Result<()> {
    let mut system = System::start(Plan { fault_points: true, ..Plan::default() }).await?;
    system.announce(&["leader", "takeover", "lease", "superseded", "abort-master-timeout"]);
    let writers = several(&system).await?;
    let mut master = system.master();
    for point in POINTS {
        let fault = format!("kill@{point}");
        master = killed(&mut system, &writers, &master, &fault).await.context(fault)?;
    }
    for writer in writers {
        writer.stop().await?;
    }
    invariants(&system)?;
    system.finish().await
}

/// One switchover with one fault. Returns the new master.
async fn killed(
    system: &mut System,
    writers: &[Writer],
    old: &NodeAddr,
    fault: &str,
) -> Result<NodeAddr> {
    let mark = system.watcher.mark();
    system.arm(fault)?;
    // Who takes over finishes it, or undoes it and is asked again.
    let said = system.vedette(&["switchover", GROUP]).await?;
    ensure!(!system.is_armed()?, "nobody passed the point; {said}");
    let given_up = events(system, mark, EventName::AbortMasterTimeout).len();
    let master = system.ask_master().await?.master;
    ensure!(master != *old, "{old} is still master: {said}");
    for writer in writers {
        writer.write_on(&master, now(), LIMIT).await?;
    }
    nothing_is_lost(system, writers, &master).await?;
    let dead = within(LIMIT, "a leader that died", async || {
        system.services.iter_mut().position(|service| service.collect().is_some())
    });
    let dead = dead.await?;
    let mark = system.watcher.mark();
    system.services[dead].start()?;
    let id = system.services[dead].name().to_owned();
    let lives = |fact: &Fact| pick::heartbeat(fact).filter(|beat| beat.id == id).map(|_| ());
    system.watcher.wait(mark, LIMIT, &format!("{id} lives again"), lives).await?;
    system.all_follow(&master).await?;
    tell(&format!("{fault:<24}{}", ["finished", "undone, then done"][given_up.min(1)]));
    Ok(master)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drained_node_is_master_of_nothing_and_the_last_one_is_not_drained() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down"]);
    let writers = several(&system).await?;
    let old = system.master();
    let looked = system.vedette(&["switchover", GROUP, "--dry-run"]).await?;
    ensure!(looked.contains("would hand over to"), "{looked}");
    let said = system.vedette(&["drain", &old.to_string()]).await?;
    ensure!(said.contains("it may be stopped"), "{said}");
    let again = system.vedette(&["drain", &old.to_string()]).await?;
    ensure!(again.contains("is master of no group"), "{again}");
    let record = system.ask_master().await?.master;
    ensure!(record != old, "{record} is still master");
    nothing_is_lost(&system, &writers, &record).await?;
    for node in &mut system.nodes {
        if *node.addr() != record {
            node.kill9()?;
        }
    }
    let refused = system.vedette(&["drain", &record.to_string()]).await?;
    ensure!(refused.contains("NOT DONE") && refused.contains("no replica"), "{refused}");
    for writer in &writers {
        writer.write_on(&record, now(), LIMIT).await?;
    }
    for writer in writers {
        writer.stop().await?;
    }
    invariants(&system)?;
    system.finish().await
}

/// An interruption of writes that people forgive in a rolling restart.
const ROLLING_GAP_MS: f64 = 1_000.0;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_with_drains_loses_nothing() -> Result<()> {
    let mut system = System::start(Plan::of_many_failovers()).await?;
    system.announce(&["sdown", "odown", "down", "reboot", "replica"]);
    let writer = writing(&system).await?;
    let begun = now();
    for at in 0..system.nodes.len() {
        let node = system.nodes[at].addr().clone();
        let said = system.vedette(&["drain", &node.to_string()]).await?;
        ensure!(said.contains("it may be stopped"), "{said}");
        system.nodes[at].terminate(LIMIT).await?;
        system.nodes[at].start()?;
        system.nodes[at].answers().await?;
        let master = system.ask_master().await?.master;
        system.all_follow(&master).await?;
    }
    let master = system.ask_master().await?.master;
    writer.write_on(&master, now(), LIMIT).await?;
    let longest = gap(&writer.since(begun), begun, now());
    let written = writer.stop().await?;
    let missing = written.missing_on(system.node(&master)?).await?;
    ensure!(missing.is_empty(), "{} acknowledged writes are lost", missing.len());
    tell(&format!("three nodes restarted, 0 writes lost, the longest gap was {longest:.0} ms"));
    ensure!(longest <= ROLLING_GAP_MS, "a gap of {longest:.0} ms");
    invariants(&system)?;
    system.finish().await
}
