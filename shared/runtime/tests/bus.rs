//! The fast lane against a real nats-server.

mod support;

use async_nats::jetstream::consumer::{AckPolicy, pull, push};
use async_nats::jetstream::{self, stream};
use futures::StreamExt;
use std::time::Duration;
use support::{LIMIT, NatsServer, eventually, free_port, group, refused, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vedette_model::{
    Digest, DigestReply, Fact, FactKind, MasterQuery, Revision, Secret, Sender, Service,
    StatusQuery, VoterId,
};
use vedette_runtime::bus::BusError;
use vedette_runtime::{Bus, NatsConfig, Shutdown};

fn digest(revision: u64) -> Fact {
    Digest { have: vec![(group("orders"), Revision(revision))] }.into()
}

#[tokio::test]
async fn a_fact_goes_round_with_its_header_and_its_answer_comes_back() {
    let server = NatsServer::start(&[]).await;
    let asker = server.bus(Service::Orchestrator, "o1", 0xabc).await;
    let voter = server.bus(Service::Voter, "v1", 7).await;
    let mut at_voter = voter.subscribe(&[FactKind::Digest]).await.unwrap();
    let mut at_asker = asker.subscribe(&[]).await.unwrap();

    asker.publish(&digest(1)).await;
    asker.publish(&digest(2)).await;
    let first = soon(at_voter.recv()).await.unwrap();
    let second = soon(at_voter.recv()).await.unwrap();
    assert_eq!((&first.fact, &second.fact), (&digest(1), &digest(2)));
    let (one, two) = (first.header.unwrap(), second.header.unwrap());
    assert_eq!(&one.sender, asker.sender());
    assert!(one.sequence < two.sequence);
    assert!(one.sent_at_ms > 1_700_000_000_000, "{}", one.sent_at_ms);

    let to = first.reply_to.unwrap();
    assert_eq!(to, "vedette.v1.reply.orchestrator.o1.0000000000000abc");
    let voter_id = VoterId::parse("v1").unwrap();
    let answer: Fact =
        DigestReply { voter: voter_id, records: vec![], unsettled: vec![], more: false }.into();
    voter.reply(&to, &answer).await;
    let heard = soon(at_asker.recv()).await.unwrap();
    assert_eq!(heard.fact, answer);
    assert_eq!(heard.header.unwrap().sender, *voter.sender());
}

#[tokio::test]
async fn a_fact_of_an_incident_carries_its_trace() {
    let server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    let mut heard = bus.subscribe(&[FactKind::MasterRecord]).await.unwrap();
    let record = support::master("orders", 3, 9, 6379);
    bus.publish(&record.clone().into()).await;
    let received = soon(heard.recv()).await.unwrap();
    let parent = received.header.unwrap().traceparent.unwrap();
    assert!(parent.starts_with(&format!("00-{}-", record.trace_id)), "{parent}");
    assert_eq!(received.fact, Fact::MasterRecord(record));
}

#[tokio::test]
async fn garbage_is_dropped_and_counted_and_what_follows_is_understood() {
    let server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Voter, "v1", 1).await;
    let other = server.bus(Service::Orchestrator, "o1", 1).await;
    let mut heard = bus.subscribe(&[FactKind::Digest]).await.unwrap();
    let mut seen = other.everything().await.unwrap();

    let garbage = async_nats::connect(server.url()).await.unwrap();
    garbage.publish("vedette.v1.digest", "no headers at all".into()).await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Vedette-Schema", "99");
    garbage.publish_with_headers("vedette.v1.digest", headers, "".into()).await.unwrap();
    garbage.flush().await.unwrap();
    eventually("both are counted", || async { bus.garbage() == 2 }).await;

    other.publish(&digest(5)).await;
    assert_eq!(soon(heard.recv()).await.unwrap().fact, digest(5));
    assert_eq!(bus.garbage(), 2);

    let first = soon(seen.recv()).await.unwrap();
    assert_eq!((first.subject.as_str(), first.bytes), ("vedette.v1.digest", 17));
    assert_eq!(refused(first.received).reason(), "header");
    assert_eq!(refused(soon(seen.recv()).await.unwrap().received).reason(), "schema");
    assert_eq!(soon(seen.recv()).await.unwrap().received.unwrap().fact, digest(5));
}

