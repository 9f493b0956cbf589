//! The durable lane of the masters against a real cluster of three.

mod support;

use std::time::Duration;
use support::{LIMIT, bus, eventually, group, master};
use vedette_harness::within;
use vedette_model::{Health, Service};
use vedette_runtime::Retainer;
use vedette_runtime::retained::retained;

/// Electing leaders takes JetStream some seconds each time.
const ELECTION_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_cluster_keeps_three_copies_and_a_lost_majority_is_said_and_made_up_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let servers = vedette_harness::NatsServer::start(3, true, folder.path()).await;
    let mut servers = servers.expect("a cluster");
    // On the first server, which will stay.
    let bus = bus(servers[0].url(), Service::Orchestrator, "o1", 1).await;
    let retainer = Retainer::spawn(&bus);
    retainer.retain(master("orders", 1, 1, 6000));
    assert!(retainer.drain(ELECTION_LIMIT).await, "{:?}", retainer.health());

    let jetstream = async_nats::jetstream::new(bus.client().clone());
    let copies = || async {
        let bucket = jetstream.get_key_value("vedette-masters").await;
        bucket.is_ok_and(|bucket| bucket.stream.cached_info().config.num_replicas == 3)
    };
    eventually("there are three copies", copies).await;

    for server in &mut servers[1..] {
        server.kill9().expect("it runs");
    }
    retainer.retain(master("orders", 2, 2, 6001));
    let mut health = retainer.watch_health();
    let impaired = health.wait_for(|health| matches!(health, Health::Impaired(_)));
    let text = format!("{:?}", tokio::time::timeout(ELECTION_LIMIT, impaired).await);
    assert!(text.contains("jetstream does not answer") && text.contains("start the"), "{text}");

    for server in &mut servers[1..] {
        server.start().expect("it can be started");
    }
    assert!(retainer.drain(ELECTION_LIMIT).await, "{:?}", retainer.health());
    // The bucket's leader may be another one again, and is asked until it answers.
    let kept = within(ELECTION_LIMIT, "it can be read", async || {
        retained(&bus, &group("orders"), LIMIT).await.ok()
    });
    assert_eq!(kept.await.expect("it can be read"), Some(master("orders", 2, 2, 6001)));
}
