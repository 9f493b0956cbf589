//! The gateway on real servers: beside a real Sentinel, and through a failover.

use anyhow::{Context as _, Result, ensure};
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Plan, System, within};
use vedette_live::compare::{self, Asked, Form, Sentinel, commands, differences};
use vedette_live::{finish, switched, tell, writing};

/// What is meant to differ: a part of the command, and why.
const MEANT: [(&str, &str); 3] = [
    ("QUIT", "a Sentinel does not know QUIT; people and HAProxy's checks send it"),
    ("SENTINEL SENTINELS", "there is one Sentinel in this test, and one gateway"),
    ("CLIENT SETINFO", "it came with Redis 7.2; Debian's Sentinel is older"),
];

#[tokio::test]
async fn it_answers_as_a_sentinel_does() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    let gateway = compare::gateway(&mut system, "g1").await?;
    let folder = system.path()?.join("sentinel");
    std::fs::create_dir(&folder)?;
    let sentinel = Sentinel::watching(&system, &folder).await?;
    let group = system.group().to_string();
    within(LIMIT, "the gateway has seen all nodes", async || {
        let mut asked = Asked::connect(gateway).await.ok()?;
        let form = asked.ask(&["SENTINEL", "REPLICAS", &group]).await.ok()?;
        let Form::Array(entries) = form else { return None };
        let seen = |form: &Form| form.entry().get("flags").is_some_and(|flags| flags == "slave");
        (entries.len() == 2 && entries.iter().all(seen)).then_some(())
    })
    .await?;
    let (found, count) = differences(sentinel.at, gateway, &commands(&group)).await?;
    let meant = |asked: &str| MEANT.iter().any(|(part, _)| asked.contains(part));
    let (meant, open): (Vec<_>, Vec<_>) = found.into_iter().partition(|d| meant(&d.asked));
    tell(&format!("{count} answers compared, {} differ as is meant", meant.len()));
    for difference in &open {
        tell(&format!(
            "{}\n  sentinel {}\n  gateway  {}",
            difference.asked, difference.sentinel, difference.gateway
        ));
    }
    ensure!(open.is_empty(), "{} answers differ", open.len());
    system.finish().await
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
