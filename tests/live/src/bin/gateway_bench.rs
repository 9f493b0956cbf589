//! How fast a gateway answers, and how soon all subscribers hear of a new master.
//!
//! Run by hand, on a quiet machine with two cores or more; it is no test. The gateway has one core,
//! and this program another.

use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use vedette_harness::{LIMIT, Plan, System, now, pick, within};

/// How long each rate is measured.
const SPAN: Duration = Duration::from_secs(5);
/// Requests that are sent together, and connections that do so.
const PIPELINE: usize = 100;
const BUSY: usize = 8;
/// Requests of which the time is taken, one after the other.
const ASKED: usize = 5_000;
const SUBSCRIBERS: usize = 10_000;
/// The gateway's core, and this program's.
const CORES: [&str; 2] = ["0", "1"];

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert"]);
    let at = system.start_gateway("g1", &["clients.max_clients = 20000"])?;
    within(LIMIT, "the gateway serves", async || TcpStream::connect(at).await.ok().map(drop))
        .await?;
    pin(system.service("g1")?.pid().context("the gateway runs")?, CORES[0])?;
    pin(std::process::id(), CORES[1])?;
    let group = system.group();
    let command = format!(
        "*3\r\n$8\r\nSENTINEL\r\n$23\r\nget-master-addr-by-name\r\n${}\r\n{group}\r\n",
        group.as_str().len()
    );
    let mut first = connected(at).await?;
    first.write_all(command.as_bytes()).await?;
    let mut reply = vec![0; 256];
    let length = first.read(&mut reply).await?;
    ensure!(reply.starts_with(b"*2\r\n$"), "{:?}", String::from_utf8_lossy(&reply[..length]));
    let ask = Ask { command, length };

    println!("SENTINEL get-master-addr-by-name, the gateway on one core:");
    println!("  pipelined by {PIPELINE}, {BUSY} connections: {:.0} a second", ask.rate(at).await?);
    let mut open = vec![first];
    for count in [1, 100, SUBSCRIBERS] {
        while open.len() < count {
            open.push(connected(at).await?);
        }
        let (half, most) = ask.latency(&mut open).await?;
        println!(
            "  {count} connections, one request at a time: p50 {half:.0} us, p99 {most:.0} us"
        );
    }
    drop(open);
    subscribers(&mut system, at).await?;
    system.shut_down().await
}

/// One command, and how many bytes answer it.
struct Ask {
    command: String,
    length: usize,
}

impl Ask {
    async fn rate(&self, at: SocketAddr) -> Result<f64> {
        let request = self.command.repeat(PIPELINE);
        let mut tasks = JoinSet::new();
        let end = now() + SPAN;
        for _ in 0..BUSY {
            let (mut stream, request) = (connected(at).await?, request.clone());
            let mut replies = vec![0; self.length * PIPELINE];
            tasks.spawn(async move {
                let mut count = 0_u32;
                while now() < end {
                    stream.write_all(request.as_bytes()).await?;
                    stream.read_exact(&mut replies).await?;
                    count += u32::try_from(PIPELINE)?;
                }
                Ok::<u32, anyhow::Error>(count)
            });
        }
        let mut all = 0.0;
        while let Some(count) = tasks.join_next().await {
            all += f64::from(count??);
        }
        Ok(all / SPAN.as_secs_f64())
    }

    /// Microseconds: the half and ninety-nine of a hundred are faster.
    async fn latency(&self, open: &mut [TcpStream]) -> Result<(f64, f64)> {
        let mut times = Vec::with_capacity(ASKED);
        let mut reply = vec![0; self.length];
        let count = open.len();
        for n in 0..ASKED {
            // Not one neighbour after the other.
            let stream = &mut open[n * 7_919 % count];
            let since = now();
            stream.write_all(self.command.as_bytes()).await?;
            stream.read_exact(&mut reply).await?;
            times.push(since.elapsed());
        }
        times.sort_unstable();
        let us = |part: usize| times[ASKED * part / 100].as_secs_f64() * 1e6;
        Ok((us(50), us(99)))
    }
}

/// Kills the master, and takes the time from the commit until each subscriber has heard.
async fn subscribers(system: &mut System, at: SocketAddr) -> Result<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..SUBSCRIBERS {
        let mut stream = connected(at).await?;
        stream.write_all(b"SUBSCRIBE +switch-master\r\n").await?;
        let mut buffer = vec![0; 256];
        let _ = stream.read(&mut buffer).await?;
        tasks.spawn(async move {
            let count = stream.read(&mut buffer).await?;
            let heard = now();
            let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
            ensure!(text.contains("+switch-master"), "{text:?}");
            Ok::<Instant, anyhow::Error>(heard)
        });
    }
    let (old, mark) = (system.master(), system.watcher.mark());
    system.nodes[0].kill9()?;
    let committed = |fact: &_| pick::record(fact).filter(|r| r.master != old).map(|_| ());
    let (committed, ()) = system.watcher.wait(mark, LIMIT, "the commit", committed).await?;
    let mut heard = Vec::with_capacity(SUBSCRIBERS);
    while let Some(at) = tokio::time::timeout(LIMIT, tasks.join_next()).await? {
        heard.push(at??);
    }
    heard.sort_unstable();
    let ms = |n: usize| vedette_live::ms(committed, heard[n]);
    println!("+switch-master to {SUBSCRIBERS} subscribers, from the commit on the bus:");
    println!(
        "  first {:.1} ms, half {:.1} ms, last {:.1} ms",
        ms(0),
        ms(SUBSCRIBERS / 2),
        ms(SUBSCRIBERS - 1)
    );
    Ok(())
}

async fn connected(at: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(at).await.context("raise the file limit: ulimit -n 21000")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Keeps all threads of a process on one core.
fn pin(pid: u32, core: &str) -> Result<()> {
    let done = Command::new("taskset").args(["-apc", core, &pid.to_string()]).output();
    let done = done.context("taskset is missing: `apt-get install util-linux`")?;
    ensure!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(())
}
