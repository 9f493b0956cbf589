//! What applications use: the Rust kit, and the examples in other languages as processes of their
//! own. Each starts while no orchestrator answers, moves with two failovers, and writes on through
//! a restart of NATS between them.

use anyhow::{Context, Result, bail, ensure};
use async_nats::HeaderMap;
use futures::StreamExt;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
};
use redis::{AsyncCommands, IntoConnectionInfo, RedisResult};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::process::Command;
use tokio::sync::OnceCell;
use vedette_client::{Follower, Limits, Masters};
use vedette_harness::{Home, LIMIT, Plan, Process, System, now, ports, stays, within};
use vedette_live::{invariants, ms, tell};
use vedette_model::{Fact, FactKind, MasterRecord, NodeAddr, Sender, Service};
use vedette_wire::{Header, encode};

/// From an announcement to the first write on the new master.
const MOVE_LIMIT: Duration = Duration::from_secs(3);
/// Where the group is announced, as the guide says.
const SUBJECT: &str = "vedette.v1.master.orders=2Eeu";
/// For one step of fetching and building an example.
const INSTALL_LIMIT: Duration = Duration::from_secs(300);

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

#[tokio::test]
async fn the_examples_in_other_languages_follow() -> Result<()> {
    let mut examples = vec![("python", python().await?), ("node", node().await?)];
    if std::env::var_os("VEDETTE_GO").is_some() {
        examples.push(("go", go().await?));
    } else {
        tell("Go's example was not run: set VEDETTE_GO=1 where the Go module proxy is reachable");
    }
    let mut system = begin().await?;
    let mut kits = Vec::new();
    for (name, (program, arguments)) in examples {
        let environment = vec![
            ("NATS_URL".into(), system.urls().join(",")),
            ("GROUP".into(), system.group().to_string()),
        ];
        let folder = system.path()?;
        let home = Home::loopback();
        kits.push(Process::spawn_at(home, environment, name, program, arguments, &folder)?);
    }
    let kits: Vec<&dyn Application> = kits.iter().map(|kit| kit as &dyn Application).collect();
    let last = story(&mut system, &kits).await?;
    as_the_guide_says(&system, &last).await?;
    invariants(&system)?;
    system.finish().await
}

/// Clients of Redis Sentinel, pointed at gateways and otherwise as they are.
async fn sentinels_clients(system: &mut System) -> Result<Vec<Process>> {
    let ((python, _), (node, _)) = (python().await?, node().await?);
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs");
    let script = workshop("node")?.join("sentinel.mjs");
    std::fs::copy(programs.join("sentinel.mjs"), &script).context("sentinel.mjs")?;
    let folder = system.path()?;
    let (ca, keys) = certificates(&folder)?;
    let (mut plain, mut encrypted) = (Vec::new(), Vec::new());
    for id in ["g1", "g2"] {
        let tls = format!("127.0.0.1:{}", ports::free()?);
        let mut keys = keys.clone();
        keys.push(format!("clients.tls.listen = \"{tls}\""));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        plain.push(system.start_gateway(id, &keys)?.to_string());
        encrypted.push(tls);
    }
    let group = system.group();
    let start = |name: &str, program: &Path, script: &Path, more: &[(&str, String)]| {
        let own = |(key, value): &(&str, String)| ((*key).to_string(), value.clone());
        let mut environment = vec![("GROUP".to_string(), group.to_string())];
        environment.extend(more.iter().map(own));
        let (program, arguments) = (program.into(), vec![text(script)]);
        Process::spawn_at(Home::loopback(), environment, name, program, arguments, &folder)
    };
    let at = [("SENTINELS", plain.join(","))];
    let secret = [
        ("NAME", "redis-py-tls".to_string()),
        ("SENTINELS", encrypted.join(",")),
        ("SENTINEL_CA", text(&ca)),
        ("SENTINEL_USER", "app".into()),
        ("SENTINEL_PASSWORD", "hush".into()),
    ];
    Ok(vec![
        start("redis-py", &python, &programs.join("sentinel.py"), &at)?,
        start("redis-py-tls", &python, &programs.join("sentinel.py"), &secret)?,
        start("ioredis", &node, &script, &at)?,
    ])
}

