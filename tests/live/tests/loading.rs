//! A master that was killed, is started again at once and loads its data set.

use anyhow::{Result, ensure};
use std::time::{Duration, Instant};
use vedette_harness::{LIMIT, Plan, System, now, pick, within};
use vedette_live::{event, finish, ms, nothing_happens, switched, tell, writing};
use vedette_model::{EventName, Evidence, Fact, NodeState};

const KEYS: u32 = 1_000;
/// On a busy machine a server needs a second or two until it listens again: that is to be no crash
/// and no silence.
const DOWN_AFTER_MS: u32 = 5_000;

/// A master with data that is saved to the last byte: a save that lacked something would be
/// reason enough to promote a replica.
async fn saved(replicas: usize, loading_budget_ms: u64) -> Result<System> {
    // A ping to the replicas would count as data; and the server answers every so many bytes.
    let node_lines = ["repl-ping-replica-period 3600", "rdbcompression no"].map(Into::into).into();
    let mut plan =
        Plan { replicas, down_after_ms: DOWN_AFTER_MS.into(), node_lines, ..Plan::default() };
    plan.settings.push("crash_grace_ms = 0".into());
    plan.settings.push(format!("loading_budget_ms = {loading_budget_ms}"));
    let mut system = System::start(plan).await?;
    system.announce(&["loading", "sdown", "odown", "down", "reboot", "leader"]);
    let master = &system.nodes[0];
    let fill =
        format!("for i = 1, {KEYS} do redis.call('SET', 'key:' .. i, string.rep('x', 1024)) end");
    let _: Option<String> = master.command(&["EVAL", &fill, "0"]).await?;
    for replica in &system.nodes[1..] {
        within(LIMIT, "the replicas have it all", async || {
            let keys: u32 = replica.command(&["DBSIZE"]).await.ok()?;
            (keys == KEYS).then_some(())
        })
        .await?;
    }
    master.save().await?;
    Ok(system)
}

/// Kills the master and starts it again at once; it takes so long to load.
fn restart_loading(system: &mut System, span: Duration) -> Result<Instant> {
    let file = system.path()?.join("redis1.conf").to_string_lossy().into_owned();
    let delay = (span.as_micros() / u128::from(KEYS)).to_string();
    let events = ["--key-load-delay", &delay, "--loading-process-events-interval-bytes", "1024"];
    let arguments = [file.as_str()].into_iter().chain(events).map(Into::into).collect();
    let master = &mut system.nodes[0];
    master.set_arguments(arguments);
    let killed = master.kill9()?;
    master.start()?;
    Ok(killed)
}

#[tokio::test]
async fn a_minute_of_loading_is_reason_to_promote_a_replica() -> Result<()> {
    let mut system = saved(2, 1_000).await?;
    let (old, writer) = (system.master(), writing(&system).await?);
    let mark = system.watcher.mark();
    let killed = restart_loading(&mut system, Duration::from_secs(60))?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let took = ms(killed, switch.announced);
    tell(&format!("kill -9 and a minute of loading: announced after {took:.0} ms"));
    let limit = f64::from(DOWN_AFTER_MS) + 2_000.0;
    ensure!(took <= limit, "{took:.0} ms are more than down_after and 2 s");
    for seen in system.watcher.since(mark) {
        let Some(report) = pick::sdown(&seen.fact) else { continue };
        let NodeState::Down(evidence) = &report.state else { continue };
        let loads = matches!(evidence, Evidence::Loading { .. });
        ensure!(loads || report.node != old, "for another reason: {evidence}");
    }
    let new = switch.master.master;
    restart_loading(&mut system, Duration::ZERO)?;
    system.nodes[0].answers().await?;
    system.all_follow(&new).await?;
    finish(system, writer, &new).await
}

#[tokio::test]
async fn a_second_of_loading_is_not() -> Result<()> {
    let mut system = saved(2, 2_500).await?;
    let mark = system.watcher.mark();
    let killed = restart_loading(&mut system, Duration::from_secs(1))?;
    event(&system, mark, EventName::Loading, |_| true).await?;
    system.nodes[0].answers().await?;
    let took = ms(killed, now());
    ensure!(took >= 1_000.0, "it was loaded after {took:.0} ms already");
    nothing_happens(&system, mark, Duration::from_secs(4)).await?;
    let master = system.master();
    system.all_follow(&master).await?;
    let keys: u32 = system.nodes[0].command(&["DBSIZE"]).await?;
    ensure!(keys == KEYS, "only {keys} keys are left");
    let writer = writing(&system).await?;
    finish(system, writer, &master).await
}

#[tokio::test]
async fn where_no_replica_is_synced_it_is_waited_for_and_that_is_said() -> Result<()> {
    let mut system = saved(1, 1_000).await?;
    system.nodes[1].kill9()?;
    let down = |fact: &Fact| {
        let report = pick::sdown(fact)?;
        matches!(report.state, NodeState::Down(_)).then_some(())
    };
    system.watcher.wait(0, LIMIT, "the replica is down", down).await?;
    let mark = system.watcher.mark();
    restart_loading(&mut system, Duration::from_secs(6))?;
    let waited = |event: &vedette_model::Event| event.cause.contains("it is waited for");
    let (_, told) = event(&system, mark, EventName::Loading, waited).await?;
    tell(&told.cause);
    nothing_happens(&system, mark, Duration::from_secs(2)).await?;
    system.nodes[0].answers().await?;
    let writer = writing(&system).await?;
    system.nodes[1].start()?;
    system.nodes[1].answers().await?;
    let master = system.master();
    system.all_follow(&master).await?;
    finish(system, writer, &master).await
}
