//! The nats-server that is started here: a child process that ends with us, and is started again
//! if it ends before.

use super::program::{self, Program};
use anyhow::{Context, bail};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::interval;
use vedette_model::Instant;
use vedette_runtime::{Clock, Shutdown};

/// NATS's own port: with it the other verbs need no --nats.
pub const USUAL_PORT: u16 = 4222;
/// For it to take connections, and to end.
const UP_LIMIT: Duration = Duration::from_secs(15);
const END_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// One that lives shorter than this so often in a row is given up.
const SHORT_LIFE: Duration = Duration::from_secs(10);
const SHORT_LIVES: u32 = 3;

/// A running nats-server.
#[derive(Debug)]
pub struct Nats {
    program: Program,
    port: u16,
    folder: PathBuf,
    child: Child,
    clock: Clock,
    born: Instant,
}

impl Nats {
    /// Starts it with JetStream in the data folder, on the given port, else on 4222 or a free one,
    /// and waits until it takes connections.
    ///
    /// # Errors
    /// What kept it from starting, with what to do about it.
    pub async fn start(
        data: &Path,
        port: Option<u16>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<Self> {
        let program = program::find().await?;
        let folder = data.join("nats");
        std::fs::create_dir_all(&folder)?;
        end_orphan(&program, &folder).await?;
        let port = choose(port)?;
        let child = spawn(&program, &folder, port)?;
        let clock = Clock::start();
        let born = clock.now();
        let mut nats = Self { program, port, folder, child, clock, born };
        tokio::select! {
            biased;
            () = shutdown.triggered() => bail!(vedette_runtime::bus::BusError::Stopped),
            up = nats.answers() => up?,
        }
        tracing::info!(
            from = "starting", to = "running", url = nats.url(), version = nats.program.version,
            program = %nats.program.path.display(), "nats-server runs"
        );
        Ok(nats)
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        let log = log(&self.folder);
        format!("nats-server {}, started here, log {}", self.program.version, log.display())
    }

    /// Starts it again whenever it ends; comes back only when that does not help.
    pub async fn keep(&mut self) -> anyhow::Error {
        let mut short_lives = 0;
        loop {
            let status = match self.child.wait().await {
                Ok(status) => status,
                Err(error) => return error.into(),
            };
            let lived = self.clock.now().since(self.born);
            short_lives = if lived < SHORT_LIFE { short_lives + 1 } else { 0 };
            if short_lives >= SHORT_LIVES {
                return self.gave_up(status);
            }
            tracing::warn!(
                from = "running", to = "starting", cause = %status,
                "nats-server ended and is started again; its log says why"
            );
            let again = async {
                self.child = spawn(&self.program, &self.folder, self.port)?;
                self.born = self.clock.now();
                self.answers().await
            };
            if let Err(error) = again.await {
                return error;
            }
            tracing::info!(from = "starting", to = "running", "nats-server runs again");
        }
    }

    /// Asks it to end, and ends it if it does not.
    pub async fn stop(mut self) {
        if let Some(pid) = self.child.id() {
            signal(&self.program, "quit", pid).await;
        }
        match tokio::time::timeout(END_LIMIT, self.child.wait()).await {
            Ok(_) => tracing::info!(from = "running", to = "ended", "nats-server ended"),
            Err(_) => {
                tracing::warn!("nats-server does not end by itself: it is killed");
                if let Err(error) = self.child.kill().await {
                    tracing::warn!(%error, "nats-server was not killed");
                }
            }
        }
    }

    async fn answers(&mut self) -> anyhow::Result<()> {
        let port = self.port;
        let connected = async {
            let mut look = interval(LOOK_EVERY);
            loop {
                look.tick().await;
                if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.is_ok() {
                    return;
                }
            }
        };
        let ended = tokio::select! {
            biased;
            ended = self.child.wait() => Some(ended?),
            up = tokio::time::timeout(UP_LIMIT, connected) => match up {
                Ok(()) => return Ok(()),
                Err(_) => None,
            },
        };
        match ended {
            Some(status) => Err(self.gave_up(status)),
            None => bail!(
                "nats-server takes no connections on port {port} after {} s: see its log {}",
                UP_LIMIT.as_secs(),
                log(&self.folder).display()
            ),
        }
    }

    fn gave_up(&self, status: ExitStatus) -> anyhow::Error {
        let path = log(&self.folder);
        let text = std::fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(3).collect();
        let last = lines.into_iter().rev().collect::<Vec<_>>().join("\n  ");
        anyhow::anyhow!(
            "nats-server ended with {status}; the last lines of its log {}:\n  {last}",
            path.display()
        )
    }
}

fn log(folder: &Path) -> PathBuf {
    folder.join("nats-server.log")
}

fn pid_file(folder: &Path) -> PathBuf {
    folder.join("nats-server.pid")
}

fn jetstream(folder: &Path) -> PathBuf {
    folder.join("jetstream")
}

fn spawn(program: &Program, folder: &Path, port: u16) -> anyhow::Result<Child> {
    let mut command = Command::new(&program.path);
    command
        .args(["--addr", "127.0.0.1", "--port", &port.to_string()])
        .args(["--name", "vedette-up", "--jetstream", "--store_dir"])
        .arg(jetstream(folder))
        .arg("--log")
        .arg(log(folder))
        .arg("--pid")
        .arg(pid_file(folder))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C reaches the whole foreground group, and the services need it to the last.
        .process_group(0)
        .kill_on_drop(true);
    command.spawn().with_context(|| format!("{} cannot be started", program.path.display()))
}

fn choose(wanted: Option<u16>) -> anyhow::Result<u16> {
    let bind = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
    if let Some(port) = wanted {
        bind(port).with_context(|| {
            format!(
                "port {port} cannot be used for nats-server: choose another --nats-port, or if a \
                 nats-server listens there already, use that one: --nats nats://127.0.0.1:{port}"
            )
        })?;
        return Ok(port);
    }
    let bound = bind(USUAL_PORT).or_else(|_| bind(0)).context("no free port for nats-server")?;
    Ok(bound.local_addr()?.port())
}

/// Ends the server of an earlier start that was killed: two must not write to one folder.
async fn end_orphan(program: &Program, folder: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(pid_file(folder)).unwrap_or_default();
    let Ok(pid) = text.trim().parse::<u32>() else { return Ok(()) };
    let is_ours = || {
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let store = jetstream(folder);
        words.split(|byte| *byte == 0).any(|word| word == store.as_os_str().as_encoded_bytes())
    };
    if !is_ours() {
        return Ok(());
    }
    tracing::info!(pid, "a nats-server of an earlier start is left over: it is ended first");
    signal(program, "quit", pid).await;
    let gone = async {
        let mut look = interval(LOOK_EVERY);
        while is_ours() {
            look.tick().await;
        }
    };
    if tokio::time::timeout(END_LIMIT, gone).await.is_err() {
        bail!(
            "the nats-server of an earlier start (process {pid}) does not end: end it by hand, it \
             uses {}",
            folder.display()
        );
    }
    Ok(())
}

/// nats-server sends signals itself; one that does not arrive is noticed by its wait.
async fn signal(program: &Program, name: &str, pid: u32) {
    let mut command = Command::new(&program.path);
    command.arg("--signal").arg(format!("{name}={pid}")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    match tokio::time::timeout(END_LIMIT, command.status()).await {
        Ok(Ok(status)) if status.success() => {}
        Ok(Ok(status)) => tracing::debug!(%status, "nats-server --signal failed"),
        Ok(Err(error)) => tracing::debug!(%error, "nats-server --signal failed"),
        Err(_) => tracing::debug!("nats-server --signal does not end"),
    }
}
