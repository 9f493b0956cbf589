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
