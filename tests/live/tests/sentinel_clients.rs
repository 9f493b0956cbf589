//! Clients of Redis Sentinel, pointed at gateways and otherwise as they are: each writes on through
//! a crash, a machine that hangs and comes back, and a planned switchover.

use anyhow::{Context, Result, ensure};
use fred::prelude::{
    Builder, ClientLike, Config, ReconnectPolicy, Server, ServerConfig, SetsInterface,
};
use fred::types::config::UnresponsiveConfig;
use redis::sentinel::{SentinelClient, SentinelServerType};
use redis::{AsyncCommands, AsyncConnectionConfig};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use vedette_harness::papers::Papers;
use vedette_harness::{GROUP, Home, LIMIT, Plan, Process, System, now, ports, within};
use vedette_live::{invariants, ms, plain, rounds, tell, workshop};
use vedette_model::NodeAddr;

/// From what happened to the master, which has to be noticed first, to the next acknowledged write;
/// and from the old master's return.
const MOVE_LIMIT: Duration = Duration::from_secs(3);
/// Between two writes of a client.
const PACE: Duration = Duration::from_millis(10);
/// A client's patience with one command.
const PATIENCE: Duration = Duration::from_millis(500);

/// A client that writes numbers in order, one at a time: `SADD written-by-<name> <number>`.
enum Client {
    Program(Process),
    Here { name: &'static str, said: Said, task: JoinHandle<()> },
}

/// What a client in this process says, as the programs do on their standard output.
type Said = Arc<Mutex<String>>;

fn say(said: &Said, words: &str) {
    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
    said.push_str(words);
    said.push('\n');
}

impl Client {
    fn name(&self) -> &str {
        match self {
            Self::Program(process) => process.name(),
            Self::Here { name, .. } => name,
        }
    }

