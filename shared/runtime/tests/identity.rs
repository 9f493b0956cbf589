//! One process per service and id, against a real nats-server.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod support;

use support::{NatsServer, place, refused, soon};
use vedette_model::{Fact, FactKind, Health, Heartbeat, Host, HostName, Place, Service};
use vedette_runtime::Bus;
use vedette_runtime::identity::{IdentityError, claim};

/// Answers every status query as a running service would.
async fn run(bus: Bus) {
    let mut heard = bus.subscribe(&[FactKind::StatusQuery]).await.unwrap();
    tokio::spawn(async move {
        let mut tick = 12;
        while let Some(received) = heard.recv().await {
            if !matches!(received.fact, Fact::StatusQuery(_)) {
                continue;
            }
            tick += 1;
            let me = bus.sender().clone();
            let alive = Heartbeat {
                service: me.service,
                id: me.id,
                incarnation: me.incarnation,
                tick,
                place: Place::parse("elsewhere").unwrap(),
                health: Health::Well,
                roster: None,
                standings: vec![],
                serves: None,
                back: false,
                host: None,
            };
            bus.reply(&received.reply_to.unwrap(), &alive.into()).await;
        }
    });
}

#[tokio::test]
async fn a_running_process_keeps_its_name_whatever_the_incarnations() {
    let server = NatsServer::start(&[]).await;
    run(server.bus(Service::Voter, "v1", 0x50).await).await;
    for incarnation in [0x10, 0x90] {
        let late = server.bus(Service::Voter, "v1", incarnation).await;
        let text = refused(soon(claim(&late, &place())).await).to_string();
        for wanted in ["voter/v1", "elsewhere", "0000000000000050", "here", "--id"] {
            assert!(text.contains(wanted), "{wanted} is not in: {text}");
        }
        assert!(text.contains(&format!("{incarnation:016x}")), "{text}");
    }
}

#[tokio::test]
async fn other_ids_and_other_services_do_not_clash() {
    let server = NatsServer::start(&[]).await;
    run(server.bus(Service::Voter, "v1", 0x50).await).await;
    let other_id = server.bus(Service::Voter, "v2", 1).await;
    let other_service = server.bus(Service::Prober, "v1", 1).await;
    let here = place();
    let both = async { tokio::join!(claim(&other_id, &here), claim(&other_service, &here)) };
    let (one, two) = soon(both).await;
    one.unwrap();
    two.unwrap();
}

#[tokio::test]
async fn of_two_that_start_together_the_smaller_incarnation_stays() {
    let server = NatsServer::start(&[]).await;
    for (first, second) in [(1, 2), (2, 1)] {
        let first_bus = server.bus(Service::Orchestrator, "o1", first).await;
        let second_bus = server.bus(Service::Orchestrator, "o1", second).await;
        let here = place();
        let both = async { tokio::join!(claim(&first_bus, &here), claim(&second_bus, &here)) };
        let (one, two) = soon(both).await;
        let (stays, yields) = if first < second { (one, two) } else { (two, one) };
        stays.unwrap();
        assert!(matches!(refused(yields), IdentityError::Taken { other: 1, .. }));
    }
}

#[tokio::test]
async fn late_words_of_a_process_that_is_dead_by_now_are_no_objection() {
    let server = NatsServer::start(&[]).await;
    let dead = server.bus(Service::Prober, "p1", 0x50).await;
    let mut asked = dead.subscribe(&[FactKind::StatusQuery]).await.unwrap();
    tokio::spawn(async move {
        // A stuck bus lets several heartbeats go at once; then there are none.
        asked.recv().await.unwrap();
        for tick in 12..16 {
            let me = dead.sender().clone();
            let alive = Heartbeat {
                service: me.service,
                id: me.id,
                incarnation: me.incarnation,
                tick,
                place: place(),
                health: Health::Well,
                roster: None,
                standings: vec![],
                serves: None,
                back: false,
                host: None,
            };
            dead.publish(&alive.into()).await;
        }
        std::future::pending::<()>().await;
    });
    let reborn = server.bus(Service::Prober, "p1", 0x90).await;
    soon(claim(&reborn, &place())).await.unwrap();
}

#[tokio::test]
async fn heartbeats_tell_the_machine_that_the_bus_was_told() {
    let server = NatsServer::start(&[]).await;
    let other = server.bus(Service::Client, "c1", 1).await;
    let mut heard = other.subscribe(&[FactKind::Heartbeat]).await.unwrap();
    let bus = server.bus(Service::Prober, "p1", 2).await;
    let name = HostName::parse("node-1.example.com").unwrap();
    let host = Host { name, addresses: vec!["10.0.0.1".parse().unwrap()] };
    bus.set_host(host.clone());
    soon(claim(&bus, &place())).await.unwrap();
    let Fact::Heartbeat(beat) = soon(heard.recv()).await.unwrap().fact else {
        panic!("only heartbeats are listened to");
    };
    assert_eq!(beat.host, Some(host));
}
