//! Who is promoted, and when it is said.

use anyhow::{Context, Result, ensure};
use std::time::Duration;
use vedette_harness::{GROUP, LIMIT, Node, Plan, System, pick};
use vedette_live::{distribution, finish, invariants, ms, rounds, switched, tell, writing};
use vedette_model::{Fact, RejectReason};

#[tokio::test]
async fn the_replica_with_more_data_wins_over_the_one_with_the_better_priority() -> Result<()> {
    // The master would cut off a replica that does not take what it is sent.
    let mut plan = Plan::of_many_failovers();
    plan.node_lines.push("client-output-buffer-limit replica 0 0 0".into());
    plan.settings.push("max_lag_bytes = 1000".into());
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "tilt", "suspect"]);
    let writer = writing(&system).await?;
    let (mut master, rounds) = (0, rounds(1)?);
    for round in 0..rounds {
        let (ahead, behind) = ((master + 1) % 3, (master + 2) % 3);
        for (node, priority) in [(ahead, "100"), (behind, "1")] {
            let set = ["CONFIG", "SET", "replica-priority", priority];
            let _: String = system.nodes[node].command(&set).await?;
        }
        let mark = system.watcher.mark();
        system.nodes[behind].stop()?;
        // More than the sockets between the two hold.
        write_blocks(&system.nodes[master]).await?;
        let master_offset = offset(&system.nodes[master], "master_repl_offset").await?;
        vedette_harness::within(LIMIT, "the other replica has it all", async || {
            let has = offset(&system.nodes[ahead], "slave_repl_offset").await.ok()?;
            (has >= master_offset).then_some(())
        })
        .await?;
        let old = system.nodes[master].addr().clone();
        let killed = system.nodes[master].kill9()?;
        system.nodes[behind].cont()?;
        let switch = switched(&system, &writer, mark, &old, killed).await?;
        let new = switch.master.master;
        ensure!(new == *system.nodes[ahead].addr(), "round {round}: {new} was promoted");
        system.nodes[master].start()?;
        system.nodes[master].answers().await?;
        system.all_follow(&new).await?;
        master = ahead;
    }
    tell(&format!("{rounds} of {rounds} times the one with more data was promoted"));
    let master = system.nodes[master].addr().clone();
    finish(system, writer, &master).await
}

#[tokio::test]
async fn a_replica_with_a_foreign_history_is_not_chosen_however_much_it_holds() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "identity", "slave", "external", "stranger"]);
    let (old, writer, folder) = (system.master(), writing(&system).await?, system.path()?);
    // A master counts bytes once a replica has asked for them.
    let foreign = Node::start("foreign", &folder, None, None, &[]).await?;
    let mut first = Node::start("first", &folder, Some(foreign.addr()), None, &[]).await?;
    vedette_harness::within(LIMIT, "the foreign master has a replica", async || {
        first.follows(foreign.addr()).await.then_some(())
    })
    .await?;
    first.kill9()?;
    write_blocks(&foreign).await?;

    // Not brought back before the master dies.
    system.vedette(&["pause", GROUP, "--reason", "a foreign history"]).await?;
    let (mark, stray) = (system.watcher.mark(), &system.nodes[2]);
    let _: String = stray.command(&["CONFIG", "SET", "replica-priority", "1"]).await?;
    let port = foreign.addr().port().to_string();
    let _: String = stray.command(&["REPLICAOF", foreign.addr().host(), &port]).await?;
    vedette_harness::within(LIMIT, "it has the foreign history", async || {
        stray.follows(foreign.addr()).await.then_some(())
    })
    .await?;
    let history = |info: std::collections::BTreeMap<String, String>| info["master_replid"].clone();
    let theirs = history(foreign.info("replication").await?);
    let more = offset(stray, "slave_repl_offset").await?;
    let killed = system.nodes[0].kill9()?;
    let found = |fact: &Fact| pick::odown(fact).filter(|verdict| verdict.reached).map(|_| ());
    system.watcher.wait(mark, LIMIT, "the master is found down", found).await?;
    ensure!(
        history(system.nodes[2].info("replication").await?) == theirs,
        "it was mended although the group is paused"
    );
    let ours = offset(&system.nodes[1], "slave_repl_offset").await?;
    ensure!(more > 10 * ours, "{more} bytes of a foreign history and {ours} of ours");
    system.vedette(&["resume", GROUP]).await?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master;
    ensure!(new == *system.nodes[1].addr(), "{new} was promoted");
    let plan = |fact: &Fact| pick::record(fact)?.failover.clone();
    let (_, plan) = system.watcher.wait(mark, LIMIT, "the plan", plan).await?;
    let why = plan.rejected.iter().find(|rejected| rejected.node == *system.nodes[2].addr());
    let why = why.context("it was a candidate")?;
    tell(&format!("{more} bytes of a foreign history, {ours} of ours: {}", why.reason));
    ensure!(why.reason == RejectReason::Stranger, "{}", why.reason);
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    finish(system, writer, &new).await
}

/// 48 MiB.
async fn write_blocks(node: &Node) -> Result<()> {
    let mut connection = node.client()?.get_multiplexed_async_connection().await?;
    let block = "x".repeat(1 << 20);
    for n in 0..48 {
        let set = redis::cmd("SET").arg(format!("block:{n}")).arg(&block).to_owned();
        let () = set.query_async(&mut connection).await?;
    }
    Ok(())
}

async fn offset(node: &Node, field: &str) -> Result<u64> {
    let info = node.info("replication").await?;
    Ok(info.get(field).context("no offset")?.parse()?)
}

#[tokio::test]
async fn whoever_writes_the_moment_a_master_is_announced_succeeds() -> Result<()> {
    let mut system = System::start(Plan::of_many_failovers()).await?;
    system.announce(&["sdown", "odown", "down", "reboot"]);
    let mut master = system.master();
    let (rounds, mut took) = (rounds(5)?, Vec::new());
    for round in 0..rounds {
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
        took.push(ms(killed, announced));
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
    tell(&format!(
        "{rounds} of {rounds} first writes taken; kill -9 to announcement in ms: {}",
        distribution(&mut took)
    ));
    invariants(&system)?;
    system.finish().await
}
