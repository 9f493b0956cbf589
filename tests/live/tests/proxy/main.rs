//! HAProxy and Envoy with the configurations of `deploy/`, and the checks that they go by, over
//! failovers.

mod envoy;

use anyhow::{Context as _, Result, ensure};
use redis::{AsyncConnectionConfig, Client};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use vedette_harness::{GROUP, LIMIT, Node, Plan, Process, System, now, ports, within};
use vedette_live::page::page;
use vedette_live::{
    distribution, finish, in_network, invariants, ms, rounds, switched, tell, writing,
};
use vedette_model::NodeAddr;

/// From an announcement until the proxy has closed the sessions to the old master: it asks every
/// 100 ms, and the machine may be busy.
const CLOSED_LIMIT: Duration = Duration::from_millis(300);
/// One command or check of this test.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// The status that a gateway answers to a path.
async fn status(at: SocketAddr, path: &str) -> Result<u16> {
    Ok(tokio::time::timeout(ANSWER_LIMIT, page(at, path)).await??.status)
}

async fn check(at: SocketAddr, system: &System, kind: &str, node: &NodeAddr) -> Result<u16> {
    status(at, &format!("/groups/{}/{kind}?node={node}", system.group())).await
}

/// Starts a gateway with its second port. Where that is.
async fn gateway(system: &mut System, id: &str) -> Result<SocketAddr> {
    let at = system.free_at(id)?;
    let key = format!("http.listen = \"{at}\"");
    let _ = system.start_gateway(id, &[&key])?;
    within(LIMIT, &format!("{id} is ready"), async || {
        (status(at, "/readyz").await.ok()? == 200).then_some(())
    })
    .await?;
    Ok(at)
}

fn haproxy() -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("haproxy"))
        .find(|path| path.is_file());
    found.context("haproxy is missing: `apt-get install haproxy`")
}

/// The text of an example in `deploy/` after these changes, for each of which it has a place.
fn example(name: &str, changes: &[(String, String)]) -> Result<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    let mut text = std::fs::read_to_string(file)?;
    for (from, to) in changes {
        ensure!(text.contains(from), "{name} does not have {from}");
        text = text.replace(from, to);
    }
    Ok(text)
}

/// HAProxy with the example's text and this system's addresses. Where it takes writes and reads.
fn proxy(system: &System, gateways: &[SocketAddr], folder: &Path) -> Result<(Process, u16, u16)> {
    let (writes, reads, checks) = (ports::free()?, ports::free()?, ports::free()?);
    let mut changes = vec![
        ("/groups/orders/".into(), format!("/groups/{}/", system.group())),
        ("127.0.0.1:6390".into(), format!("127.0.0.1:{writes}")),
        ("127.0.0.1:6391".into(), format!("127.0.0.1:{reads}")),
        ("26399".into(), checks.to_string()),
    ];
    for (n, at) in gateways.iter().enumerate() {
        changes.push((format!("10.0.1.{}:26380", n + 1), at.to_string()));
    }
    for (n, node) in system.nodes.iter().enumerate() {
        changes.push((format!("10.0.0.{}:6379", n + 1), node.addr().to_string()));
    }
    let file = folder.join("haproxy.cfg");
    std::fs::write(&file, example("haproxy.cfg", &changes)?)?;
    let arguments = ["-db", "-f"].map(String::from).into_iter();
    let arguments = arguments.chain([file.to_string_lossy().into_owned()]).collect();
    Ok((Process::spawn("haproxy", haproxy()?, arguments, folder)?, writes, reads))
}

/// Writes through the proxy without a pause; when each write was acknowledged, and when a connection
/// was closed.
struct Through {
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    closed: Arc<Mutex<Vec<Instant>>>,
    writer: JoinHandle<()>,
}

