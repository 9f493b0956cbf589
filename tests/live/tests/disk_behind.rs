//! A node that was synchronised anew, promoted and killed before its append-only file held what it
//! had got, and comes back with what the file held before.

use anyhow::{Result, ensure};
use std::time::Instant;
use vedette_harness::{LIMIT, Plan, System, pick, within};
use vedette_live::{event, invariants, ms, tell};
use vedette_model::{EventName, Fact, GroupRecord, NodeAddr};

const KEYS: u32 = 1_000;
/// On a busy machine a server needs a second or two until it listens again: that is to be no crash
/// and no silence.
const DOWN_AFTER_MS: u64 = 5_000;

async fn fill(system: &System, n: usize, from: u32) -> Result<()> {
    let keys =
        format!("for i = {from}, {} do redis.call('SET', 'key:' .. i, i) end", from + KEYS - 1);
    let _: Option<String> = system.nodes[n].command(&["EVAL", &keys, "0"]).await?;
    Ok(())
}

async fn keys(system: &System, n: usize) -> Option<u32> {
    system.nodes[n].command(&["DBSIZE"]).await.ok()
}

async fn has(system: &System, n: usize, count: u32) -> Result<()> {
    let what = format!("{} has {count} keys", system.nodes[n].name());
    within(LIMIT, &what, async || (keys(system, n).await? == count).then_some(())).await
}

/// Whether its append-only file is being written anew.
async fn rewrites(system: &System, n: usize) -> Result<bool> {
    let info = system.nodes[n].info("persistence").await?;
    Ok(info.get("aof_rewrite_in_progress").is_some_and(|field| field == "1"))
}

/// Kills the master; the other node takes its place.
async fn replaced(system: &mut System, n: usize, by: usize) -> Result<Instant> {
    let (mark, old) = (system.watcher.mark(), system.nodes[n].addr().clone());
    let killed = system.nodes[n].kill9()?;
    let group = system.group();
    let (announced, master) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    ensure!(master.master == *system.nodes[by].addr(), "{} is master", master.master);
    let ended = |fact: &Fact| {
        let record = pick::record(fact)?;
        (record.master == master.master && record.failover.is_none()).then_some(())
    };
    system.watcher.wait(mark, LIMIT, "the failover has ended", ended).await?;
    tell(&format!("{old} killed: replaced after {:.0} ms", ms(killed, announced)));
    Ok(announced)
}

fn unsaved(record: &GroupRecord, addr: &NodeAddr) -> bool {
    record.member(addr).is_some_and(|member| member.unsaved)
}

#[tokio::test]
async fn it_is_replaced_by_the_master_before_and_nothing_of_that_is_lost() -> Result<()> {
    let node_lines = vec!["appendonly yes".into()];
    let mut plan =
        Plan { replicas: 1, down_after_ms: DOWN_AFTER_MS, node_lines, ..Plan::default() };
    let settings = ["crash_grace_ms = 0", "patience_ms = 2000", "trust_recorded_address = true"];
    plan.settings.extend(settings.map(String::from));
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "reboot", "risk", "conflict", "no-good-slave"]);
    fill(&system, 0, 1).await?;
    has(&system, 1, KEYS).await?;
    let saved = async || (!rewrites(&system, 1).await.ok()?).then_some(());
    within(LIMIT, "the replica's file is written", saved).await?;

    replaced(&mut system, 0, 1).await?;
    fill(&system, 1, KEYS + 1).await?;
    // It needs a minute to write its file anew.
    let file = system.path()?.join("redis1.conf").to_string_lossy().into_owned();
    let slow = [file.as_str(), "--rdb-key-save-delay", "30000"].map(Into::into).into();
    system.nodes[0].set_arguments(slow);
    system.nodes[0].start()?;
    has(&system, 0, 2 * KEYS).await?;
    let second = system.nodes[1].addr().clone();
    system.all_follow(&second).await?;
    let is_behind = rewrites(&system, 0).await?;
    let mark = system.watcher.mark();
    replaced(&mut system, 1, 0).await?;
    if !is_behind {
        return never_behind(system, mark).await;
    }
    let first = system.nodes[0].addr().clone();
    let marked = |fact: &Fact| {
        let record = pick::record(fact)?;
        (record.master == first && unsaved(record, &first)).then_some(())
    };
    system.watcher.wait(mark, LIMIT, "the record says that its disk is behind", marked).await?;

    let mark = system.watcher.mark();
    system.nodes[0].kill9()?;
    system.nodes[1].start()?;
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    let back = keys(&system, 0).await;
    ensure!(back.is_some_and(|count| count <= KEYS), "it came back with {back:?} keys");
    tell(&format!("it came back with {back:?} of {} keys", 2 * KEYS));
    let (_, told) = event(&system, mark, EventName::DataLossRisk, |_| true).await?;
    tell(&told.cause);
    let group = system.group();
    let (_, master) = system.watcher.new_master(mark, LIMIT, &group, &first).await?;
    ensure!(master.master == second, "{} is master", master.master);
    system.all_follow(&second).await?;
    for n in 0..=1 {
        has(&system, n, 2 * KEYS).await?;
    }
    invariants(&system)?;
    system.finish().await
}

/// Valkey 9 takes the file that it was sent as its append-only file: there is no time in between.
async fn never_behind(mut system: System, mark: usize) -> Result<()> {
    let server = system.nodes[0].info("server").await?;
    let name = server.get("server_name").map_or("redis", String::as_str);
    ensure!(name == "valkey", "{name} has written its file already");
    let first = system.nodes[0].addr().clone();
    let records = system.watcher.since(mark);
    let records = records.iter().filter_map(|seen| pick::record(&seen.fact));
    ensure!(!records.clone().any(|record| unsaved(record, &first)), "its disk is not behind");
    system.nodes[0].kill9()?;
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    let back = keys(&system, 0).await;
    ensure!(back == Some(2 * KEYS), "it came back with {back:?} keys");
    tell(&format!("it came back with all of {} keys", 2 * KEYS));
    system.nodes[1].start()?;
    system.nodes[1].answers().await?;
    for n in 0..=1 {
        has(&system, n, 2 * KEYS).await?;
    }
    invariants(&system)?;
    system.finish().await
}
