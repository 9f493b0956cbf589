//! The stream of masters over a real nats-server, with orchestrators that the tests play.

mod support;

use anyhow::{Result, ensure};
use futures::StreamExt;
use std::time::Duration;
use support::{Orchestrator, SUBJECT, announce, next, retain, server};
use tokio::time::timeout;
use vedette_client::Masters;
use vedette_harness::NatsServer;

async fn watch(nats: &NatsServer) -> Result<Masters> {
    let client = vedette_client::connect(nats.url()).await?;
    Ok(Masters::watch(client, "vedette", "orders.eu").await?)
}

#[tokio::test]
async fn the_present_master_comes_first_and_then_each_change() -> Result<()> {
    let (nats, _folder) = server(&[]).await?;
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((1, 1, 7001)));
    let mut masters = watch(&nats).await?;
    ensure!(next(&mut masters).await? == (1, 7001));
    announce(&nats, (2, 4, 7002)).await?;
    ensure!(next(&mut masters).await? == (2, 7002));
    ensure!(masters.present().is_some_and(|master| master.port == 7002));
    Ok(())
}

#[tokio::test]
async fn an_older_epoch_or_another_group_never_comes() -> Result<()> {
    let (nats, _folder) = server(&[]).await?;
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((5, 9, 7005)));
    let mut masters = watch(&nats).await?;
    ensure!(next(&mut masters).await? == (5, 7005));
    orchestrator.says(Some((4, 99, 7004)));
    masters.doubt();
    orchestrator.is_asked().await?;
    announce(&nats, (3, 99, 7003)).await?;
    announce(&nats, (5, 8, 7008)).await?;
    // Newer, and the same master: nobody has to move.
    announce(&nats, (5, 10, 7005)).await?;
    let foreign = support::record((9, 9, 7009)).replace("orders.eu", "orders.us");
    let client = nats.client().await?;
    client.publish(SUBJECT, foreign.into()).await?;
    client.publish(SUBJECT, "no record".into()).await?;
    let other_schema = support::record((9, 9, 7009)).replace("\"schema\":1", "\"schema\":2");
    client.publish(SUBJECT, other_schema.into()).await?;
    client.flush().await?;
    announce(&nats, (6, 11, 7006)).await?;
    ensure!(next(&mut masters).await? == (6, 7006), "whatever came in between is no news");
    Ok(())
}

#[tokio::test]
async fn the_retained_master_counts_until_an_orchestrator_answers() -> Result<()> {
    let (nats, _folder) = server(&["--jetstream"]).await?;
    retain(&nats, (2, 3, 7002)).await?;
    let mut masters = watch(&nats).await?;
    ensure!(next(&mut masters).await? == (2, 7002));
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((3, 6, 7003)));
    ensure!(next(&mut masters).await? == (3, 7003), "it goes on asking");
    Ok(())
}

#[tokio::test]
async fn while_nobody_knows_nothing_comes_and_the_first_answer_is_not_missed() -> Result<()> {
    let (nats, _folder) = server(&[]).await?;
    let mut masters = watch(&nats).await?;
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.is_asked().await?;
    ensure!(timeout(Duration::from_millis(300), masters.next()).await.is_err());
    ensure!(masters.present().is_none());
    orchestrator.says(Some((1, 1, 7001)));
    ensure!(next(&mut masters).await? == (1, 7001));
    Ok(())
}

#[tokio::test]
async fn what_was_announced_while_nats_was_away_is_asked_for() -> Result<()> {
    let (mut nats, _folder) = server(&[]).await?;
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((1, 1, 7001)));
    let mut masters = watch(&nats).await?;
    ensure!(next(&mut masters).await? == (1, 7001));
    nats.kill9()?;
    // Said to nobody: only an answer can tell it.
    orchestrator.says(Some((2, 4, 7002)));
    nats.restart_with(&[]).await?;
    let since = vedette_harness::now();
    ensure!(next(&mut masters).await? == (2, 7002));
    ensure!(since.elapsed() < Duration::from_secs(4), "before the question that comes anyhow");
    announce(&nats, (3, 7, 7003)).await?;
    ensure!(next(&mut masters).await? == (3, 7003), "and the subscription is back");
    Ok(())
}

#[tokio::test]
async fn a_lost_announcement_is_made_up_for_without_any_doubt() -> Result<()> {
    let (nats, _folder) = server(&[]).await?;
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((1, 1, 7001)));
    let mut masters = watch(&nats).await?;
    ensure!(next(&mut masters).await? == (1, 7001));
    orchestrator.says(Some((2, 4, 7002)));
    ensure!(next(&mut masters).await? == (2, 7002));
    Ok(())
}

#[tokio::test]
async fn doubts_are_heard_at_once_and_do_not_become_a_flood() -> Result<()> {
    let (nats, _folder) = server(&[]).await?;
    let orchestrator = Orchestrator::start(&nats).await?;
    orchestrator.says(Some((1, 1, 7001)));
    let mut masters = watch(&nats).await?;
    ensure!(next(&mut masters).await? == (1, 7001));
    let before = orchestrator.asked();
    vedette_harness::stays(Duration::from_secs(2), async || {
        masters.doubt();
        Ok(())
    })
    .await?;
    let asked = orchestrator.asked() - before;
    ensure!((2..=6).contains(&asked), "asked {asked} times in 2 s");
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_gets_the_newest_only() -> Result<()> {
    let (nats, _folder) = server(&[]).await?;
    let mut masters = watch(&nats).await?;
    for epoch in 1..=500 {
        announce(&nats, (epoch, epoch, 7001)).await?;
    }
    vedette_harness::within(vedette_harness::LIMIT, "the last one", async || {
        masters.present().filter(|master| master.epoch.0 == 500)
    })
    .await?;
    ensure!(next(&mut masters).await? == (500, 7001));
    Ok(())
}

#[tokio::test]
async fn words_that_cannot_be_used_are_refused() -> Result<()> {
    let (nats, _folder) = server(&[]).await?;
    let client = vedette_client::connect(nats.url()).await?;
    let refused = Masters::watch(client.clone(), "two.words", "orders").await.err();
    ensure!(matches!(refused, Some(vedette_client::Error::Prefix(_))), "{refused:?}");
    let refused = Masters::watch(client, "vedette", "").await.err();
    ensure!(matches!(refused, Some(vedette_client::Error::Group(_))), "{refused:?}");
    Ok(())
}
