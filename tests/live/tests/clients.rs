//! What applications use: the Rust kit, and the examples in other languages as processes of their
//! own. Each starts while no orchestrator answers, moves with two failovers, and writes on through
//! a restart of NATS between them.

use anyhow::{Context, Result, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, consumer::pull, kv, stream};
use futures::StreamExt;
use futures::future::ready;
use redis::{AsyncCommands, IntoConnectionInfo, RedisResult};
use std::path::{Path, PathBuf};
use std::time::Duration;
use vedette_client::{Follower, Limits, Masters};
use vedette_harness::{
    Home, LIMIT, NatsServer, Plan, Process, Relay, System, now, pick, stays, within,
};
use vedette_live::{invariants, ms, tell, workshop};
use vedette_model::{Fact, FactKind, MasterRecord, NodeAddr, Sender, Service};
use vedette_wire::{Header, encode};

/// From an announcement to the first write on the new master.
const MOVE_LIMIT: Duration = Duration::from_secs(3);
/// Where the group is announced, as the guide says.
const SUBJECT: &str = "vedette.v1.master.orders=2Eeu";

/// An application that writes `written-by-<name>` without a pause.
trait Application {
    fn name(&self) -> &str;
    /// Whether it has said or shown that it takes this one for the master.
    fn is_at(&self, master: &NodeAddr, epoch: u64) -> bool;
    /// What it knows, or every move that it has said.
    fn moves(&self) -> String;
}

struct RustKit {
    follower: Follower,
    writer: tokio::task::JoinHandle<()>,
}

impl RustKit {
    async fn start(system: &System) -> Result<Self> {
        let follower = Follower::start(
            watch(system).await?,
            "redis://template".into_connection_info()?,
            Limits::default(),
        );
        let mut connection = follower.clone();
        let writer = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            for number in 0_u64.. {
                pace.tick().await;
                // A failed write is not repeated; the next one finds the master.
                let _: RedisResult<()> = connection.set("written-by-rust", number).await;
            }
        });
        Ok(Self { follower, writer })
    }
}

impl Application for RustKit {
    fn name(&self) -> &str {
        "rust"
    }

    fn is_at(&self, master: &NodeAddr, epoch: u64) -> bool {
        self.follower.present().is_some_and(|m| m.master == *master && m.epoch.0 == epoch)
    }

    fn moves(&self) -> String {
        format!("{:?}", self.follower.present().map(|master| master.epoch))
    }
}

impl Drop for RustKit {
    fn drop(&mut self) {
        self.writer.abort();
    }
}

/// The examples print one line for each master they move to.
impl Application for Process {
    fn name(&self) -> &str {
        Self::name(self)
    }

    fn is_at(&self, master: &NodeAddr, epoch: u64) -> bool {
        self.moves().lines().last() == Some(&format!("master {master} epoch {epoch}"))
    }

    fn moves(&self) -> String {
        let log = self.log();
        let moves = log.lines().filter(|line| line.starts_with("master "));
        moves.collect::<Vec<_>>().join("\n")
    }
}

async fn watch(system: &System) -> Result<Masters> {
    let client = vedette_client::connect(system.urls()).await?;
    Ok(Masters::watch(client, "vedette", system.group().as_str()).await?)
}

#[tokio::test]
async fn the_rust_kit_follows() -> Result<()> {
    let mut system = begin().await?;
    let kit = RustKit::start(&system).await?;
    let mut masters = watch(&system).await?;
    let first = masters.next().await.context("the first master")?;
    ensure!(first.master == system.master(), "the present master comes first: {first:?}");
    let told = tokio::spawn(masters.map(|master| master.epoch.0).take(2).collect::<Vec<_>>());
    let last = story(&mut system, &[&kit]).await?;
    let told = tokio::time::timeout(LIMIT, told).await??;
    let rises = first.epoch.0 < told[0] && told[0] < told[1];
    ensure!(rises && told[1] == last.epoch.0, "one change for each failover: {told:?}");
    invariants(&system)?;
    system.finish().await
}

/// From the end of a cut to the next master being known.
const KNOWN_LIMIT: Duration = Duration::from_secs(1);