impl Through {
    fn port(port: u16) -> Result<Self> {
        let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
        // A connection that hangs is not given up here: the proxy has to close it.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let done = Arc::clone(&acknowledged);
        let closed = Arc::new(Mutex::new(Vec::new()));
        let ended = Arc::clone(&closed);
        let writer = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(5));
            let mut number = 0;
            loop {
                pace.tick().await;
                let connect = client.get_multiplexed_async_connection_with_config(&config);
                let Ok(Ok(mut link)) = tokio::time::timeout(ANSWER_LIMIT, connect).await else {
                    continue;
                };
                loop {
                    pace.tick().await;
                    let (key, mut set) = (format!("through:{number}"), redis::cmd("SET"));
                    let write = set.arg(key).arg(number).query_async::<()>(&mut link);
                    let Ok(Ok(())) = tokio::time::timeout(LIMIT, write).await else {
                        ended.lock().expect("nobody panics with it").push(now());
                        break;
                    };
                    done.lock().expect("nobody panics with it").push(now());
                    number += 1;
                }
            }
        });
        Ok(Self { acknowledged, closed, writer })
    }

    fn first_after(&self, at: Instant) -> Option<Instant> {
        let all = self.acknowledged.lock().expect("nobody panics with it");
        all.iter().copied().find(|write| *write > at)
    }

    fn closed_after(&self, at: Instant) -> Option<Instant> {
        let all = self.closed.lock().expect("nobody panics with it");
        all.iter().copied().find(|closed| *closed > at)
    }

    fn count(&self) -> usize {
        self.acknowledged.lock().expect("nobody panics with it").len()
    }
}

/// Asks both gateways about both nodes without a pause; whatever contradicts the rule. Once a
/// gateway has said yes to the new master, no gateway may say it of the old one any more.
fn sampled(
    gateways: Vec<SocketAddr>,
    group: String,
    old: NodeAddr,
    others: Vec<NodeAddr>,
) -> JoinHandle<Result<u64>> {
    tokio::spawn(async move {
        let asks = |at, node: NodeAddr| {
            let path = format!("/groups/{group}/primary?node={node}");
            async move { status(at, &path).await.is_ok_and(|code| code == 200) }
        };
        let (mut samples, mut moved) = (0, false);
        let since = now();
        // Until a while after the change.
        let mut end = None;
        while end.is_none_or(|end| now() < end) && since.elapsed() < LIMIT {
            for at in &gateways {
                let was_moved = moved;
                let old_is = asks(*at, old.clone()).await;
                ensure!(!(was_moved && old_is), "{old} was said to be primary again by {at}");
                let mut said = 0;
                for node in &others {
                    said += u8::from(asks(*at, node.clone()).await);
                }
                ensure!(said <= 1, "{at} says so of {said} nodes");
                moved |= said > 0;
                samples += 1;
            }
            if moved && end.is_none() {
                end = Some(now() + Duration::from_secs(2));
            }
        }
        ensure!(moved, "no new primary was seen");
        Ok(samples)
    })
}

#[tokio::test]
async fn writes_move_with_the_master_and_never_to_two() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert"]);
    let gateways = [gateway(&mut system, "g1").await?, gateway(&mut system, "g2").await?];
    let old = system.master();
    for at in gateways {
        within(LIMIT, "the checks know all nodes", async || {
            for node in &system.nodes {
                let kind = if *node.addr() == old { "primary" } else { "replica" };
                let is = check(at, &system, kind, node.addr()).await.ok()?;
                let other = if kind == "primary" { "replica" } else { "primary" };
                let not = check(at, &system, other, node.addr()).await.ok()?;
                ((is, not) == (200, 503)).then_some(())?;
            }
            Some(())
        })
        .await?;
    }
    let folder = system.path()?;
    let (_proxy, writes, reads) = proxy(&system, &gateways, &folder)?;
    let through = Through::port(writes)?;
    within(LIMIT, "writes go through the proxy", async || (through.count() > 100).then_some(()))
        .await?;
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let others = system.nodes[1..].iter().map(|node| node.addr().clone()).collect();
    let samples = sampled(gateways.to_vec(), system.group().to_string(), old.clone(), others);
    // It hangs and comes back with its connections: whoever is still connected would write there.
    let stopped = system.nodes[0].stop()?;
    let switch = switched(&system, &writer, mark, &old, stopped).await?;
    let new = switch.master.master.clone();
    let first = within(LIMIT, "writes go on through the proxy", async || {
        through.first_after(switch.announced)
    })
    .await?;
    let closed = through.closed_after(stopped).context("its session is gone")?;
    let spy_from = through.count();
    system.nodes[0].cont()?;
    system.all_follow(&new).await?;
    within(LIMIT, "500 more writes", async || (through.count() > spy_from + 500).then_some(()))
        .await?;
    let samples = samples.await??;
    tell(&format!(
        "announcement to the end of the session {:.0} ms, to the first write through the proxy {:.0} ms; \
         {samples} samples",
        ms(switch.announced, closed),
        ms(switch.announced, first)
    ));
    let late = closed.saturating_duration_since(switch.announced);
    ensure!(
        late <= CLOSED_LIMIT,
        "a session to the old master was closed {late:?} after the event"
    );
    through.writer.abort();
    let clients: String = system.nodes[0].command(&["CLIENT", "LIST", "TYPE", "normal"]).await?;
    let from_proxy = clients.lines().filter(|line| line.contains("cmd=set")).count();
    ensure!(from_proxy == 0, "somebody writes to the old master: {clients}");
    // The old master is one again.
    reads_from_a_replica(reads).await?;
    let last = through.count() - 1;
    let kept: Option<u64> =
        system.node(&new)?.command(&["GET", &format!("through:{last}")]).await?;
    ensure!(kept == u64::try_from(last).ok(), "the last write is not on the new master: {kept:?}");
    finish(system, writer, &new).await
}

