//! The seven services as tasks of this process.

use crate::config::Config;
use crate::together::Together;
use anyhow::Context;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use vedette_model::{GroupName, NodeAddr, Settings};
use vedette_runtime::{CommonConfig, HttpConfig, RosterConfig, Shutdown};

/// The voters' ids.
pub const VOTERS: [&str; 3] = ["v1", "v2", "v3"];
/// Sentinel's own port: with it clients need no other address than they had.
const SENTINEL_PORT: u16 = 26_379;

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

/// Starts them: voters first, because nothing changes without them.
pub fn start(
    config: &Config,
    data: &Path,
    seed: Vec<(GroupName, NodeAddr, Settings)>,
    sentinels: SocketAddr,
    shutdown: &Shutdown,
) -> Together {
    // Of several services in one process the gateway has the port: it knows most.
    let http = HttpConfig::default();
    let common =
        |id: &str| CommonConfig { id: id.into(), http: http.clone(), ..config.common.clone() };
    let roster = RosterConfig { version: 1, voters: VOTERS.map(String::from).into() };
    let mut services = Together::default();
    for id in VOTERS {
        let voter = vedette_voter::Config {
            common: common(id),
            roster: roster.clone(),
            store: Some(store(data, id)),
        };
        services.spawn(&format!("voter/{id}"), vedette_voter::run(voter, shutdown.clone()));
    }
    let prober = vedette_prober::Config { common: common("p1"), ..Default::default() };
    services.spawn("prober/p1", vedette_prober::run(prober, shutdown.clone()));
    let orchestrator = vedette_orchestrator::Config {
        common: common("o1"),
        roster,
        ..vedette_orchestrator::Config::default()
    };
    let serve = vedette_orchestrator::serve(orchestrator, seed, shutdown.clone());
    services.spawn("orchestrator/o1", serve);
    let notifier =
        vedette_notifier::Config { common: common("n1"), ..vedette_notifier::Config::default() };
    services.spawn("notifier/n1", vedette_notifier::run(notifier, shutdown.clone()));
    let mut gateway =
        vedette_gateway::Config { common: common("g1"), ..vedette_gateway::Config::default() };
    gateway.clients.listen = sentinels;
    gateway.common.http = config.common.http.clone();
    services.spawn("gateway/g1", vedette_gateway::run(gateway, shutdown.clone()));
    services
}