#[tokio::test]
async fn whoever_was_cut_off_during_a_failover_knows_the_next_master_at_once() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down"]);
    let gateway = system.start_gateway("g1", &["clients.repeat_last_switch = true"])?;
    let relay = Relay::start(system.nats[0].url().trim_start_matches("nats://").parse()?).await?;
    let client = vedette_client::connect(format!("nats://{}", relay.at())).await?;
    let group = system.group();
    let mut masters = Masters::watch(client, "vedette", group.as_str()).await?;
    let (old, mark) = (system.master(), system.watcher.mark());
    let first = masters.next().await.context("the first master")?;
    ensure!(first.master == old, "{first:?}");

    relay.cut(true);
    system.nodes[0].kill9()?;
    let (_, next) = system.watcher.new_master(mark, LIMIT, &group, &old).await?;
    let settled = |fact: &Fact| {
        let record = pick::record(fact)?;
        (record.master == next.master && record.failover.is_none()).then_some(())
    };
    system.watcher.wait(mark, LIMIT, "the failover is long over", settled).await?;
    let known = tokio::time::timeout(Duration::from_millis(100), masters.next()).await;
    ensure!(known.is_err(), "it was cut off: {known:?}");

    relay.cut(false);
    let since = now();
    let heard = tokio::time::timeout(KNOWN_LIMIT, masters.next()).await;
    let heard = heard.context("not known in time")?.context("the stream goes on")?;
    ensure!(heard.master == next.master && heard.epoch == next.epoch, "{heard:?}");
    tell(&format!("known {:.0} ms after the cut's end", ms(since, now())));

    // Who subscribes at a gateway now missed it as well.
    let sentinel = redis::Client::open(format!("redis://{gateway}"))?;
    let subscriber =
        within(LIMIT, "the gateway is open", async || sentinel.get_async_pubsub().await.ok());
    let mut subscriber = subscriber.await?;
    subscriber.subscribe("+switch-master").await?;
    let said = tokio::time::timeout(KNOWN_LIMIT, subscriber.on_message().next()).await?;
    let said: String = said.context("it is told")?.get_payload()?;
    let words = |node: &NodeAddr| format!("{} {}", node.host(), node.port());
    ensure!(said == format!("{group} {} {}", words(&old), words(&next.master)), "{said}");
    invariants(&system)?;
    system.finish().await
}

#[tokio::test]
async fn the_examples_in_other_languages_follow() -> Result<()> {
    let mut examples = vec![("python", python().await?), ("node", node().await?)];
    if std::env::var_os("VEDETTE_GO").is_some() {
        examples.push(("go", go().await?));
    } else {
        tell("Go's example was not run: set VEDETTE_GO=1 where the Go module proxy is reachable");
    }
    streams_are_not_believed(&examples).await?;
    the_bucket_is_enough(&examples).await?;
    let mut system = begin().await?;
    let kits = start(&examples, &system.urls(), &system.path()?)?;
    let kits: Vec<&dyn Application> = kits.iter().map(|kit| kit as &dyn Application).collect();
    let last = story(&mut system, &kits).await?;
    as_the_guide_says(&system, &last).await?;
    invariants(&system)?;
    system.finish().await
}

/// Each example as a process that follows `orders.eu`.
fn start(examples: &[(&str, Run)], urls: &[String], folder: &Path) -> Result<Vec<Process>> {
    let urls = urls.join(",");
    let each = examples.iter().map(|(name, (program, arguments))| {
        let environment = [
            ("NATS_URL", urls.as_str()),
            ("GROUP", "orders.eu"),
            // Node's library takes no login from an address. A server without users takes any.
            ("NATS_USER", "application"),
            ("NATS_PASSWORD", "application"),
        ];
        let environment = environment.map(|(name, value)| (name.into(), value.into())).into();
        let (program, arguments) = (program.clone(), arguments.clone());
        Process::spawn_at(Home::loopback(), environment, name, program, arguments, folder)
    });
    each.collect()
}

