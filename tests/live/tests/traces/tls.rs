//! A collector that speaks TLS only.

use crate::support::{FAILOVER, WORDS, nothing_else, switched, whole};
use anyhow::Result;
use vedette_harness::papers::Papers;
use vedette_harness::{Plan, System};
use vedette_live::collector::Collector;

async fn told_over_tls(environment: fn(&Collector) -> Vec<(String, String)>) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let collector = Collector::start_with(&Papers::issue(folder.path(), &["127.0.0.1"])?).await?;
    let service_environment = environment(&collector);
    let mut system = System::start(Plan { service_environment, ..Plan::default() }).await?;
    system.announce(WORDS);
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].kill9()?;
    let trace = switched(&system, mark, &old).await?.trace_id.to_string();
    whole(&collector, &trace, FAILOVER).await?;
    nothing_else(&collector, &[&trace])?;
    system.finish().await
}

#[tokio::test]
async fn spans_go_over_grpc_to_a_collector_of_the_authority_that_is_named() -> Result<()> {
    told_over_tls(Collector::environment).await
}

#[tokio::test]
async fn spans_go_over_http_to_a_collector_of_the_authority_that_is_named() -> Result<()> {
    told_over_tls(Collector::environment_http).await
}

#[tokio::test]
async fn an_authority_that_is_replaced_is_trusted_without_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let papers = || Papers::issue(folder.path(), &["127.0.0.1"]);
    let collector = Collector::start_with(&papers()?).await?;
    let service_environment = collector.environment();
    let plan = Plan { service_environment, ..Plan::of_many_failovers() };
    let mut system = System::start(plan).await?;
    system.announce(WORDS);
    system.announce(&["spans were dropped", "is trusted as it was before"]);
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].kill9()?;
    let one = switched(&system, mark, &old).await?;
    whole(&collector, &one.trace_id.to_string(), FAILOVER).await?;

    let collector = collector.succeeded_by(&papers()?).await?;
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&one.master).await?;
    let mark = system.watcher.mark();
    system.node(&one.master)?.stop()?;
    let other = switched(&system, mark, &one.master).await?;
    system.node(&one.master)?.cont()?;
    whole(&collector, &other.trace_id.to_string(), FAILOVER).await?;
    system.finish().await
}

#[tokio::test]
async fn a_collector_of_another_authority_gets_nothing() -> Result<()> {
    let (folder, other) = (tempfile::tempdir()?, tempfile::tempdir()?);
    let collector = Collector::start_with(&Papers::issue(folder.path(), &["127.0.0.1"])?).await?;
    let authority = Papers::issue(other.path(), &["127.0.0.1"])?.authority;
    let mut service_environment = collector.environment();
    let ca = "VEDETTE_TELEMETRY__OTLP_CA_FILE";
    service_environment.retain(|(key, _)| key != ca);
    service_environment.push((ca.into(), authority.to_string_lossy().into_owned()));
    let mut system = System::start(Plan { service_environment, ..Plan::default() }).await?;
    system.announce(WORDS);
    system.announce(&["spans were dropped"]);
    let (mark, old) = (system.watcher.mark(), system.master());
    system.nodes[0].kill9()?;
    switched(&system, mark, &old).await?;
    system.finish().await?;
    nothing_else(&collector, &[])
}