    fn said(&self) -> String {
        match self {
            Self::Program(process) => process.log(),
            Self::Here { said, .. } => said.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// The numbers that it said with this word, in order.
    fn numbers(&self, word: &str) -> Vec<u64> {
        let said = self.said();
        let lines = said.lines().filter_map(|line| line.strip_prefix(word)?.trim().parse().ok());
        lines.collect()
    }

    /// How often it was told that it writes to a replica.
    fn refused(&self) -> usize {
        self.said().matches("READONLY").count()
    }

    /// The last number that it has begun to write.
    fn tried(&self) -> u64 {
        self.numbers("try").last().copied().unwrap_or(0)
    }

    /// Those of its numbers that this node has.
    async fn written_on(&self, system: &System, master: &NodeAddr) -> Result<BTreeSet<u64>> {
        let node = system.node(master)?;
        node.command(&["SMEMBERS", &format!("written-by-{}", self.name())]).await
    }

    /// Waits until a number that it began to write after `tried` is on this node.
    async fn writes_on(
        &self,
        system: &System,
        master: &NodeAddr,
        tried: u64,
        limit: Duration,
    ) -> Result<Instant> {
        let what = format!("{} writes on {master}", self.name());
        let seen = within(limit, &what, async || {
            let written = self.written_on(system, master).await.ok()?;
            (written.last().is_some_and(|last| *last > tried)).then(now)
        });
        seen.await.with_context(|| {
            let said = self.said();
            let last: Vec<_> = said.lines().rev().take(12).collect();
            last.into_iter().rev().collect::<Vec<_>>().join("\n")
        })
    }

    /// What it began to write after `tried` and had acknowledged is on this node, all of it.
    async fn nothing_went_elsewhere(
        &self,
        system: &System,
        master: &NodeAddr,
        tried: u64,
    ) -> Result<()> {
        let acknowledged: BTreeSet<u64> =
            self.numbers("ack").into_iter().filter(|number| *number > tried).collect();
        let written = self.written_on(system, master).await?;
        let missing: Vec<_> = acknowledged.difference(&written).collect();
        ensure!(missing.is_empty(), "{}: {missing:?} were acknowledged elsewhere", self.name());
        ensure!(!acknowledged.is_empty(), "{} had nothing acknowledged", self.name());
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Self::Here { task, .. } = self {
            task.abort();
        }
    }
}

/// The crate redis, which asks for the master again when a write fails.
fn redis_rs(gateways: &[SocketAddr], group: String) -> Result<Client> {
    let urls: Vec<String> = gateways.iter().map(|at| format!("redis://{at}")).collect();
    let mut sentinel = SentinelClient::build(urls, group, None, SentinelServerType::Master)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let (said, saying) = twice();
    let task = tokio::spawn(async move {
        let mut pace = tokio::time::interval(PACE);
        let mut connection = None;
        for number in 1_u64.. {
            pace.tick().await;
            say(&saying, &format!("try {number}"));
            if connection.is_none() {
                let opened = sentinel.get_async_connection_with_config(&config).await;
                connection = opened.map_err(|error| say(&saying, &error.to_string())).ok();
            }
            let Some(mut to) = connection.take() else { continue };
            let written: redis::RedisResult<()> = to.sadd("written-by-redis-rs", number).await;
            match written {
                Ok(()) => {
                    say(&saying, &format!("ack {number}"));
                    connection = Some(to);
                }
                Err(error) => say(&saying, &error.to_string()),
            }
        }
    });
    Ok(Client::Here { name: "redis-rs", said, task })
}

fn twice() -> (Said, Said) {
    let said = Said::default();
    (Arc::clone(&said), said)
}

/// The crate fred, which moves by itself.
async fn fred(gateways: &[SocketAddr], group: String) -> Result<Client> {
    let hosts = gateways.iter().map(|at| Server::new(at.ip().to_string(), at.port())).collect();
    let server = ServerConfig::Sentinel { hosts, service_name: group };
    let client = Builder::from_config(Config { server, ..Config::default() })
        .with_performance_config(|config| config.default_command_timeout = PATIENCE)
        .with_connection_config(|config| {
            config.connection_timeout = PATIENCE;
            config.internal_command_timeout = PATIENCE;
            config.unresponsive =
                UnresponsiveConfig { max_timeout: Some(PATIENCE), interval: PATIENCE / 5 };
        })
        .set_policy(ReconnectPolicy::new_constant(0, 100))
        .build()?;
    client.init().await?;
    let (said, saying) = twice();
    let task = tokio::spawn(async move {
        let mut pace = tokio::time::interval(PACE);
        for number in 1_i64.. {
            pace.tick().await;
            say(&saying, &format!("try {number}"));
            let written: Result<(), _> = client.sadd("written-by-fred", number).await;
            match written {
                Ok(()) => say(&saying, &format!("ack {number}")),
                Err(error) => say(&saying, &error.to_string()),
            }
        }
    });
    Ok(Client::Here { name: "fred", said, task })
}

async fn start(system: &mut System) -> Result<Vec<Client>> {
    let programs = plain::programs();
    let own = Path::new(env!("CARGO_TARGET_TMPDIR")).join("sentinel_clients");
    let python = workshop::python(&own.join("python"), &programs.join("requirements.txt")).await?;
    let modules = own.join("node");
    let node = workshop::node(&modules, &programs, &["ioredis.mjs", "node_redis.mjs"]).await?;
    let folder = system.path()?;
    let (ca, keys) = certificates(&folder)?;
    let (mut plain, mut encrypted) = (Vec::new(), Vec::new());
    for id in ["g1", "g2"] {
        let tls = format!("127.0.0.1:{}", ports::free()?);
        let mut keys = keys.clone();
        keys.push(format!("clients.tls.listen = \"{tls}\""));
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        plain.push(system.start_gateway(id, &keys)?);
        encrypted.push(tls);
    }
    // fred does not try again if nobody answers at its start.
    for at in &plain {
        let client = redis::Client::open(format!("redis://{at}"))?;
        within(LIMIT, "the gateway opens", async || {
            client.get_multiplexed_async_connection().await.ok().map(|_| ())
        })
        .await?;
    }
    let group = system.group().to_string();
    let listed = plain.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let program = |name: &str, script: PathBuf, more: &[(&str, String)]| {
        let own = |(key, value): &(&str, String)| ((*key).to_string(), value.clone());
        let mut environment = vec![
            ("GROUP".to_string(), group.clone()),
            ("NAME".to_string(), name.to_string()),
            ("SENTINELS".to_string(), listed.clone()),
        ];
        environment.extend(more.iter().map(own));
        let runs = if script.extension().is_some_and(|e| e == "py") { &python } else { &node };
        let arguments = vec![script.to_string_lossy().into_owned()];
        Process::spawn_at(Home::loopback(), environment, name, runs.clone(), arguments, &folder)
            .map(Client::Program)
    };
    let secret = [
        ("SENTINELS", encrypted.join(",")),
        ("SENTINEL_CA", ca.to_string_lossy().into_owned()),
        ("SENTINEL_USER", "app".into()),
        ("SENTINEL_PASSWORD", "hush".into()),
    ];
    let sentinel = programs.join("sentinel.py");
    Ok(vec![
        program("redis-py", sentinel.clone(), &[])?,
        program("redis-py-tls", sentinel.clone(), &secret)?,
        program("redis-py-asyncio", programs.join("sentinel_asyncio.py"), &[])?,
        program("valkey-py", sentinel, &[("LIBRARY", "valkey".into())])?,
        program("ioredis", modules.join("ioredis.mjs"), &[])?,
        program("ioredis-detector", modules.join("ioredis.mjs"), &[("DETECTOR", "1".into())])?,
        program("node-redis", modules.join("node_redis.mjs"), &[])?,
        redis_rs(&plain, group.clone())?,
        fred(&plain, group.clone()).await?,
    ])
}

/// What happens to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Killed,
    /// `SIGSTOP`, and `SIGCONT` when another is master.
    Frozen,
    SwitchedOver,
}

/// Lets it happen, and waits until every client writes on the next master, and still does when the
/// old one is back. Returns the next one.
async fn moves(
    system: &mut System,
    clients: &[Client],
    old: &NodeAddr,
    what: What,
) -> Result<NodeAddr> {
    let mark = system.watcher.mark();
    let at = system.nodes.iter().position(|node| node.addr() == old).context("a node")?;
    let since = match what {
        What::Killed => system.nodes[at].kill9()?,
        What::Frozen => system.nodes[at].stop()?,
        What::SwitchedOver => {
            let begun = now();
            system.vedette(&["switchover", GROUP]).await?;
            begun
        }
    };
    let group = system.group();
    let (announced, next) = system.watcher.new_master(mark, LIMIT, &group, old).await?;
    let tried: Vec<u64> = clients.iter().map(Client::tried).collect();
    // Before that a master that hands over refuses writes, as a replica does.
    let refused: Vec<usize> = clients.iter().map(Client::refused).collect();
    for (client, tried) in clients.iter().zip(&tried) {
        let left = MOVE_LIMIT.saturating_sub(since.elapsed());
        let seen = client.writes_on(system, &next.master, *tried, left).await;
        let seen = seen.with_context(|| format!("{what:?}"))?;
        tell(&format!(
            "{what:?}: {:16} writes on the new master at the latest {:4.0} ms after its \
             announcement, {:4.0} ms after the event",
            client.name(),
            ms(announced, seen),
            ms(since, seen)
        ));
    }
    match what {
        What::Killed => system.nodes[at].start()?,
        What::Frozen => {
            system.nodes[at].cont()?;
        }
        What::SwitchedOver => {}
    }
    system.nodes[at].answers().await?;
    system.all_follow(&next.master).await?;
    for (client, before) in clients.iter().zip(refused) {
        // Its one connection is closed once the role has changed.
        let refused = client.refused() - before;
        ensure!(refused <= 1, "{what:?}: {} met a replica {refused} times", client.name());
    }
    for (client, before) in clients.iter().zip(&tried) {
        let tried = client.tried();
        client.writes_on(system, &next.master, tried, MOVE_LIMIT).await.context("its return")?;
        client.nothing_went_elsewhere(system, &next.master, *before).await?;
    }
    Ok(next.master)
}

#[tokio::test]
async fn sentinels_clients_follow_through_gateways() -> Result<()> {
    let mut system = System::start(Plan::of_many_failovers()).await?;
    system.announce(&["sdown", "odown", "down", "leader", "convert", "tilt"]);
    let clients = start(&mut system).await?;
    let mut master = system.master();
    for client in &clients {
        client.writes_on(&system, &master, 0, LIMIT).await?;
    }
    for _ in 0..rounds(1)? {
        for what in [What::Killed, What::Frozen, What::SwitchedOver] {
            master = moves(&mut system, &clients, &master, what).await?;
        }
    }
    drop(clients);
    invariants(&system)?;
    system.finish().await
}

/// A certificate for this machine, and what a gateway is configured with to show it: whoever does
/// not log in may read, and so may the user `app`. The CA that clients trust, and those keys.
fn certificates(folder: &Path) -> Result<(PathBuf, Vec<String>)> {
    let Papers { authority, certificate, key } = Papers::issue(folder, &["127.0.0.1"])?;
    let keys = vec![
        format!("clients.tls.certificate = {certificate:?}"),
        format!("clients.tls.key = {key:?}"),
        "clients.users.app.password = \"hush\"".into(),
        "clients.users.default.rights = \"read\"".into(),
    ];
    Ok((authority, keys))
}
