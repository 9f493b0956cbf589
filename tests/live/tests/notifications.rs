//! Notifications that arrive: row 43.

use anyhow::{Context, Result, ensure};
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures::StreamExt;
use std::time::Duration;
use vedette_harness::{LIMIT, Plan, System, now, within};
use vedette_live::receiver::Receiver;
use vedette_live::{finish, rounds, seconds, switched, tell, writing};
use vedette_model::{Event, EventName};

/// From the receiver's return to the next try of what waited, and all that waits behind it.
const CAUGHT_UP: Duration = Duration::from_secs(90);

#[tokio::test]
async fn what_happened_while_the_receiver_was_down_arrives_in_order_and_once() -> Result<()> {
    let mut receiver = Receiver::start().await?;
    let mut plan = Plan::of_many_failovers();
    plan.notifiers = 2;
    plan.notifier_keys = vec![format!("sink.webhook.urls = [{:?}]", receiver.url())];
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down", "events wait", "jetstream"]);
    let mut master = system.master();
    let writer = writing(&system).await?;
    let before = stored(&system).await?.len();
    within(LIMIT, "the receiver gets what happens", async || {
        (!receiver.got().is_empty()).then_some(())
    })
    .await?;

    receiver.leave();
    let (left, away) = (now(), seconds(120)?);
    let failovers = rounds(5)?;
    for round in 0..failovers {
        let mark = system.watcher.mark();
        let dead = system.nodes.iter().position(|node| *node.addr() == master);
        let dead = dead.context("the master is one of ours")?;
        let killed = system.nodes[dead].kill9()?;
        master = switched(&system, &writer, mark, &master, killed).await?.master.master;
        system.nodes[dead].start()?;
        system.nodes[dead].answers().await?;
        system.all_follow(&master).await?;
        if round == failovers / 2 {
            // Whichever holds the sink: one of the two dies with all that it was about to tell.
            system.service("n1")?.kill9()?;
        }
    }
    vedette_harness::until(left + away).await;
    let gone = left.elapsed();
    receiver.come_back().await?;

    // What the services go on saying is not waited for.
    let wanted = stored(&system).await?;
    let back = now();
    within(CAUGHT_UP, "all of it has arrived", async || {
        let got = receiver.got();
        let come = |event: &Event| got.iter().any(|other| other.id == event.id);
        wanted.iter().skip(before).all(come).then_some(())
    })
    .await?;
    let got = receiver.got();
    let mut once: Vec<&Event> = Vec::new();
    for event in &got {
        match once.iter().find(|other| other.id == event.id) {
            Some(other) => ensure!(*other == event, "one id, two events: {event:?}, {other:?}"),
            None => once.push(event),
        }
    }
    let known = stored(&system).await?;
    let place = |event: &&Event| known.iter().position(|other| other.id == event.id);
    let places: Vec<_> = once.iter().filter(|event| event.group == system.group()).collect();
    let places: Vec<_> = places.into_iter().map(place).collect();
    ensure!(places.is_sorted(), "not in the order in which it was said: {places:?}");
    let switches = once.iter().filter(|event| event.name == EventName::SwitchMaster).count();
    ensure!(switches == failovers, "{switches} switches were told of {failovers}");
    tell(&format!(
        "receiver away for {:.0} s, {failovers} failovers, one of two notifiers killed: {} events, \
         each once of {} deliveries, the last {:.1} s after its return",
        gone.as_secs_f64(),
        once.len(),
        got.len(),
        back.elapsed().as_secs_f64()
    ));
    system.service("n1")?.start()?;
    finish(system, writer, &master).await
}

/// The events that the history has, in its order.
async fn stored(system: &System) -> Result<Vec<Event>> {
    let client = system.nats[0].client().await?;
    let stream = jetstream::new(client).get_stream("vedette-history").await?;
    let config =
        OrderedConfig { filter_subject: "vedette.v1.event.*.*".into(), ..OrderedConfig::default() };
    let consumer = stream.create_consumer(config).await?;
    let mut left = consumer.cached_info().num_pending;
    let mut messages = consumer.messages().await?;
    let mut events = Vec::new();
    while left > 0 {
        let message = messages.next().await.context("the stream goes on")??;
        events.push(serde_json::from_slice(&message.payload)?);
        left -= 1;
    }
    Ok(events)
}
