//! Who is promoted, and when it is said.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use vedette_harness::{LIMIT, Plan, System, pick};
use vedette_live::{finish, invariants, ms, switched, tell, writing};
use vedette_model::Fact;

#[tokio::test]
async fn the_replica_with_more_data_wins_over_the_one_with_the_better_priority() -> Result<()> {
    let mut plan = Plan::default();
    plan.settings.push("max_lag_bytes = 1000".into());
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "tilt", "suspect"]);
    let old = system.master();
    let behind = &system.nodes[2];
    let _: String = behind.command(&["CONFIG", "SET", "replica-priority", "1"]).await?;
    // The master would cut off a replica that does not take what it is sent.
    for limit in ["replica 0 0 0", "slave 0 0 0"] {
        let _: Result<String> =
            system.nodes[0].command(&["CONFIG", "SET", "client-output-buffer-limit", limit]).await;
    }
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    behind.stop()?;
    // More than the sockets between the two hold.
    let mut connection = system.nodes[0].client()?.get_multiplexed_async_connection().await?;
    let block = "x".repeat(1 << 20);
    for n in 0..48 {
        let set = redis::cmd("SET").arg(format!("block:{n}")).arg(&block).to_owned();
        let () = set.query_async(&mut connection).await?;
    }
    let ahead = system.nodes[1].addr().clone();
    let master_offset = offset(&system, 0).await?;
    vedette_harness::within(LIMIT, "the other replica has it all", async || {
        (offset(&system, 1).await.ok()? >= master_offset).then_some(())
    })
    .await?;
    let killed = system.nodes[0].kill9()?;
    system.nodes[2].cont()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    ensure!(switch.master.master == ahead, "{} was promoted", switch.master.master);
    system.all_follow(&ahead).await?;
    finish(system, writer, &ahead).await
}

async fn offset(system: &System, node: usize) -> Result<u64> {
    let info = system.nodes[node].info("replication").await?;
    let field = if node == 0 { "master_repl_offset" } else { "slave_repl_offset" };
    Ok(info.get(field).context("no offset")?.parse()?)
}

#[tokio::test]
async fn whoever_writes_the_moment_a_master_is_announced_succeeds() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "reboot"]);
    let mut master = system.master();
    for round in 0..5 {
        let at = system.nodes.iter().position(|n| *n.addr() == master).context("no such node")?;
        let mark = system.watcher.mark();
        let killed = system.nodes[at].kill9()?;
        let group = system.group();
        let (announced, record) = system.watcher.new_master(mark, LIMIT, &group, &master).await?;
        let node = system.node(&record.master)?;
        let key = format!("announced:{round}");
        let set: Result<String> = node.command(&["SET", &key, "1"]).await;
        ensure!(set.is_ok(), "round {round}: {} refused the first write: {set:?}", node.name());
        for other in system.nodes.iter().filter(|n| n.pid().is_some()) {
            let claims = other.addr() != &record.master && other.is_master().await;
            ensure!(!claims, "{} says master, too", other.name());
        }
        tell(&format!("round {round}: announced after {:.0} ms", ms(killed, announced)));
        let settled = |fact: &Fact| {
            let settled = pick::record(fact)?;
            (settled.master == record.master && settled.failover.is_none()).then_some(())
        };
        system.watcher.wait(mark, LIMIT, "the failover has ended", settled).await?;
        system.nodes[at].start()?;
        system.nodes[at].answers().await?;
        system.all_follow(&record.master).await?;
        // The next failover is held off for half a second.
        vedette_harness::stays(Duration::from_millis(600), async || Ok(())).await?;
        master = record.master;
    }
    invariants(&system)?;
    system.finish().await
}
