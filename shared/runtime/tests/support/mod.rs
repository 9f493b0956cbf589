//! A real nats-server per test, and what the tests talk of.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::fmt::Debug;
use std::future::Future;
use tempfile::TempDir;
pub use vedette_harness::LIMIT;
use vedette_harness::{ports, within};
use vedette_model::{
    Epoch, GroupName, GroupRecord, MasterRecord, NodeAddr, Place, Quorum, Revision, Roster,
    RosterVersion, Sender, Service, Settings, VoterId,
};
use vedette_runtime::{Bus, NatsConfig, Shutdown};

/// A nats-server with its files in a temporary folder. Ends on drop.
pub struct NatsServer {
    pub port: u16,
    server: vedette_harness::NatsServer,
    _folder: TempDir,
}

impl NatsServer {
    /// Starts one and waits until it accepts. `arguments` are nats-server's own.
    pub async fn start(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = vedette_harness::NatsServer::start_with(arguments, folder.path());
        let server = server.await.unwrap();
        Self { port: server.port(), server, _folder: folder }
    }

    /// With JetStream.
    pub async fn with_jetstream() -> Self {
        Self::start(&["--jetstream"]).await
    }

    /// Starts it again on its old port, after [`NatsServer::kill`].
    pub async fn restart(&mut self, arguments: &[&str]) {
        self.server.restart_with(arguments).await.unwrap();
    }

    /// What it has logged in all its lives.
    pub fn log(&self) -> String {
        self.server.log()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.server.kill9().unwrap();
    }

    /// `kill -STOP`: its sockets stay open, and it is silent.
    pub fn stop(&self) {
        self.server.stop().unwrap();
    }

    pub fn config(&self) -> NatsConfig {
        NatsConfig { servers: vec![self.url()], ..NatsConfig::default() }
    }

    pub fn url(&self) -> String {
        self.server.url().into()
    }

    /// A bus in the name of a service.
    pub async fn bus(&self, service: Service, id: &str, incarnation: u64) -> Bus {
        bus(self.server.url(), service, id, incarnation).await
    }
}

/// A bus on one server in the name of a service.
pub async fn bus(url: &str, service: Service, id: &str, incarnation: u64) -> Bus {
    let config = NatsConfig { servers: vec![url.into()], ..NatsConfig::default() };
    let sender = Sender::parse(service, id, incarnation).unwrap();
    Bus::connect(&config, sender, &Shutdown::new()).await.unwrap()
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    ports::free().unwrap()
}

/// Waits until the condition holds; fails after [`LIMIT`].
pub async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    within(LIMIT, what, async || condition().await.then_some(())).await.unwrap();
}

/// Waits for the answer of something that must come soon.
pub async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, what).await.expect("it comes within the limit")
}

/// The error of an outcome that must be one.
pub fn refused<T, E: Debug>(outcome: Result<T, E>) -> E {
    match outcome {
        Ok(_) => panic!("it should have been refused"),
        Err(error) => error,
    }
}

pub fn group(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

pub fn place() -> Place {
    Place::parse("here").unwrap()
}

pub fn roster(version: u64, voters: &[&str]) -> Roster {
    let voters = voters.iter().map(|id| VoterId::parse(id).unwrap()).collect();
    Roster::parse(RosterVersion(version), voters).unwrap()
}

pub fn master(name: &str, epoch: u64, revision: u64, port: u16) -> MasterRecord {
    let addr = NodeAddr::new("10.0.0.1", port).unwrap();
    let settings = Settings::with_quorum(Quorum::parse(1).unwrap());
    let first = GroupRecord::first(group(name), addr, settings);
    let (epoch, revision) = (Epoch(epoch), Revision(revision));
    MasterRecord::from(&GroupRecord { epoch, revision, ..first })
}
