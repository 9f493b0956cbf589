//! Thousands of nodes, in processes of this program's own.

use crate::process::{FLEET, Watched};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use vedette_harness::{LIMIT, now};
use vedette_model::{GroupName, NodeAddr};

/// Nodes of one process. Each costs it a descriptor, and one more for each client.
const NODES_AT_ONCE: usize = 1_500;
/// Above what servers have, and below where the system takes the ports of outgoing connections.
const FIRST_PORT: u16 = 10_000;

/// An address for a process: another for each, because what is killed may hold its ports for a
/// moment yet. Two runs at once seldom meet.
fn unused() -> Ipv4Addr {
    static NEXT: AtomicU16 = AtomicU16::new(1);
    let [high, low] = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let run = u8::try_from(std::process::id() % 128).unwrap_or_default();
    Ipv4Addr::new(127, 64 + run, high, low)
}

/// Groups of nodes that only pretend.
pub struct Crowd {
    fleets: Vec<Fleet>,
    pub groups: Vec<Group>,
}

/// A master and its replicas.
pub struct Group {
    pub name: GroupName,
    /// The master first.
    pub nodes: Vec<NodeAddr>,
}

impl Group {
    pub fn master(&self) -> &NodeAddr {
        &self.nodes[0]
    }
}

impl Crowd {
    /// Starts so many groups with so many replicas each, and waits until all nodes listen.
    ///
    /// # Errors
    /// If they do not come up.
    pub async fn start(groups: usize, replicas: usize) -> Result<Self> {
        let members = replicas + 1;
        let each = NODES_AT_ONCE / members;
        let mut crowd = Self { fleets: Vec::new(), groups: Vec::new() };
        while crowd.groups.len() < groups {
            let first = crowd.groups.len();
            let (count, host) = (each.min(groups - first), unused());
            crowd.fleets.push(Fleet::start(host, count, replicas)?);
            for n in 0..count {
                let port = |member| u16::try_from(usize::from(FIRST_PORT) + n * members + member);
                let node = |member| Ok(NodeAddr::new(&host.to_string(), port(member)?)?);
                let nodes = (0..members).map(node).collect::<Result<_>>()?;
                let name = GroupName::parse(&format!("g{:05}", first + n))?;
                crowd.groups.push(Group { name, nodes });
            }
        }
        for fleet in &mut crowd.fleets {
            ensure!(fleet.line().await? == "ready", "{} is not ready", fleet.host);
        }
        Ok(crowd)
    }

    /// How many nodes there are.
    pub fn nodes(&self) -> usize {
        self.groups.iter().map(|group| group.nodes.len()).sum()
    }

    /// The processes that answer for them.
    pub fn processes(&self) -> Vec<Watched> {
        let all = self.fleets.iter();
        let of = |fleet: &Fleet| {
            Some(Watched {
                kind: FLEET,
                name: format!("{FLEET} {}", fleet.host),
                pid: fleet.child.id()?,
            })
        };
        all.filter_map(of).collect()
    }

    /// How many of those that live have so many clients.
    ///
    /// # Errors
    /// If a process has ended.
    pub async fn watched(&mut self, clients: usize) -> Result<usize> {
        let mut sum = 0;
        for fleet in &mut self.fleets {
            let said = fleet.ask(&format!("watched {clients}")).await?;
            let count = said.strip_prefix("watched ").context("no answer to `watched`")?;
            sum += count.parse::<usize>()?;
        }
        Ok(sum)
    }

    /// Kills nodes, all at once. When they began to die, and when all were dead.
    ///
    /// # Errors
    /// If a process has ended.
    pub async fn kill(&mut self, nodes: &[&NodeAddr]) -> Result<(Instant, Instant)> {
        let mut ports: BTreeMap<&str, String> = BTreeMap::new();
        for node in nodes {
            *ports.entry(node.host()).or_default() += &format!(" {}", node.port());
        }
        let begun = now();
        for fleet in &mut self.fleets {
            if let Some(ports) = ports.get(fleet.host.as_str()) {
                fleet.tell(&format!("kill{ports}")).await?;
            }
        }
        for fleet in self.fleets.iter_mut().filter(|fleet| ports.contains_key(&*fleet.host)) {
            let said = fleet.line().await?;
            ensure!(said.starts_with("killed "), "{}: {said}", fleet.host);
        }
        Ok((begun, now()))
    }
}

/// One process. It ends with this.
struct Fleet {
    host: String,
    child: Child,
    orders: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

/// For an answer of a process that has much else to do.
const ANSWER_LIMIT: Duration = LIMIT;

impl Fleet {
    fn start(host: Ipv4Addr, groups: usize, replicas: usize) -> Result<Self> {
        let own = std::env::current_exe().context("this program's own path")?;
        let host = host.to_string();
        // Before those who watch, where that is allowed: on machines of their own nodes would not
        // wait for a processor that those use.
        let mut child = Command::new("nice")
            .args(["-n", "-10"])
            .arg(own)
            .args(["fleet", "--host", &host, "--first-port", &FIRST_PORT.to_string()])
            .args(["--groups", &groups.to_string(), "--replicas", &replicas.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("`nice`, to start a fleet")?;
        let orders = child.stdin.take().context("its input is ours")?;
        let answers = BufReader::new(child.stdout.take().context("its output is ours")?).lines();
        Ok(Self { host, child, orders, answers })
    }

    async fn ask(&mut self, order: &str) -> Result<String> {
        self.tell(order).await?;
        self.line().await
    }

    async fn tell(&mut self, order: &str) -> Result<()> {
        let line = format!("{order}\n");
        let told = self.orders.write_all(line.as_bytes()).await;
        told.with_context(|| format!("the fleet at {} has ended", self.host))
    }

    async fn line(&mut self) -> Result<String> {
        let line = tokio::time::timeout(ANSWER_LIMIT, self.answers.next_line()).await;
        let line = line.with_context(|| format!("the fleet at {} is silent", self.host))??;
        line.with_context(|| format!("the fleet at {} has ended", self.host))
    }
}