#[tokio::test]
async fn sentinels_clients_follow_through_gateways() -> Result<()> {
    let mut system = System::start(Plan::default()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert", "tilt"]);
    let clients = sentinels_clients(&mut system).await?;
    let names = ["redis-py", "redis-py-tls", "ioredis", "ioredis-detector"];
    let mut master = system.master();
    for name in names {
        written_by(name, &system, &master, LIMIT).await?;
    }
    // A crash, and then a machine that hangs and comes back.
    for frozen in [false, true] {
        let mark = system.watcher.mark();
        let at = system.nodes.iter().position(|node| *node.addr() == master).context("a node")?;
        let since = if frozen { system.nodes[at].stop()? } else { system.nodes[at].kill9()? };
        let group = system.group();
        let (announced, next) = system.watcher.new_master(mark, LIMIT, &group, &master).await?;
        for name in names {
            let left = MOVE_LIMIT.saturating_sub(announced.elapsed());
            written_by(name, &system, &next.master, left).await?;
            tell(&format!(
                "{name}: writes on the new master at the latest {:.0} ms after its announcement, \
                 {:.0} ms after the fault",
                ms(announced, now()),
                ms(since, now())
            ));
        }
        if frozen {
            system.nodes[at].cont()?;
        } else {
            system.nodes[at].start()?;
        }
        system.nodes[at].answers().await?;
        system.all_follow(&next.master).await?;
        master = next.master;
        for name in names {
            written_by(name, &system, &master, MOVE_LIMIT).await.context("after its return")?;
        }
    }
    drop(clients);
    invariants(&system)?;
    system.finish().await
}

/// A certificate for this machine, and what a gateway is configured with to show it: whoever does
/// not log in may read, and so may the user `app`. The CA that clients trust, and those keys.
fn certificates(folder: &Path) -> Result<(PathBuf, Vec<String>)> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // Of one name with its issuer OpenSSL would take the certificate for a self-signed one.
    params.distinguished_name.push(DnType::CommonName, "the clients' CA");
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["127.0.0.1".to_string()])?;
    params.distinguished_name.push(DnType::CommonName, "gateway");
    params.use_authority_key_identifier_extension = true;
    let own = params.signed_by(&key, &ca)?;
    let [trusted, certificate, private] =
        ["ca.pem", "gateway.pem", "gateway.key"].map(|name| folder.join(name));
    std::fs::write(&trusted, ca.pem())?;
    std::fs::write(&certificate, own.pem())?;
    std::fs::write(&private, key.serialize_pem())?;
    let keys = vec![
        format!("clients.tls.certificate = {certificate:?}"),
        format!("clients.tls.key = {private:?}"),
        "clients.users.app.password = \"hush\"".into(),
        "clients.users.default.rights = \"read\"".into(),
    ];
    Ok((trusted, keys))
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

/// Installs what its tests share once, although they run at a time.
async fn python() -> Result<Run> {
    static INSTALLED: OnceCell<Run> = OnceCell::const_new();
    INSTALLED.get_or_try_init(install_python).await.cloned()
}

/// As [`python`].
async fn node() -> Result<Run> {
    static INSTALLED: OnceCell<Run> = OnceCell::const_new();
    INSTALLED.get_or_try_init(install_node).await.cloned()
}

async fn install_python() -> Result<Run> {
    let folder = workshop("python")?;
    let system = found("python3", "python3 python3-venv")?;
    let python = folder.join("venv/bin/python");
    if !python.is_file() {
        let venv = [PathBuf::from("-m"), "venv".into(), folder.join("venv")];
        install(&system, &venv, &folder, "python3 python3-venv").await?;
    }
    let list = sources("python").join("requirements.txt");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"];
    let mut pip: Vec<PathBuf> = pip.iter().map(PathBuf::from).collect();
    pip.push(list);
    install(&python, &pip, &folder, "python3-venv").await?;
    Ok((python, vec![text(&sources("python").join("follow.py"))]))
}

async fn install_node() -> Result<Run> {
    let folder = workshop("node")?;
    let (node, npm) = (found("node", "nodejs npm")?, found("npm", "nodejs npm")?);
    // Packages are found beside the program that imports them.
    for file in ["package.json", "package-lock.json", "follow.mjs"] {
        std::fs::copy(sources("node").join(file), folder.join(file)).context(file)?;
    }
    let words = ["ci", "--no-audit", "--no-fund", "--loglevel=error"].map(PathBuf::from);
    install(&npm, &words, &folder, "npm").await?;
    Ok((node, vec![text(&folder.join("follow.mjs"))]))
}

async fn go() -> Result<Run> {
    let folder = workshop("go")?;
    let go = found("go", "golang-go")?;
    let program = folder.join("follow");
    let words =
        ["build".into(), "-buildvcs=false".into(), "-o".into(), program.clone(), ".".into()];
    install(&go, &words, &sources("go"), "golang-go").await?;
    Ok((program, Vec::new()))
}

fn sources(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../clients").join(language)
}

/// Where an example is installed; kept between runs.
fn workshop(language: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients").join(language);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn found(program: &str, packages: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is missing: `apt-get install {packages}`"))
}

async fn install(program: &Path, words: &[PathBuf], at: &Path, packages: &str) -> Result<()> {
    let mut command = Command::new(program);
    command.args(words).current_dir(at).kill_on_drop(true).stdin(std::process::Stdio::null());
    let what = format!("{} {words:?}", program.display());
    let output = tokio::time::timeout(INSTALL_LIMIT, command.output()).await;
    let output = output.with_context(|| format!("{what} does not end"))?.context(what.clone())?;
    if !output.status.success() {
        bail!(
            "{what} failed: check the network, and `apt-get install {packages}`\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
