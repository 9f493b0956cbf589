//! The gateway on real servers: beside real Sentinels, and through a failover.

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Plan, System, within};
use vedette_live::compare::{self, Asked, Form};
use vedette_live::{finish, switched, tell, writing};

#[tokio::test]
async fn it_answers_as_a_sentinel_does_but_for_what_the_table_says() -> Result<()> {
    let report = compare::run().await?;
    tell(&format!("{} answers compared, {} differ", report.count, report.found.len()));
    for difference in report.found.iter().filter(|found| found.why.is_none()) {
        tell(&difference.to_string());
    }
    let faults = report.faults();
    ensure!(faults.is_empty(), "see docs/migration.md:\n{}", faults.join("\n"));
    Ok(())
}

#[tokio::test]
async fn subscribers_hear_of_a_failover_and_can_read_it_at_once() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert"]);
    let (first, second) =
        (compare::gateway(&mut system, "g1").await?, compare::gateway(&mut system, "g2").await?);
    let (group, old) = (system.group().to_string(), system.master());
    let mut listening = Vec::new();
    for at in [first, second] {
        let mut asked = Asked::connect(at).await?;
        let _ = asked.ask(&["HELLO", "3"]).await?;
        let _ = asked.ask(&["SUBSCRIBE", "+switch-master"]).await?;
        listening.push((at, asked));
        ensure!(compare::master(at, &group).await? == old);
    }
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let killed = system.nodes[0].kill9()?;
    let switch = switched(&system, &writer, mark, &old, killed).await?;
    let new = switch.master.master.clone();
    for (at, asked) in &mut listening {
        let Form::Push(message) = asked.reply().await? else { anyhow::bail!("no push") };
        let wanted = format!("{group} {} {} {} {}", old.host(), old.port(), new.host(), new.port());
        ensure!(message[2].text() == wanted, "{message:?}");
        ensure!(compare::master(*at, &group).await? == new, "it is told and cannot be read");
    }
    let mut asked = Asked::connect(first).await?;
    let master = asked.ask(&["SENTINEL", "MASTER", &group]).await?.entry();
    let field = |name: &str| master.get(name).map(String::as_str).context("a field is missing");
    ensure!(field("flags")? == "master" && field("num-other-sentinels")? == "1", "{master:?}");
    ensure!(field("config-epoch")? == "2", "{master:?}");
    let Form::Array(others) = asked.ask(&["SENTINEL", "SENTINELS", &group]).await? else {
        anyhow::bail!("no list")
    };
    ensure!(others[0].entry().get("port") == Some(&second.port().to_string()), "{others:?}");
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&new).await?;
    finish(system, writer, &new).await
}

#[tokio::test]
async fn without_a_majority_of_voters_the_door_is_shut() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["voter", "clients are turned away"]);
    let at = compare::gateway(&mut system, "g1").await?;
    let mut there = Asked::connect(at).await?;
    let _ = there.ask(&["PING"]).await?;
    for id in ["v1", "v2"] {
        system.service(id)?.kill9()?;
    }
    within(LIMIT, "connecting is refused", async || {
        TcpStream::connect(at).await.is_err().then_some(())
    })
    .await?;
    ensure!(there.ask(&["PING"]).await.is_err(), "a client is still served");
    for id in ["v1", "v2"] {
        system.service(id)?.start()?;
    }
    within(LIMIT, "clients are let in again", async || TcpStream::connect(at).await.ok().map(drop))
        .await?;
    ensure!(compare::master(at, system.group().as_str()).await? == system.master());
    system.finish().await
}
