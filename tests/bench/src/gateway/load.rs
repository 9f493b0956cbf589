//! Request after request, on some connections at the same time.

use crate::process::Watched;
use crate::statistics::Distribution;
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use vedette_harness::{GROUP, LIMIT, now};
use vedette_live::compare::request;

/// The answer to a subscription.
const SUBSCRIBED: &[u8] = b"*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n";

/// How it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Load {
    /// All of them ask at the same time.
    pub connections: usize,
    /// Requests that each sends together, as soon as the last ones are answered.
    pub depth: usize,
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { connections, depth } = self;
        write!(f, "{connections} connection{}", if *connections == 1 { "" } else { "s" })?;
        if *depth == 1 { Ok(()) } else { write!(f, " by {depth}") }
    }
}

/// What came of a load.
#[derive(Debug, Serialize)]
pub struct Answers {
    #[serde(flatten)]
    pub load: Load,
    /// How many were answered.
    pub requests: usize,
    /// In this time.
    pub seconds: f64,
    /// What who answers used of a core meanwhile.
    pub cpu_s: f64,
    /// From a request, or those that were sent together, to the last byte of the answer.
    pub us: Option<Distribution>,
}

impl Answers {
    pub fn a_second(&self) -> f64 {
        self.requests as f64 / self.seconds
    }

    /// µs of a core for each request.
    pub fn core_us(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.cpu_s * 1e6 / self.requests as f64)
    }
}

/// Open connections, all of which ask the same.
pub struct Pool {
    at: SocketAddr,
    request: Vec<u8>,
    /// The only right answer.
    answer: Vec<u8>,
    open: Vec<TcpStream>,
}

impl Pool {
    /// Asks there for the first time.
    ///
    /// # Errors
    /// If nobody knows who is master.
    pub async fn at(at: SocketAddr) -> Result<Self> {
        let request = request(&["SENTINEL", "get-master-addr-by-name", GROUP]);
        let mut first = connected(at).await?;
        first.write_all(&request).await?;
        let mut answer = vec![0; 256];
        let count = tokio::time::timeout(LIMIT, first.read(&mut answer)).await??;
        answer.truncate(count);
        let told = answer.starts_with(b"*2\r\n$") && answer.ends_with(b"\r\n");
        ensure!(told, "who is master? {:?}", String::from_utf8_lossy(&answer));
        Ok(Self { at, request, answer, open: vec![first] })
    }

    /// Asks in this way for so long. `process` is who answers.
    ///
    /// # Errors
    /// If an answer is wrong, or none comes.
    pub async fn under(
        &mut self,
        load: Load,
        span: Duration,
        process: &Watched,
    ) -> Result<Answers> {
        self.grow(load.connections).await?;
        let request: Arc<[u8]> = self.request.repeat(load.depth).into();
        let answer: Arc<[u8]> = self.answer.repeat(load.depth).into();
        let (before, begun) = (process.used()?, now());
        let mut tasks = JoinSet::new();
        for stream in self.open.drain(..load.connections) {
            tasks.spawn(asking(stream, request.clone(), answer.clone(), begun + span));
        }
        let mut us = Vec::new();
        while let Some(done) = tokio::time::timeout(span + LIMIT, tasks.join_next()).await? {
            let (stream, own) = done??;
            self.open.push(stream);
            us.extend(own);
        }
        Ok(Answers {
            load,
            requests: us.len() * load.depth,
            seconds: begun.elapsed().as_secs_f64(),
            cpu_s: process.used()?.cpu_s - before.cpu_s,
            us: Distribution::of(us),
        })
    }

    /// So many connections, each of which has subscribed to `+switch-master`.
    ///
    /// # Errors
    /// If one is not let.
    pub async fn subscribed(mut self, count: usize) -> Result<Vec<TcpStream>> {
        self.grow(count).await?;
        self.open.truncate(count);
        let request = request(&["SUBSCRIBE", "+switch-master"]);
        for stream in &mut self.open {
            stream.write_all(&request).await?;
            let mut said = vec![0; SUBSCRIBED.len()];
            tokio::time::timeout(LIMIT, stream.read_exact(&mut said)).await??;
            ensure!(said == SUBSCRIBED, "{:?}", String::from_utf8_lossy(&said));
        }
        Ok(self.open)
    }

    async fn grow(&mut self, count: usize) -> Result<()> {
        while self.open.len() < count {
            self.open.push(connected(self.at).await?);
        }
        Ok(())
    }
}

/// Asks until the end has come. How long each answer took, µs.
async fn asking(
    mut stream: TcpStream,
    request: Arc<[u8]>,
    answer: Arc<[u8]>,
    end: Instant,
) -> Result<(TcpStream, Vec<f64>)> {
    let (mut said, mut us) = (vec![0; answer.len()], Vec::new());
    loop {
        let since = now();
        if since >= end {
            return Ok((stream, us));
        }
        stream.write_all(&request).await?;
        stream.read_exact(&mut said).await.context("the connection was closed")?;
        ensure!(*said == *answer, "wrong answer {:?}", String::from_utf8_lossy(&said));
        us.push(since.elapsed().as_secs_f64() * 1e6);
    }
}

async fn connected(at: SocketAddr) -> Result<TcpStream> {
    let stream = tokio::time::timeout(LIMIT, TcpStream::connect(at)).await?;
    let stream = stream.with_context(|| format!("a connection to {at}"))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