#[tokio::test]
async fn what_a_stream_hands_over_is_no_fact() {
    let server = NatsServer::with_jetstream().await;
    let bus = server.bus(Service::Voter, "v1", 1).await;
    let other = server.bus(Service::Orchestrator, "o1", 1).await;
    let mut heard = bus.subscribe(&[FactKind::Digest]).await.unwrap();
    let client = async_nats::connect(server.url()).await.unwrap();
    let mut plain = client.subscribe("vedette.v1.digest").await.unwrap();
    // Its answer says that the subscription before it is there, too.
    let jetstream = jetstream::new(client.clone());
    let subjects = vec!["theirs".into()];
    let name = "theirs".into();
    let config = stream::Config { name, subjects, allow_direct: true, ..stream::Config::default() };
    let stream = jetstream.create_stream(config).await.unwrap();
    other.publish(&digest(1)).await;
    assert_eq!(soon(heard.recv()).await.unwrap().fact, digest(1));
    let said = soon(plain.next()).await.unwrap();

    // Somebody who may not say it has a stream keep it, and say it.
    let kept = jetstream.publish_with_headers("theirs", said.headers.unwrap(), said.payload);
    kept.await.unwrap().await.unwrap();
    for ack_policy in [AckPolicy::None, AckPolicy::Explicit] {
        let deliver_subject = "vedette.v1.digest".into();
        let config = push::Config { deliver_subject, ack_policy, ..push::Config::default() };
        stream.create_consumer(config).await.unwrap();
        assert!(soon(plain.next()).await.unwrap().reply.is_some(), "{ack_policy:?}");
    }
    let config = pull::Config::default();
    let name = stream.create_consumer(config).await.unwrap().cached_info().name.clone();
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.theirs.{name}");
    client.publish_with_reply(next, "vedette.v1.digest", "1".into()).await.unwrap();
    assert!(soon(plain.next()).await.unwrap().reply.is_some(), "one that is asked for");
    let direct = "$JS.API.DIRECT.GET.theirs.theirs";
    client.publish_with_reply(direct, "vedette.v1.digest", "".into()).await.unwrap();
    assert!(soon(plain.next()).await.unwrap().reply.is_none(), "one without a consumer");
    other.publish(&digest(2)).await;
    assert_eq!(soon(heard.recv()).await.unwrap().fact, digest(2), "nothing between the two");
}

#[tokio::test]
async fn an_application_asks_for_a_master_without_our_headers() {
    let server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    let mut heard = bus.subscribe(&[FactKind::MasterQuery]).await.unwrap();
    let application = async_nats::connect(server.url()).await.unwrap();
    let asking = application.request("vedette.v1.ask.master.orders=2Eeu", "".into());
    let answering = async {
        let received = heard.recv().await.unwrap();
        assert_eq!(received.header, None);
        assert_eq!(received.fact, MasterQuery { group: group("orders.eu") }.into());
        let record = support::master("orders.eu", 2, 2, 6379);
        bus.reply(&received.reply_to.unwrap(), &record.into()).await;
    };
    let (answer, ()) = soon(async { tokio::join!(asking, answering) }).await;
    let answer: serde_json::Value = serde_json::from_slice(&answer.unwrap().payload).unwrap();
    assert_eq!(answer["master"], "10.0.0.1:6379");
}

#[tokio::test]
async fn a_question_that_nobody_hears_is_no_garbage() {
    let server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Client, "c1", 1).await;
    let mut heard = bus.subscribe(&[]).await.unwrap();
    // NATS answers this one on our reply subject: "no responders".
    bus.publish(&StatusQuery::default().into()).await;
    let to = bus.subjects().reply(bus.sender());
    let answer: Fact = support::master("orders", 1, 1, 6379).into();
    bus.reply(&to, &answer).await;
    assert_eq!(soon(heard.recv()).await.unwrap().fact, answer);
    assert_eq!(bus.garbage(), 0);
}

#[tokio::test]
async fn a_slow_receiver_loses_nothing_within_the_buffers() {
    let server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Voter, "v1", 1).await;
    let mut heard = bus.subscribe(&[FactKind::Digest]).await.unwrap();
    for revision in 0..5_000 {
        bus.publish(&digest(revision)).await;
    }
    bus.flush(LIMIT).await.unwrap();
    for revision in 0..5_000 {
        assert_eq!(soon(heard.recv()).await.unwrap().fact, digest(revision));
    }
    assert_eq!(bus.unsent(), 0);
}

#[tokio::test]
async fn subscriptions_survive_a_restart_of_the_server() {
    let mut server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Voter, "v1", 1).await;
    let mut heard = bus.subscribe(&[FactKind::Digest]).await.unwrap();
    server.kill();
    eventually("the outage is noticed", || async { !bus.is_connected() }).await;
    server.restart(&[]).await;
    eventually("the bus reconnects", || async { bus.is_connected() }).await;
    let other = server.bus(Service::Orchestrator, "o1", 1).await;
    // Whether the subscription stands again cannot be asked: say it until it is heard.
    let saying = async {
        loop {
            other.publish(&digest(1)).await;
            if let Ok(heard) = tokio::time::timeout(Duration::from_millis(50), heard.recv()).await {
                return heard;
            }
        }
    };
    assert_eq!(soon(saying).await.unwrap().fact, digest(1));
}

