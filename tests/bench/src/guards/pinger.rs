//! A program that does nothing but ask all nodes whether they live: the least that watching costs.
//!
//! It is a process of this program's own, with one thread, which is told on its standard input whom to
//! ask.

use crate::crowd::Crowd;
use crate::failover::milliseconds;
use crate::process::Watched;
use anyhow::{Context as _, Result, ensure};
use clap::Args;
use std::io::BufRead as _;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use vedette_harness::{now, until};

/// How often it asks.
#[derive(Debug, Args)]
pub struct Options {
    /// Between two questions to the same node
    #[arg(long, value_parser = milliseconds)]
    every: u64,
}

/// Asks the nodes whose addresses come in, one on each line, until one does not answer.
///
/// # Errors
/// Which one.
pub async fn run(options: &Options) -> Result<()> {
    let every = Duration::from_millis(options.every);
    let places: Vec<String> = std::io::stdin().lock().lines().collect::<Result<_, _>>()?;
    let (begun, count) = (now(), u32::try_from(places.len())?);
    let mut tasks = JoinSet::new();
    for (n, place) in (0_u32..).zip(places) {
        // Not all at once.
        let first = begun + every * n / count.max(1);
        tasks.spawn(async move { ask(&place, first, every).await.context(place) });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

async fn ask(place: &str, mut next: std::time::Instant, every: Duration) -> Result<()> {
    until(next).await;
    let mut stream = TcpStream::connect(place).await?;
    stream.set_nodelay(true)?;
    loop {
        stream.write_all(b"*1\r\n$4\r\nPING\r\n").await?;
        let mut answer = [0; 16];
        ensure!(stream.read(&mut answer).await? > 0, "it has closed the connection");
        next = (next + every).max(now());
        until(next).await;
    }
}

pub struct Pinger {
    child: Child,
}

impl Pinger {
    pub async fn start(crowd: &Crowd, every_ms: u64) -> Result<Self> {
        let own = std::env::current_exe().context("this program's own path")?;
        let mut child = Command::new(own)
            .args(["pinger", "--every", &format!("{every_ms}ms")])
            .stdin(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("starting a pinger")?;
        let nodes = crowd.groups.iter().flat_map(|group| &group.nodes);
        let list: String = nodes.map(|node| format!("{node}\n")).collect();
        child.stdin.take().context("its input is ours")?.write_all(list.as_bytes()).await?;
        Ok(Self { child })
    }

    /// What is still missing, in words.
    pub async fn missing(&self, crowd: &mut Crowd) -> Result<Option<String>> {
        let (watched, all) = (crowd.watched(1).await?, crowd.nodes());
        Ok((watched < all).then(|| format!("{watched} of {all} nodes are asked")))
    }

    pub fn processes(&self) -> Vec<Watched> {
        let pid = self.child.id();
        pid.map(|pid| Watched { kind: "pinger", name: "pinger".into(), pid }).into_iter().collect()
    }
}