/// Whoever may read a stream has it hand its messages over where he likes.
async fn streams_are_not_believed(examples: &[(&str, Run)]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let servers = NatsServer::start(1, true, folder.path()).await?;
    let client = servers[0].client().await?;
    let kits = start(examples, &[servers[0].url().into()], folder.path())?;
    // Nobody listens there.
    let (first, second) = (NodeAddr::new("127.0.0.1", 1)?, told(2, 2));
    for kit in &kits {
        within(LIMIT, &format!("{} is at the first master", kit.name()), async || {
            // Said until it is heard: nobody asks for it here.
            client.publish(SUBJECT, told(1, first.port()).into()).await.ok()?;
            kit.is_at(&first, 1).then_some(())
        })
        .await?;
    }

    let mut heard = client.subscribe(SUBJECT).await?;
    let context = jetstream::new(client.clone());
    let config = stream::Config { name: "theirs".into(), ..stream::Config::default() };
    let config = stream::Config { subjects: vec!["theirs".into()], allow_direct: true, ..config };
    let stream = context.create_stream(config).await?;
    context.publish("theirs", second.clone().into()).await?.await?;
    let consumer = stream.create_consumer(pull::Config::default()).await?;
    let next = format!("CONSUMER.MSG.NEXT.theirs.{}", consumer.cached_info().name);
    for (ask, with) in [(next, "1"), ("DIRECT.GET.theirs.theirs".into(), "")] {
        client.publish_with_reply(format!("$JS.API.{ask}"), SUBJECT, with.into()).await?;
        let mut handed = heard.by_ref().filter(|message| ready(message.payload == *second));
        tokio::time::timeout(LIMIT, handed.next()).await?.context("it is handed over")?;
    }
    client.publish(SUBJECT, told(3, first.port()).into()).await?;
    for kit in &kits {
        let what = format!("{} is at the third master", kit.name());
        within(LIMIT, &what, async || kit.is_at(&first, 3).then_some(())).await?;
        let moves = kit.moves();
        ensure!(!moves.contains("epoch 2"), "{} believes a stream: {moves}", kit.name());
    }
    Ok(())
}

/// As the application of `deploy/nats`, whose JetStream is a domain, where nobody answers and
/// nobody announces anything.
async fn the_bucket_is_enough(examples: &[(&str, Run)]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = NatsServer::start_with_rights(folder.path()).await?;
    let context = jetstream::new(server.client().await?);
    let config = kv::Config { bucket: "vedette-masters".into(), ..kv::Config::default() };
    let bucket = context.create_key_value(config).await?;
    bucket.put("orders=2Eeu", told(1, 1).into()).await?;
    let url = format!("nats://application:application@127.0.0.1:{}", server.port());
    let kits = start(examples, &[url], folder.path())?;
    let master = NodeAddr::new("127.0.0.1", 1)?;
    for kit in &kits {
        let what = format!("{} finds what is kept", kit.name());
        within(LIMIT, &what, async || kit.is_at(&master, 1).then_some(())).await?;
    }
    Ok(())
}

/// What applications read of a record.
fn told(epoch: u64, port: u16) -> String {
    format!(
        "{{\"schema\":1,\"epoch\":{epoch},\"revision\":{epoch},\"master\":\"127.0.0.1:{port}\",\
         \"host\":\"127.0.0.1\",\"port\":{port}}}"
    )
}

/// A system whose master is retained and whose orchestrators are gone.
async fn begin() -> Result<System> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "nats", "NATS", "jetstream", "bus", "leader"]);
    within(LIMIT, "the master is retained", async || system.retained().await.ok().flatten())
        .await?;
    for id in ["o1", "o2"] {
        system.service(id)?.kill9()?;
    }
    Ok(system)
}

/// Two failovers, a restart of NATS between them. Returns the last master.
async fn story(system: &mut System, kits: &[&dyn Application]) -> Result<MasterRecord> {
    let old = system.master();
    for kit in kits {
        let what = format!("{} finds the retained master", kit.name());
        within(LIMIT, &what, async || kit.is_at(&old, 1).then_some(())).await?;
        writes(system, *kit, &old, LIMIT).await?;
    }
    for id in ["o1", "o2"] {
        system.service(id)?.start()?;
    }
    let first = fail_over(system, kits, &old).await?;
    let dead = system.nodes.iter().position(|node| *node.addr() == old).context("the old one")?;
    system.nodes[dead].start()?;
    system.nodes[dead].answers().await?;
    system.all_follow(&first.master).await?;

    system.nats[0].kill9()?;
    for kit in kits {
        writes(system, *kit, &first.master, MOVE_LIMIT).await.context("without NATS")?;
    }
    system.nats[0].start()?;
    let last = fail_over(system, kits, &first.master).await?;
    let before: Vec<String> = kits.iter().map(|kit| kit.moves()).collect();
    repeat(system, &first).await?;
    stays(Duration::from_secs(1), async || {
        for (kit, before) in kits.iter().zip(&before) {
            ensure!(kit.moves() == *before, "{} went back: {}", kit.name(), kit.moves());
        }
        Ok(())
    })
    .await?;
    Ok(last)
}

