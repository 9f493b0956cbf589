//! The durable lane of the masters against a real nats-server with JetStream.

mod support;

use support::{LIMIT, NatsServer, group, master, refused, roster, soon};
use vedette_model::{Health, Service};
use vedette_runtime::Retainer;
use vedette_runtime::retained::founding::{self, Founding};
use vedette_runtime::retained::retained;

#[tokio::test]
async fn the_newest_record_of_a_group_is_kept_whoever_writes_and_in_whatever_order() {
    let server = NatsServer::with_jetstream().await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    let other = server.bus(Service::Orchestrator, "o2", 2).await;
    assert_eq!(retained(&bus, &group("orders.eu"), LIMIT).await.unwrap(), None);

    let kept = || async { retained(&bus, &group("orders.eu"), LIMIT).await.unwrap() };
    let (one, two) = (Retainer::spawn(&bus), Retainer::spawn(&other));
    one.retain(master("orders.eu", 5, 50, 6001));
    assert!(one.drain(LIMIT).await);
    assert_eq!(kept().await, Some(master("orders.eu", 5, 50, 6001)));

    // A lower epoch with a higher revision, the same epoch with a lower one, the same again.
    for stale in [
        master("orders.eu", 4, 60, 6002),
        master("orders.eu", 5, 49, 6003),
        master("orders.eu", 5, 50, 6004),
    ] {
        two.retain(stale);
        assert!(two.drain(LIMIT).await);
        assert_eq!(kept().await, Some(master("orders.eu", 5, 50, 6001)));
    }
    two.retain(master("orders.eu", 5, 51, 6005));
    assert!(two.drain(LIMIT).await);
    assert_eq!(kept().await, Some(master("orders.eu", 5, 51, 6005)));
    assert_eq!(one.health(), Health::Well);
}

#[tokio::test]
async fn writers_that_race_agree_on_the_newest() {
    let server = NatsServer::with_jetstream().await;
    let mut retainers = Vec::new();
    for number in 0..4 {
        let bus = server.bus(Service::Orchestrator, &format!("o{number}"), number).await;
        retainers.push((Retainer::spawn(&bus), bus));
    }
    for epoch in 1..=40 {
        for (number, (retainer, _)) in (0..).zip(&retainers) {
            for name in ["one", "two", "three"] {
                retainer.retain(master(name, epoch, epoch * 10 + number, 6000));
            }
        }
    }
    for (retainer, _) in &retainers {
        assert!(retainer.drain(LIMIT).await);
    }
    for name in ["one", "two", "three"] {
        let kept = retained(&retainers[0].1, &group(name), LIMIT).await.unwrap();
        assert_eq!(kept, Some(master(name, 40, 403, 6000)));
    }
}

#[tokio::test]
async fn garbage_is_overwritten_and_a_later_versions_record_is_not() {
    let server = NatsServer::with_jetstream().await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    let retainer = Retainer::spawn(&bus);
    retainer.retain(master("first", 1, 1, 6000));
    assert!(retainer.drain(LIMIT).await);

    let jetstream = async_nats::jetstream::new(bus.client().clone());
    let bucket = jetstream.get_key_value("vedette-masters").await.unwrap();
    bucket.put("garbled", "not json".into()).await.unwrap();
    bucket.put("later", r#"{"schema":2}"#.into()).await.unwrap();
    bucket.put("deleted", "whatever".into()).await.unwrap();
    bucket.delete("deleted").await.unwrap();

    for name in ["garbled", "deleted"] {
        retainer.retain(master(name, 1, 1, 6000));
        assert!(retainer.drain(LIMIT).await);
        let kept = retained(&bus, &group(name), LIMIT).await.unwrap();
        assert_eq!(kept, Some(master(name, 1, 1, 6000)));
    }
    retainer.retain(master("later", 1, 1, 6000));
    assert!(retainer.drain(LIMIT).await);
    let text = refused(retained(&bus, &group("later"), LIMIT).await).to_string();
    assert!(text.contains('2'), "{text}");
    assert_eq!(bucket.get("later").await.unwrap().unwrap(), r#"{"schema":2}"#);
}

#[tokio::test]
async fn a_bucket_deleted_meanwhile_is_made_again() {
    let server = NatsServer::with_jetstream().await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    let retainer = Retainer::spawn(&bus);
    retainer.retain(master("orders", 1, 1, 6000));
    assert!(retainer.drain(LIMIT).await);
    let jetstream = async_nats::jetstream::new(bus.client().clone());
    jetstream.delete_key_value("vedette-masters").await.unwrap();
    retainer.retain(master("orders", 2, 2, 6000));
    assert!(soon(retainer.drain(LIMIT)).await);
    let kept = retained(&bus, &group("orders"), LIMIT).await.unwrap();
    assert_eq!(kept, Some(master("orders", 2, 2, 6000)));
}

#[tokio::test]
async fn of_all_who_begin_at_once_one_does_and_all_hear_of_it() {
    let server = NatsServer::with_jetstream().await;
    let mut trying = Vec::new();
    for id in ["a", "b", "c", "d"] {
        let bus = server.bus(Service::Client, id, 1).await;
        let wanted = Founding::first(roster(1, &[id]));
        trying.push(tokio::spawn(async move { founding::begin(&bus, &wanted).await.unwrap() }));
    }
    let mut heard = Vec::new();
    for one in trying {
        heard.push(soon(one).await.unwrap());
    }
    assert!(heard.windows(2).all(|two| two[0] == two[1]), "{heard:?}");
    let bus = server.bus(Service::Client, "e", 1).await;
    assert_eq!(founding::read(&bus).await.unwrap().as_ref(), heard.first());

    let news = Founding { founded: true, ..Founding::first(roster(2, &["a", "b"])) };
    assert_eq!(founding::keep(&bus, &news).await.unwrap(), news);
    let old = Founding::first(roster(1, &["a"]));
    assert_eq!(founding::keep(&bus, &old).await.unwrap(), news, "it never goes back");
    assert_eq!(founding::begin(&bus, &old).await.unwrap(), news);
}

#[tokio::test]
async fn nobody_begins_over_what_cannot_be_read() {
    let server = NatsServer::with_jetstream().await;
    let bus = server.bus(Service::Client, "a", 1).await;
    assert_eq!(founding::read(&bus).await.unwrap(), None);
    let jetstream = async_nats::jetstream::new(bus.client().clone());
    let bucket = jetstream.get_key_value("vedette-founding").await.unwrap();
    bucket.put("roster", r#"{"later":1}"#.into()).await.unwrap();
    let wanted = Founding::first(roster(1, &["a"]));
    refused(founding::begin(&bus, &wanted).await);
    bucket.delete("roster").await.unwrap();
    assert_eq!(founding::begin(&bus, &wanted).await.unwrap(), wanted);
}
