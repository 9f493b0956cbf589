//! The durable lane of the masters against a real cluster of three.

mod support;

use std::time::Duration;
use support::{LIMIT, NatsServer, eventually, free_port, group, master};
use vedette_model::{Health, Sender, Service};
use vedette_runtime::retained::retained;
use vedette_runtime::{Bus, NatsConfig, Retainer, Shutdown};

/// Electing leaders takes JetStream some seconds each time.
const ELECTION_LIMIT: Duration = Duration::from_secs(60);

fn arguments(name: &str, routes: &[u16; 3], own: usize) -> Vec<String> {
    let urls: Vec<_> = routes.iter().map(|port| format!("nats://127.0.0.1:{port}")).collect();
    let cluster = ["--cluster", &urls[own], "--cluster_name", "test", "--routes", &urls.join(",")];
    let own = ["--jetstream", "--server_name", name];
    own.iter().chain(&cluster).map(ToString::to_string).collect()
}

#[tokio::test]
async fn a_cluster_keeps_three_copies_and_a_lost_majority_is_said_and_made_up_for() {
    let routes = [free_port(), free_port(), free_port()];
    let mut servers = Vec::new();
    let mut flags = Vec::new();
    for (own, name) in ["a", "b", "c"].iter().enumerate() {
        let arguments = arguments(name, &routes, own);
        let borrowed: Vec<_> = arguments.iter().map(String::as_str).collect();
        servers.push(NatsServer::start(&borrowed).await);
        flags.push(arguments);
    }
    // On the first server, which will stay.
    let config = NatsConfig { servers: vec![servers[0].url()], ..NatsConfig::default() };
    let sender = Sender::parse(Service::Orchestrator, "o1", 1).expect("a sender");
    let bus = Bus::connect(&config, sender, &Shutdown::new()).await.expect("a bus");
    let retainer = Retainer::spawn(&bus);
    retainer.retain(master("orders", 1, 1, 6000));
    assert!(retainer.drain(ELECTION_LIMIT).await, "{:?}", retainer.health());

    let jetstream = async_nats::jetstream::new(bus.client().clone());
    let copies = || async {
        let bucket = jetstream.get_key_value("vedette-masters").await;
        bucket.is_ok_and(|bucket| bucket.stream.cached_info().config.num_replicas == 3)
    };
    eventually("there are three copies", copies).await;

    servers[1].kill();
    servers[2].kill();
    retainer.retain(master("orders", 2, 2, 6001));
    let mut health = retainer.watch_health();
    let impaired = health.wait_for(|health| matches!(health, Health::Impaired(_)));
    let text = format!("{:?}", tokio::time::timeout(ELECTION_LIMIT, impaired).await);
    assert!(text.contains("jetstream does not answer") && text.contains("start the"), "{text}");

    for (server, flags) in servers.iter_mut().zip(&flags).skip(1) {
        let borrowed: Vec<_> = flags.iter().map(String::as_str).collect();
        server.restart(&borrowed).await;
    }
    assert!(retainer.drain(ELECTION_LIMIT).await, "{:?}", retainer.health());
    let kept = retained(&bus, &group("orders"), LIMIT).await.expect("it can be read");
    assert_eq!(kept, Some(master("orders", 2, 2, 6001)));
}