/// Announces an old record again, as NATS may.
async fn repeat(system: &System, record: &MasterRecord) -> Result<()> {
    let header = Header {
        kind: FactKind::MasterRecord,
        sender: Sender::parse(Service::Client, "echo", 1)?,
        sequence: 1,
        sent_at_ms: 0,
        traceparent: None,
        tracestate: None,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in header.to_pairs() {
        headers.insert(name, value);
    }
    let client = system.nats[0].client().await?;
    let payload = encode(&Fact::MasterRecord(record.clone()))?.into();
    client.publish_with_headers(SUBJECT, headers, payload).await?;
    Ok(client.flush().await?)
}

/// Kills the master and waits until each application writes on the next one.
async fn fail_over(
    system: &mut System,
    kits: &[&dyn Application],
    old: &NodeAddr,
) -> Result<MasterRecord> {
    let mark = system.watcher.mark();
    let at = system.nodes.iter().position(|node| node.addr() == old).context("a node of ours")?;
    let killed = system.nodes[at].kill9()?;
    let (announced, master) = system.watcher.new_master(mark, LIMIT, &system.group(), old).await?;
    for kit in kits {
        let left = MOVE_LIMIT.saturating_sub(announced.elapsed());
        let what = format!("{} moves to {}", kit.name(), master.master);
        within(left, &what, async || kit.is_at(&master.master, master.epoch.0).then_some(()))
            .await?;
        let left = MOVE_LIMIT.saturating_sub(announced.elapsed());
        writes(system, *kit, &master.master, left).await?;
        tell(&format!(
            "{}: writes on the new master at the latest {:.0} ms after its announcement, {:.0} ms \
             after kill -9",
            kit.name(),
            ms(announced, now()),
            ms(killed, now())
        ));
    }
    Ok(master)
}

/// Waits until what an application wrote changes on this node, which replicates nobody.
async fn writes(
    system: &System,
    kit: &dyn Application,
    master: &NodeAddr,
    limit: Duration,
) -> Result<()> {
    written_by(kit.name(), system, master, limit).await
}

async fn written_by(name: &str, system: &System, master: &NodeAddr, limit: Duration) -> Result<()> {
    let node = system.node(master)?;
    let key = format!("written-by-{name}");
    let before: Option<u64> = node.command(&["GET", &key]).await?;
    within(limit, &format!("{name} writes on {master}"), async || {
        let value: Option<u64> = node.command(&["GET", &key]).await.ok()?;
        (value != before).then_some(())
    })
    .await
}

/// What `nats sub`, `nats request` and `nats kv get` read in the guide, word for word.
async fn as_the_guide_says(system: &System, last: &MasterRecord) -> Result<()> {
    let seen = system.watcher.since(0);
    let announced = seen.iter().any(|seen| seen.subject == SUBJECT);
    ensure!(announced, "nats sub {SUBJECT} would have heard nothing");
    let client = system.nats[0].client().await?;
    let answer = client.request("vedette.v1.ask.master.orders=2Eeu", "".into()).await?.payload;
    let words = format!("\"master\":\"{}\"", last.master);
    ensure!(String::from_utf8_lossy(&answer).contains(&words), "{answer:?}");
    let context = async_nats::jetstream::new(client);
    let bucket = context.get_key_value("vedette-masters").await?;
    within(LIMIT, "nats kv get vedette-masters orders=2Eeu", async || {
        let kept = bucket.get("orders=2Eeu").await.ok()??;
        String::from_utf8_lossy(&kept).contains(&words).then_some(())
    })
    .await
}

/// A program and its arguments.
type Run = (PathBuf, Vec<String>);

async fn python() -> Result<Run> {
    let python =
        workshop::python(&own("python"), &sources("python").join("requirements.txt")).await?;
    Ok((python, vec![text(&sources("python").join("follow.py"))]))
}

async fn node() -> Result<Run> {
    let folder = own("node");
    let node = workshop::node(&folder, &sources("node"), &["follow.mjs", "vedette.mjs"]).await?;
    Ok((node, vec![text(&folder.join("follow.mjs"))]))
}

async fn go() -> Result<Run> {
    let program = workshop::go(&own("go"), &sources("go"), "follow").await?;
    Ok((program, Vec::new()))
}

/// Where an example is installed.
fn own(language: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(language)
}

fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients").join(language)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
