//! The harness against real servers, without any service.

use anyhow::{Result, ensure};
use async_nats::HeaderMap;
use std::time::Duration;
use vedette_harness::{LIMIT, NatsServer, Node, Plan, Spy, System, Watcher, Writer, pick, within};
use vedette_model::{
    Epoch, Fact, GroupName, GroupRecord, MasterRecord, Quorum, Revision, Sender, Service, Settings,
};
use vedette_wire::{Header, Subjects, encode};

async fn announce(url: &str, node: &Node, epoch: u64) -> Result<()> {
    let group = GroupName::parse(vedette_harness::GROUP)?;
    let settings = Settings::with_quorum(Quorum::parse(1)?);
    let first = GroupRecord::first(group, node.addr().clone(), settings);
    let (epoch, revision) = (Epoch(epoch), Revision(epoch));
    let record = GroupRecord { epoch, revision, ..first };
    let fact = Fact::MasterRecord(MasterRecord::from(&record));
    let header = Header {
        kind: fact.kind(),
        sender: Sender::parse(Service::Client, "test", 1)?,
        sequence: epoch.0,
        sent_at_ms: 0,
        traceparent: None,
        tracestate: None,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in header.to_pairs() {
        headers.insert(name, value);
    }
    let subject = Subjects::parse("vedette")?.of(&fact).unwrap_or_default();
    let client = async_nats::connect(url).await?;
    client.publish_with_headers(subject, headers, encode(&fact)?.into()).await?;
    client.flush().await?;
    Ok(())
}

#[tokio::test]
async fn a_writer_follows_the_announced_master_and_never_an_older_epoch() -> Result<()> {
    let mut system = System::start_servers(Plan { jetstream: false, ..Plan::default() }).await?;
    let (old, new) = (system.master(), system.nodes[1].addr().clone());
    let writer = system.writer().await?;
    writer.write_on(&old, vedette_harness::now(), LIMIT).await?;

    let spy = Spy::on(&system.nodes[2]).await?;
    let killed = system.nodes[0].kill9()?;
    system.nodes[1].command::<()>(&["REPLICAOF", "NO", "ONE"]).await?;
    let (host, port) = (new.host().to_string(), new.port().to_string());
    system.nodes[2].command::<()>(&["REPLICAOF", &host, &port]).await?;
    system.all_follow(&new).await?;
    ensure!(spy.changes(&system.nodes[2]).await?.contains_key("replicaof"));

    announce(&system.urls()[0], &system.nodes[1], 2).await?;
    writer.write_on(&new, killed, LIMIT).await?;
    announce(&system.urls()[0], &system.nodes[0], 1).await?;
    let (_, stale) = system
        .watcher
        .wait(0, LIMIT, "the older epoch", |fact| {
            pick::master(fact).filter(|record| record.epoch == Epoch(1)).cloned()
        })
        .await?;
    ensure!(stale.master == old);
    let now = vedette_harness::now();
    writer.write_on(&new, now, LIMIT).await?;
    let writes = writer.stop().await?;
    ensure!(writes.nothing_received_is_missing_on(&system.nodes[1]).await? > 0);

    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    ensure!(system.nodes[0].is_master().await, "a returning master knows no better");
    system.finish().await
}

#[tokio::test]
async fn a_lost_write_is_found_out() -> Result<()> {
    let system = System::start_servers(Plan { jetstream: false, ..Plan::default() }).await?;
    let writer = system.writer().await?;
    within(LIMIT, "a write that a replica received", async || {
        writer.acknowledged().iter().find(|write| write.received).map(|_| ())
    })
    .await?;
    let writes = writer.stop().await?;
    system.nodes[0].command::<()>(&["FLUSHALL"]).await?;
    ensure!(writes.nothing_received_is_missing_on(&system.nodes[0]).await.is_err());
    system.finish().await
}

#[tokio::test]
async fn a_cluster_of_three_forms_and_a_watcher_hears_each_message_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut servers = NatsServer::start(3, true, folder.path()).await?;
    let urls: Vec<String> = servers.iter().map(|server| server.url().to_string()).collect();
    let node = Node::start("redis1", folder.path(), None, None, &[]).await?;
    let watcher = Watcher::start(&urls, "vedette").await?;
    let epoch = |wanted| {
        move |fact: &Fact| {
            pick::master(fact).filter(|record| record.epoch == Epoch(wanted)).map(|_| ())
        }
    };
    announce(&urls[2], &node, 1).await?;
    watcher.wait(0, LIMIT, "epoch 1", epoch(1)).await?;
    servers[0].kill9()?;
    announce(&urls[2], &node, 2).await?;
    watcher.wait(0, LIMIT, "epoch 2", epoch(2)).await?;
    let seen = watcher.since(0);
    ensure!(seen.iter().all(|seen| seen.subject.ends_with(".master.orders=2Eeu")));
    ensure!(seen.len() == 2, "{seen:?}");
    Ok(())
}

#[tokio::test]
async fn a_stopped_node_is_silent_and_goes_on_when_continued() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let node = Node::start("redis1", folder.path(), None, Some("secret"), &[]).await?;
    node.stop()?;
    ensure!(node.command::<String>(&["PING"]).await.is_err(), "a stopped node answered");
    node.cont()?;
    within(LIMIT, "PONG", async || node.command::<String>(&["PING"]).await.ok()).await?;
    let refused = Writer::start(&[], "vedette", &GroupName::parse("g")?, node.addr(), None).await;
    ensure!(refused.is_err(), "a writer needs NATS");
    ensure!(within(Duration::from_millis(20), "never", async || None::<()>).await.is_err());
    Ok(())
}
