//! What operators tell a gateway: true at all of them, and kept.

use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use vedette_harness::{LIMIT, Plan, System, now, stays, until, within};
use vedette_live::compare::{self, Asked, Form};
use vedette_live::{invariants, tell};

/// A change told at one gateway is visible at the others by then.
const A_SECOND: Duration = Duration::from_secs(1);

async fn ask(at: SocketAddr, words: &[&str]) -> Result<Form> {
    Asked::connect(at).await?.ask(words).await
}

/// One field of the group's master, as this gateway tells it.
async fn field(at: SocketAddr, group: &str, name: &str) -> Option<String> {
    let form = ask(at, &["SENTINEL", "MASTER", group]).await.ok()?;
    form.entry().get(name).cloned()
}

async fn shown_replicas(at: SocketAddr, group: &str) -> usize {
    match ask(at, &["SENTINEL", "REPLICAS", group]).await {
        Ok(Form::Array(entries)) => entries.len(),
        _ => 0,
    }
}

async fn is_unknown(at: SocketAddr, group: &str) -> bool {
    let asked = ask(at, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]).await;
    matches!(asked, Ok(Form::Null(_)))
}

fn ok() -> Form {
    Form::Simple("OK".into())
}

fn error(text: &str) -> Form {
    Form::Error(format!("ERR {text}"))
}

#[tokio::test]
async fn a_setting_is_seen_at_the_other_gateway_within_a_second_and_after_kill_9_of_everything()
-> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    let first = compare::gateway(&mut system, "g1").await?;
    let second = compare::gateway(&mut system, "g2").await?;
    let group = system.group().to_string();
    for (round, value) in ["700", "800", "900"].into_iter().enumerate() {
        let (told, other) = if round % 2 == 0 { (first, second) } else { (second, first) };
        let set = ["SENTINEL", "SET", &group, "down-after-milliseconds", value, "quorum", "1"];
        let answer = ask(told, &set).await?;
        ensure!(answer == ok(), "{answer:?}");
        let told_at = now();
        let here = field(told, &group, "down-after-milliseconds").await;
        ensure!(here.as_deref() == Some(value), "it is answered and cannot be read: {here:?}");
        within(A_SECOND, "the other gateway has it", async || {
            let there = field(other, &group, "down-after-milliseconds").await?;
            (there == value).then_some(())
        })
        .await?;
        tell(&format!("seen at the other gateway after {:?}", told_at.elapsed()));
    }
    // Half of it will not do.
    let set = ["SENTINEL", "SET", &group, "parallel-syncs", "5", "failover-timeout", "1"];
    let answer = ask(first, &set).await?;
    ensure!(matches!(&answer, Form::Error(why) if why.contains("1000 to 3600000")), "{answer:?}");
    for service in &mut system.services {
        service.kill9()?;
    }
    for service in &mut system.services {
        service.start()?;
    }
    for at in [first, second] {
        within(LIMIT, "it is kept", async || {
            let kept = field(at, &group, "down-after-milliseconds").await?;
            (kept == "900").then_some(())
        })
        .await?;
        ensure!(field(at, &group, "quorum").await.as_deref() == Some("1"));
        ensure!(field(at, &group, "parallel-syncs").await.as_deref() == Some("1"));
    }
    invariants(&system)?;
    system.shut_down().await
}

#[tokio::test]
async fn a_group_is_removed_everywhere_and_stays_so_until_it_is_monitored_again() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    let first = compare::gateway(&mut system, "g1").await?;
    let second = compare::gateway(&mut system, "g2").await?;
    let (group, master) = (system.group().to_string(), system.master());
    let no_master = error("No such master with that name");
    ensure!(ask(first, &["SENTINEL", "REMOVE", "nobody"]).await? == no_master);
    ensure!(ask(first, &["SENTINEL", "REMOVE", &group]).await? == ok());
    ensure!(is_unknown(first, &group).await, "it is removed and still told");
    within(A_SECOND, "the other gateway has it", async || {
        is_unknown(second, &group).await.then_some(())
    })
    .await?;
    ensure!(ask(second, &["SENTINEL", "REMOVE", &group]).await? == ok(), "told in turn");
    ensure!(ask(second, &["SENTINEL", "SET", &group, "quorum", "1"]).await? == no_master);
    // The groups file still declares it.
    for id in ["o1", "o2", "v1"] {
        system.service(id)?.restart()?;
    }
    stays(Duration::from_secs(6), async || {
        ensure!(is_unknown(first, &group).await && is_unknown(second, &group).await, "it is back");
        Ok(())
    })
    .await?;
    let port = master.port().to_string();
    let monitor = ["SENTINEL", "MONITOR", &group, master.host(), &port, "2"];
    let answer = ask(second, &monitor).await?;
    ensure!(answer == ok(), "{answer:?}");
    within(A_SECOND, "the other gateway has it", async || {
        (compare::master(first, &group).await.ok()? == master).then_some(())
    })
    .await?;
    ensure!(ask(first, &monitor).await? == ok(), "told in turn");
    let other = ["SENTINEL", "MONITOR", &group, master.host(), "1", "2"];
    ensure!(ask(first, &other).await? == error("Duplicate master name."));
    within(LIMIT, "its replicas are found again", async || {
        (shown_replicas(first, &group).await == 2).then_some(())
    })
    .await?;
    let epoch = field(first, &group, "config-epoch").await.context("no entry")?;
    ensure!(epoch == "2", "a group that is watched again has a new epoch, not {epoch}");
    invariants(&system)?;
    system.shut_down().await
}

#[tokio::test]
async fn reset_forgets_a_dead_replica_and_nothing_while_the_master_is_down() -> Result<()> {
    let mut plan = Plan::default();
    // Nobody can take the master's place, and nobody is forgotten by time alone.
    plan.node_lines.push("replica-priority 0".into());
    plan.settings.push("tombstone_after_ms = 86400000".into());
    let mut system = System::start(plan).await?;
    let at = compare::gateway(&mut system, "g1").await?;
    let group = system.group().to_string();
    let dead = system.nodes[2].kill9()?;
    system.nodes[0].kill9()?;
    within(LIMIT, "the master is objectively down", async || {
        field(at, &group, "flags").await?.contains("o_down").then_some(())
    })
    .await?;
    // By its silence alone it would be forgotten by then.
    until(dead + Duration::from_secs(17)).await;
    ensure!(ask(at, &["SENTINEL", "RESET", "*"]).await? == Form::Integer(1));
    ensure!(shown_replicas(at, &group).await == 2, "one was forgotten while the master was down");
    system.nodes[0].start()?;
    within(Duration::from_secs(60), "the dead replica is forgotten", async || {
        ask(at, &["SENTINEL", "RESET", "ord*"]).await.ok()?;
        (shown_replicas(at, &group).await == 1).then_some(())
    })
    .await?;
    system.nodes[2].start()?;
    within(LIMIT, "it is welcome again", async || {
        (shown_replicas(at, &group).await == 2).then_some(())
    })
    .await?;
    invariants(&system)?;
    system.shut_down().await
}