/// Waits until a replica answers at this port.
async fn reads_from_a_replica(port: u16) -> Result<()> {
    let client = Client::open(format!("redis://127.0.0.1:{port}"))?;
    within(LIMIT, "reads are answered by a replica", async || {
        let mut link = client.get_multiplexed_async_connection().await.ok()?;
        let role: Vec<redis::Value> = redis::cmd("ROLE").query_async(&mut link).await.ok()?;
        matches!(&role[0], redis::Value::BulkString(role) if role == b"slave").then_some(())
    })
    .await
}

/// Waits until the check of reads says so of a replica. After how many milliseconds that was.
async fn reads(
    at: SocketAddr,
    system: &System,
    node: &NodeAddr,
    limit: &str,
    wanted: u16,
) -> Result<f64> {
    let since = now();
    let path = format!("/groups/{}/replica?node={node}{limit}", system.group());
    within(LIMIT, &format!("reads from {node}: {wanted}"), async || {
        (status(at, &path).await.ok()? == wanted).then_some(())
    })
    .await?;
    Ok(ms(since, now()))
}

#[tokio::test]
async fn a_replica_that_hangs_gets_no_reads_and_a_dead_master_takes_none_away() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert"]);
    let at = gateway(&mut system, "g1").await?;
    let addrs: Vec<NodeAddr> = system.nodes.iter().map(|node| node.addr().clone()).collect();
    let becomes = async |n: usize, wanted| reads(at, &system, &addrs[n], "", wanted).await;
    becomes(1, 200).await?;
    becomes(2, 200).await?;
    system.nodes[1].stop()?;
    let out = becomes(1, 503).await?;
    system.nodes[1].cont()?;
    let back = becomes(1, 200).await?;
    tell(&format!("a replica that hangs: out after {out:.0} ms, back after {back:.0} ms"));
    ensure!(out < 3_000.0 && back < 3_000.0, "out after {out} ms, back after {back} ms");
    let writer = writing(&system).await?;
    let mark = system.watcher.mark();
    let old = system.master();
    let killed = system.nodes[0].kill9()?;
    // All the time one replica or the other, or both, may be read from.
    let mut gaps = 0;
    let watched = async {
        loop {
            let mut readable = 0;
            for addr in &addrs[1..] {
                let code = check(at, &system, "replica", addr).await.unwrap_or(0);
                readable += u8::from(code == 200);
            }
            gaps += u32::from(readable == 0);
            tokio::task::yield_now().await;
        }
    };
    let switch = tokio::select! {
        () = watched => anyhow::bail!("it never ends"),
        switch = switched(&system, &writer, mark, &old, killed) => switch?,
    };
    ensure!(gaps == 0, "{gaps} times there was nobody to read from");
    system.nodes[0].start()?;
    system.nodes[0].answers().await?;
    let new = switch.master.master.clone();
    system.all_follow(&new).await?;
    finish(system, writer, &new).await
}

/// A field of what the node says of replication.
async fn says(node: &Node, field: &str, wanted: &str) -> Option<()> {
    (node.info("replication").await.ok()?.get(field)? == wanted).then_some(())
}

