//! Envoy with the configuration of `deploy/`: writes move with the master, and no single gateway is
//! needed.

use crate::{CLOSED_LIMIT, Through, example, gateway, reads_from_a_replica};
use anyhow::{Context as _, Result, ensure};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use vedette_harness::{LIMIT, Plan, Process, System, binary, now, ports, within};
use vedette_live::{invariants, ms, tell};
use vedette_model::NodeAddr;

/// From an announcement to the first write: the same, and not the second for which Envoy keeps what
/// its checks say unless told otherwise.
const WRITE_LIMIT: Duration = Duration::from_millis(800);

/// Envoy with the example's text and this system's addresses. Where it takes writes and reads.
fn envoy(system: &System, gateways: &[SocketAddr], folder: &Path) -> Result<(Process, u16, u16)> {
    let (writes, reads, checks) = (ports::free()?, ports::free()?, ports::free()?);
    let port = |port: u16| format!("address: 127.0.0.1, port_value: {port}");
    let mut changes = vec![
        ("/groups/orders/".into(), format!("/groups/{}/", system.group())),
        (port(6390), port(writes)),
        (port(6391), port(reads)),
        (port(26399), port(checks)),
    ];
    for (n, at) in gateways.iter().enumerate() {
        let example = format!("address: 10.0.1.{}, port_value: 26380", n + 1);
        changes.push((example, port(at.port())));
    }
    for (n, node) in system.nodes.iter().enumerate() {
        let n = n + 1;
        changes.push((format!("node=10.0.0.{n}:6379"), format!("node={}", node.addr())));
        let example = format!("address: 10.0.0.{n}, port_value: 6379");
        changes.push((example, port(node.addr().port())));
    }
    let file = folder.join("envoy.yaml");
    std::fs::write(&file, example("envoy.yaml", &changes)?)?;
    // Several tests may have one each.
    let words = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning", "-c"];
    let words = words.map(String::from).into_iter();
    let words = words.chain([file.to_string_lossy().into_owned()]).collect();
    Ok((Process::spawn("envoy", binary::envoy()?, words, folder)?, writes, reads))
}

/// Waits until writes through the proxy went on at another master than `old`, which it is at now.
async fn moved(
    system: &System,
    through: &Through,
    mark: usize,
    old: &NodeAddr,
    since: Instant,
) -> Result<NodeAddr> {
    let (announced, master) = system.watcher.new_master(mark, LIMIT, &system.group(), old).await?;
    let first =
        within(LIMIT, "writes go on through the proxy", async || through.first_after(announced))
            .await?;
    let closed = through.closed_after(since).context("the session to the old master is gone")?;
    let late = closed.saturating_duration_since(announced);
    ensure!(late <= CLOSED_LIMIT, "a session to {old} was closed {late:?} after the event");
    tell(&format!(
        "Envoy: the session ended {:.0} ms after the event and {:.0} ms after the announcement; to the \
         first write through the proxy {:.0} ms",
        ms(since, closed),
        ms(announced, closed),
        ms(announced, first)
    ));
    let late = first.saturating_duration_since(announced);
    ensure!(late <= WRITE_LIMIT, "the first write came {late:?} after the event");
    Ok(master.master)
}

#[tokio::test]
async fn envoy_moves_writes_with_the_master_and_needs_no_single_gateway() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert"]);
    let gateways = [gateway(&mut system, "g1").await?, gateway(&mut system, "g2").await?];
    let folder = system.path()?;
    let (_envoy, writes, reads) = envoy(&system, &gateways, &folder)?;
    let through = Through::port(writes)?;
    within(LIMIT, "writes go through the proxy", async || (through.count() > 100).then_some(()))
        .await?;

    let (mark, first) = (system.watcher.mark(), system.master());
    let killed = system.nodes[0].kill9()?;
    let second = moved(&system, &through, mark, &first, killed).await?;
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    system.all_follow(&second).await?;

    // The gateway that was asked is gone: nobody loses a session, and the other one is asked.
    let since = now();
    system.service("g1")?.kill9()?;
    let from = through.count();
    within(LIMIT, "300 more writes", async || (through.count() > from + 300).then_some(())).await?;
    let closed = through.closed_after(since);
    ensure!(closed.is_none(), "a session was closed because a gateway died");

    // It hangs and comes back with its connections: whoever is still connected would write there.
    let mark = system.watcher.mark();
    let stopped = system.node(&second)?.stop()?;
    let third = moved(&system, &through, mark, &second, stopped).await?;
    let from = through.count();
    system.node(&second)?.cont()?;
    system.all_follow(&third).await?;
    within(LIMIT, "100 more writes", async || (through.count() > from + 100).then_some(())).await?;
    reads_from_a_replica(reads).await?;
    through.writer.abort();
    let last = through.count() - 1;
    let kept: Option<u64> =
        system.node(&third)?.command(&["GET", &format!("through:{last}")]).await?;
    ensure!(kept == u64::try_from(last).ok(), "the last write is not on the master: {kept:?}");
    invariants(&system)?;
    system.finish().await
}
