//! The history against a real nats-server with JetStream.

mod support;

use support::{LIMIT, NatsServer, eventually, group, master};
use vedette_model::{Epoch, Event, EventName, Fact, NodeAddr, Service, TraceId};
use vedette_runtime::history::{Past, What, newest, past};
use vedette_runtime::{Bus, Clock, Historian, HistoryConfig};

fn event(name: &str, id: &str) -> Fact {
    let master = NodeAddr::new("10.0.0.1", 6_379).expect("it is one");
    let event = Event {
        id: id.into(),
        group: group(name),
        name: EventName::Sdown,
        payload: format!("master {name} 10.0.0.1 6379"),
        cause: "silent for 500 ms".into(),
        epoch: Epoch(1),
        source: "orchestrator/o1".into(),
        trace_id: TraceId::of(&group(name), Epoch(1), &master, None),
    };
    event.into()
}

async fn read(bus: &Bus, name: Option<&str>, since_ms: Option<u64>) -> Past {
    past(bus, name.map(group).as_ref(), since_ms, LIMIT).await.expect("it can be read")
}

fn facts(past: &Past) -> Vec<Fact> {
    let facts = past.kept.iter().filter_map(|kept| match &kept.what {
        What::Said { fact, .. } => Some(fact.clone()),
        What::Gap(_) | What::Unreadable(_) => None,
    });
    facts.collect()
}

/// Says it until it is kept: the stream is made by a task of its own.
async fn begun(bus: &Bus) {
    eventually("the history is begun", || async {
        bus.publish(&event("first", "0")).await;
        !facts(&read(bus, Some("first"), None).await).is_empty()
    })
    .await;
}

#[tokio::test]
async fn what_is_said_is_kept_by_its_subject_and_found_by_group_and_time() {
    let server = NatsServer::with_jetstream().await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    assert!(read(&bus, None, None).await.oldest_us.is_none(), "nothing is kept without a stream");
    let _historian = Historian::spawn(&bus, &HistoryConfig::default());
    begun(&bus).await;

    bus.publish(&event("orders.eu", "1")).await;
    bus.publish(&master("orders.eu", 1, 1, 6_000).into()).await;
    bus.publish(&event("others", "2")).await;
    // What is repeated all the time is not kept.
    bus.publish(&vedette_model::StatusQuery {}.into()).await;
    let wanted = [event("orders.eu", "1"), master("orders.eu", 1, 1, 6_000).into()];
    eventually("both are kept", || async {
        facts(&read(&bus, Some("orders.eu"), None).await) == wanted
    })
    .await;
    eventually("the other group has its own", || async {
        facts(&read(&bus, Some("others"), None).await) == [event("others", "2")]
    })
    .await;
    let later = Clock::start().unix_ms() + 60_000;
    assert!(read(&bus, None, Some(later)).await.kept.is_empty());
    let all = read(&bus, None, Some(later - 120_000)).await;
    assert!(facts(&all).ends_with(&[event("others", "2")]) && !all.shortened);
    let last = newest(&bus, None, None, LIMIT, 1).await.unwrap();
    assert_eq!(facts(&last), [event("others", "2")]);
    assert_eq!((last.shortened, last.oldest_us), (true, Some(last.kept[0].at_us)));
    assert!(read(&bus, Some("nobody"), None).await.kept.is_empty());
}

#[tokio::test]
async fn it_outlives_the_server_and_an_outage_leaves_a_mark() {
    let mut server = NatsServer::with_jetstream().await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    let historian = Historian::spawn(&bus, &HistoryConfig::default());
    begun(&bus).await;
    bus.publish(&event("orders", "1")).await;
    eventually("it is kept", || async {
        facts(&read(&bus, Some("orders"), None).await) == [event("orders", "1")]
    })
    .await;

    server.kill();
    server.restart(&[]).await;
    // Without JetStream long enough that somebody notices.
    eventually("it is away", || async {
        past(&bus, None, None, LIMIT)
            .await
            .is_err_and(|error| error.to_string().contains("jetstream"))
    })
    .await;
    bus.publish(&event("orders", "2")).await;
    eventually("it is noticed", || async { !historian.is_reached() }).await;
    server.kill();
    server.restart(&["--jetstream"]).await;
    let gap = |past: &Past| {
        past.kept.iter().find_map(|kept| match &kept.what {
            What::Gap(gap) => Some(gap.clone()),
            What::Said { .. } | What::Unreadable(_) => None,
        })
    };
    eventually("there is a mark", || async {
        past(&bus, Some(&group("orders")), None, LIMIT).await.is_ok_and(|past| gap(&past).is_some())
    })
    .await;
    let past = read(&bus, Some("orders"), None).await;
    assert_eq!(facts(&past), [event("orders", "1")], "what was kept before is there still");
    let gap = gap(&past).unwrap();
    assert!(gap.by == "orchestrator/o1" && gap.from_ms < gap.to_ms, "{gap:?}");
}
