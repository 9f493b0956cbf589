//! The rights that deploy/nats/rights.conf gives to applications suffice.

mod support;

use anyhow::{Result, ensure};
use async_nats::{ConnectOptions, Event};
use std::sync::{Arc, Mutex};
use support::{Orchestrator, announce, next, retain};
use vedette_client::Masters;
use vedette_harness::NatsServer;

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