#[tokio::test]
async fn a_server_that_is_stopped_is_left_for_another() {
    let servers = [NatsServer::start(&[]).await, NatsServer::start(&[]).await];
    let urls = servers.iter().map(NatsServer::url).collect();
    let config = NatsConfig { servers: urls, ..NatsConfig::default() };
    let sender = Sender::parse(Service::Voter, "v1", 1).unwrap();
    let bus = Bus::connect(&config, sender, &Shutdown::new()).await.unwrap();
    let port = || bus.client().server_info().port;
    let first = port();
    servers.iter().find(|server| server.port == first).unwrap().stop();
    eventually("the other one serves", || async { port() != first }).await;
    let mut heard = bus.subscribe(&[FactKind::Digest]).await.unwrap();
    bus.publish(&digest(1)).await;
    assert_eq!(soon(heard.recv()).await.unwrap().fact, digest(1));
}

#[tokio::test]
async fn without_a_server_publishing_neither_blocks_nor_grows() {
    let mut server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Prober, "p1", 1).await;
    server.kill();
    eventually("the outage is noticed", || async { !bus.is_connected() }).await;
    let many = async {
        for revision in 0..20_000 {
            bus.publish(&digest(revision)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), many).await.expect("publishing blocks");
    assert!(bus.unsent() > 10_000, "only {} were dropped", bus.unsent());
}

#[tokio::test]
async fn waiting_for_a_first_server_ends_with_the_shutdown_or_the_server() {
    let config = NatsConfig {
        servers: vec![format!("nats://127.0.0.1:{}", free_port())],
        ..NatsConfig::default()
    };
    let shutdown = Shutdown::new();
    let sender = Sender::parse(Service::Voter, "v1", 1).unwrap();
    let stop = async {
        tokio::task::yield_now().await;
        shutdown.trigger("test");
    };
    let connecting = Bus::connect(&config, sender.clone(), &shutdown);
    let (outcome, ()) = soon(async { tokio::join!(connecting, stop) }).await;
    assert!(matches!(refused(outcome.map(|_| ())), BusError::Stopped));

    let mut server = NatsServer::start(&[]).await;
    server.kill();
    let (config, shutdown) = (server.config(), Shutdown::new());
    let connecting = Bus::connect(&config, sender, &shutdown);
    let (outcome, ()) = soon(async { tokio::join!(connecting, server.restart(&[])) }).await;
    assert!(outcome.unwrap().is_connected());
}

#[tokio::test]
async fn a_refused_login_is_said_at_once_and_without_the_password() {
    let server = NatsServer::start(&["--user", "vedette", "--pass", "right"]).await;
    let mut config = server.config();
    config.user = Some("vedette".into());
    config.password = Some(Secret::new("wrong".into()));
    let sender = Sender::parse(Service::Voter, "v1", 1).unwrap();
    let error =
        refused(soon(Bus::connect(&config, sender.clone(), &Shutdown::new())).await.map(|_| ()));
    let text = error.to_string();
    assert!(matches!(error, BusError::Denied { .. }) && text.contains("nats.user"), "{text}");
    assert!(!text.contains("wrong"), "{text}");
    config.password = Some(Secret::new("right".into()));
    assert!(soon(Bus::connect(&config, sender, &Shutdown::new())).await.is_ok());
}

#[tokio::test]
async fn a_server_too_old_is_refused_with_the_remedy() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let old = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let info = r#"INFO {"server_id":"A","server_name":"old","version":"2.9.10","host":"127.0.0.1","port":1,"headers":true,"max_payload":1048576,"proto":1}"#;
        socket.write_all(format!("{info}\r\n").as_bytes()).await.unwrap();
        let (mut heard, mut buffer) = (String::new(), [0; 1024]);
        while !heard.contains("PING") {
            let count = socket.read(&mut buffer).await.unwrap();
            heard.push_str(&String::from_utf8_lossy(&buffer[..count]));
        }
        socket.write_all(b"PONG\r\n").await.unwrap();
        socket
    });
    let servers = vec![format!("nats://127.0.0.1:{port}")];
    let config = NatsConfig { servers, ..NatsConfig::default() };
    let sender = Sender::parse(Service::Voter, "v1", 1).unwrap();
    let outcome = soon(Bus::connect(&config, sender, &Shutdown::new())).await;
    let text = refused(outcome.map(|_| ())).to_string();
    assert!(text.contains("2.9.10") && text.contains("2.10") && text.contains("pip install"));
    old.await.unwrap();
}