#[test]
fn a_replica_that_is_cut_off_or_synchronises_gets_no_reads_for_as_long() -> Result<()> {
    in_network(async |network| {
        // Smaller than what is written while it is away: it comes back with a full synchronisation,
        // which begins a while after it was asked for.
        let lines =
            ["repl-backlog-size 16384", "repl-diskless-sync yes", "repl-diskless-sync-delay 4"];
        let node_lines = lines.map(Into::into).into();
        let plan = Plan { node_lines, ..Plan::default() };
        let mut system = System::start_servers_at(plan, Some(network)).await?;
        system.start_services()?;
        system.ready().await?;
        let at = gateway(&mut system, "g1").await?;
        let writer = writing(&system).await?;
        let addr = system.nodes[1].addr().clone();
        let becomes = async |limit, wanted| reads(at, &system, &addr, limit, wanted).await;
        let near = "&max_lag=1000";
        becomes(near, 200).await?;

        // Nobody tells the replica that nothing comes any more: it says for a minute that it is linked.
        let path = [("redis1", "redis2"), ("redis2", "redis1")];
        let path = path.map(|(from, to)| (from.to_string(), to.to_string()));
        system.network().context("there is one")?.cut(&path)?;
        let behind = becomes(near, 503).await?;
        becomes("", 200).await?;

        // Now both ends know.
        let others = async |kill: &str| -> Result<()> {
            for (n, kind) in [(0, "replica"), (1, "master")] {
                let kill = [kill, "KILL", "TYPE", kind];
                let _killed: u32 = system.nodes[n].command(&kill).await?;
            }
            Ok(())
        };
        others("CLIENT").await?;
        let out = becomes("", 503).await?;
        let much = "x".repeat(1_000_000);
        let _ok: String = system.nodes[0].command(&["SET", "much", &much]).await?;
        system.network().context("there is one")?.cut(&[])?;
        let (group, mut wrong) = (system.group(), 0);
        within(LIMIT, "it is linked again", async || {
            let path = format!("/groups/{group}/replica?node={addr}");
            let readable = status(at, &path).await.ok()? == 200;
            let linked = says(&system.nodes[1], "master_link_status", "up").await;
            wrong += u32::from(readable && linked.is_none());
            linked
        })
        .await?;
        let stats = system.nodes[0].info("stats").await?;
        ensure!(stats["sync_full"] == "3", "it came back with a part only: {stats:?}");
        ensure!(wrong == 0, "{wrong} times it could be read from while it synchronised");
        let back = becomes(near, 200).await?;
        tell(&format!(
            "no reads: {behind:.0} ms after it was cut off, {out:.0} ms after its link broke, and none \
             until {back:.0} ms after it was level again"
        ));
        ensure!(behind < 2_500.0 && out < 2_000.0 && back < 2_000.0);
        let master = system.master();
        finish(system, writer, &master).await
    })
}

/// Files and sockets that a process holds open.
fn open_files(process: &Process) -> Result<usize> {
    let folder = format!("/proc/{}/fd", process.pid().context("it runs")?);
    Ok(std::fs::read_dir(folder)?.count())
}

#[tokio::test]
async fn many_changes_of_master_leave_no_socket_open() -> Result<()> {
    let mut system = System::start(Plan::of_many_failovers()).await?;
    system.announce(&[]);
    let gateways = [gateway(&mut system, "g1").await?, gateway(&mut system, "g2").await?];
    let (proxy, writes, _reads) = proxy(&system, &gateways, &system.path()?)?;
    let through = Through::port(writes)?;
    let count = |system: &System| -> Result<usize> {
        let services = system.services.iter().map(|service| open_files(service));
        services.chain([open_files(&proxy)]).sum()
    };
    let (rounds, mut waited, mut first) = (rounds(12)?, Vec::new(), None);
    let mut master = 0;
    for round in 0..rounds {
        let (mark, old) = (system.watcher.mark(), system.nodes[master].addr().clone());
        // Most are planned: those are quick.
        let dies = round % 10 == 9;
        if dies {
            system.nodes[master].kill9()?;
        } else {
            let _said = system.vedette(&["switchover", GROUP]).await?;
        }
        let (announced, new) =
            system.watcher.new_master(mark, LIMIT, &system.group(), &old).await?;
        let what = format!("round {round}: writes go on through the proxy");
        let write = within(LIMIT, &what, async || through.first_after(announced)).await?;
        waited.push(ms(announced, write));
        if dies {
            system.nodes[master].start()?;
            system.nodes[master].answers().await?;
        }
        system.all_follow(&new.master).await?;
        let found = system.nodes.iter().position(|node| *node.addr() == new.master);
        master = found.context("the new master is one of them")?;
        // Each node has been the master by then, and was given up.
        if round == 3 {
            first = Some(count(&system)?);
        }
    }
    let (before, after) = (first.context("four rounds at least")?, count(&system)?);
    tell(&format!(
        "{rounds} changes of master; announcement to first write through the proxy, in ms: {}; open \
         files of all services and the proxy: {before} after four, {after} in the end",
        distribution(&mut waited)
    ));
    through.writer.abort();
    // Connections that are kept for a moment come and go.
    ensure!(after <= before + 20, "{before} open files became {after}");
    invariants(&system)?;
    system.finish().await
}
