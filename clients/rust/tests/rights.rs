//! The rights that deploy/nats/rights.conf gives to applications suffice.

mod support;

use anyhow::{Context, Result, ensure};
use async_nats::jetstream::{self, consumer::pull, stream};
use async_nats::{Client, ConnectOptions, Event, Message, Subscriber};
use futures::StreamExt;
use std::sync::{Arc, Mutex};
use support::{Orchestrator, SUBJECT, announce, next, record, retain};
use tokio::time::timeout;
use vedette_client::Masters;
use vedette_harness::{LIMIT, NatsServer};

#[tokio::test]
async fn those_of_an_application_suffice_for_all_three_ways() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start_with_rights(folder.path()).await?;
    retain(&nats, (1, 1, 7001)).await?;

    let complaints = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&complaints);
    let client = ConnectOptions::with_user_and_password("application".into(), "application".into())
        .event_callback(move |event| {
            if let Event::ServerError(error) = event {
                heard.lock().expect("a list").push(error.to_string());
            }
            std::future::ready(())
        })
        .connect(format!("127.0.0.1:{}", nats.port()))
        .await?;
    let mut masters = Masters::watch(client, "vedette", "orders.eu").await?;
    ensure!(next(&mut masters).await? == (1, 7001), "the bucket");
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((2, 4, 7002)));
    ensure!(next(&mut masters).await? == (2, 7002), "the answer");
    announce(&nats, (3, 6, 7003)).await?;
    ensure!(next(&mut masters).await? == (3, 7003), "the announcement");
    let complaints = complaints.lock().expect("a list").clone();
    ensure!(complaints.is_empty(), "{complaints:?}");
    Ok(())
}

#[tokio::test]
async fn no_master_that_an_operator_has_a_stream_hand_over_is_believed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let nats = NatsServer::start_with_rights(folder.path()).await?;
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((1, 1, 7001)));
    let history = stream::Config {
        name: "vedette-history".into(),
        subjects: vec!["vedette.v1.event.*.*".into()],
        ..stream::Config::default()
    };
    jetstream::new(nats.client().await?).create_stream(history).await?;
    let application = login(&nats, "application").await?;
    let mut heard = application.subscribe(SUBJECT).await?;
    let mut masters = Masters::watch(application, "vedette", "orders.eu").await?;
    ensure!(next(&mut masters).await? == (1, 7001));

    // By a consumer, from what operators may put there.
    let operator = login(&nats, "operator").await?;
    operator.publish("vedette.v1.event.any.notify-test", record((7, 7, 7007)).into()).await?;
    let kept = jetstream::new(operator.clone()).get_stream("vedette-history").await?;
    let consumer = kept.create_consumer(pull::Config::default()).await?;
    let ask = format!("$JS.API.CONSUMER.MSG.NEXT.vedette-history.{}", consumer.cached_info().name);
    operator.publish_with_reply(ask, SUBJECT, "1".into()).await?;
    let message = soon(&mut heard).await?;
    ensure!(message.payload == record((7, 7, 7007)), "it comes to applications: {message:?}");

    // And directly, from the bucket, where it is too early.
    retain(&nats, (8, 8, 7008)).await?;
    let ask = "$JS.API.DIRECT.GET.KV_vedette-masters.$KV.vedette-masters.orders=2Eeu";
    operator.publish_with_reply(ask, SUBJECT, "".into()).await?;
    let message = soon(&mut heard).await?;
    ensure!(message.payload == record((8, 8, 7008)), "it comes to applications: {message:?}");

    announce(&nats, (2, 4, 7002)).await?;
    ensure!(next(&mut masters).await? == (2, 7002), "nothing of the two");
    Ok(())
}

async fn login(nats: &NatsServer, user: &str) -> Result<Client> {
    let options = ConnectOptions::with_user_and_password(user.into(), user.into());
    Ok(options.connect(format!("127.0.0.1:{}", nats.port())).await?)
}

async fn soon(messages: &mut Subscriber) -> Result<Message> {
    timeout(LIMIT, messages.next()).await.context("nothing came")?.context("it is open")
}
