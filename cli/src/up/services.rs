//! The seven services as tasks of this process.

use super::nats::Nats;
use crate::config::Config;
use anyhow::Context;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::Instrument;
use vedette_model::{GroupName, NodeAddr, Settings};
use vedette_runtime::{CommonConfig, RosterConfig, Shutdown};

/// The voters' ids.
pub const VOTERS: [&str; 3] = ["v1", "v2", "v3"];
/// Sentinel's own port: with it clients need no other address than they had.
const SENTINEL_PORT: u16 = 26_379;
/// For all services to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// Where a voter keeps its promises.
pub fn store(data: &Path, voter: &str) -> PathBuf {
    data.join(format!("{voter}.redb"))
}

/// Where Sentinel clients of this machine are served: on the given port, else on Sentinel's own or
/// a free one.
///
/// # Errors
/// The given port is taken, or all are.
pub fn sentinels(wanted: Option<u16>) -> anyhow::Result<SocketAddr> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    let bound = match wanted {
        Some(port) => bind(port).with_context(|| {
            format!(
                "port {port} cannot be used for Sentinel clients: choose another --sentinel-port"
            )
        })?,
        None => {
            bind(SENTINEL_PORT).or_else(|_| bind(0)).context("no free port for Sentinel clients")?
        }
    };
    Ok(bound.local_addr()?)
}

/// Services that run.
pub struct Services {
    tasks: JoinSet<(String, anyhow::Result<()>)>,
}

impl Services {
    /// Starts them: voters first, because nothing changes without them.
    pub fn start(
        config: &Config,
        data: &Path,
        seed: Vec<(GroupName, NodeAddr, Settings)>,
        sentinels: SocketAddr,
        shutdown: &Shutdown,
    ) -> Self {
        let common = |id: &str| CommonConfig { id: id.into(), ..config.common.clone() };
        let roster = RosterConfig { version: 1, voters: VOTERS.map(String::from).into() };
        let mut services = Self { tasks: JoinSet::new() };
        for id in VOTERS {
            let voter = vedette_voter::Config {
                common: common(id),
                roster: roster.clone(),
                store: Some(store(data, id)),
            };
            services.spawn(&format!("voter/{id}"), vedette_voter::run(voter, shutdown.clone()));
        }
        let prober = vedette_prober::Config { common: common("p1") };
        services.spawn("prober/p1", vedette_prober::run(prober, shutdown.clone()));
        let orchestrator =
            vedette_orchestrator::Config { common: common("o1"), roster, groups_file: None };
        let serve = vedette_orchestrator::serve(orchestrator, seed, shutdown.clone());
        services.spawn("orchestrator/o1", serve);
        let notifier = vedette_notifier::Config {
            common: common("n1"),
            ..vedette_notifier::Config::default()
        };
        services.spawn("notifier/n1", vedette_notifier::run(notifier, shutdown.clone()));
        let mut gateway =
            vedette_gateway::Config { common: common("g1"), ..vedette_gateway::Config::default() };
        gateway.clients.listen = sentinels;
        services.spawn("gateway/g1", vedette_gateway::run(gateway, shutdown.clone()));
        services
    }

    fn spawn(
        &mut self,
        name: &str,
        run: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        // For the log alone: a span as long as the process would tell a trace nothing.
        let span = tracing::info_span!(target: "up", "in", service = name);
        let name = name.to_owned();
        self.tasks.spawn(async move { (name, run.await) }.instrument(span));
    }

    /// Waits for shutdown, or for the first part that fails, and ends the rest.
    ///
    /// # Errors
    /// Why a part failed.
    pub async fn run(mut self, nats: Option<&mut Nats>, shutdown: &Shutdown) -> anyhow::Result<()> {
        let nats = async {
            match nats {
                Some(nats) => nats.keep().await,
                None => std::future::pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            () = shutdown.triggered() => Ok(()),
            ended = self.tasks.join_next() => ended.map_or(Ok(()), |ended| {
                let (name, outcome) = ended.context("a service panicked")?;
                outcome.with_context(|| format!("{name} failed"))?;
                // A service may have heard of the shutdown and ended before this task looked again.
                anyhow::ensure!(shutdown.is_triggered(), "{name} ended without being asked to");
                Ok(())
            }),
            error = nats => Err(error),
        };
        if outcome.is_err() {
            shutdown.trigger("a part of the system failed");
        }
        let rest = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok((name, Err(error))) = ended {
                    tracing::debug!(name, error = format!("{error:#}"), "ended");
                }
            }
        };
        if tokio::time::timeout(DRAIN_LIMIT, rest).await.is_err() {
            tracing::warn!("not all services ended in time: they are left where they are");
        }
        outcome
    }
}
