//! A whole system under test.

mod asked;

use crate::plan::GROUP;
use crate::{
    Home, LIMIT, NatsServer, Network, Node, Plan, Process, Relay, ServiceProcess, Watcher, Writer,
    now, pick, ports, within,
};
use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Instant;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use vedette_model::{GroupName, GroupRecord, NodeAddr, Service};

/// The subjects' prefix of every system.
const PREFIX: &str = "vedette";
/// Systems at once in one test process; more would make each other late on two cores.
const SYSTEMS_AT_ONCE: usize = 2;

/// Names the point at which an orchestrator is to fail.
const FAULT_FILE: &str = "fault";

/// All processes of one test. Dropping it ends them.
pub struct System {
    /// The nats-servers.
    pub nats: Vec<NatsServer>,
    /// The nodes, the first master first.
    pub nodes: Vec<Node>,
    /// The services, in the order prober, voter, orchestrator, notifier.
    pub services: Vec<ServiceProcess>,
    /// Every fact since before the services started.
    pub watcher: Watcher,
    /// The orchestrators' detours, by id, if the plan says so.
    pub relays: BTreeMap<String, Relay>,
    /// Where each service has its port for health and metrics, by its id.
    pub http: BTreeMap<String, SocketAddr>,
    plan: Plan,
    announced: Vec<String>,
    born: Instant,
    finished: bool,
    queries: u64,
    folder: Option<TempDir>,
    // After the processes in it.
    network: Option<Network>,
    _slot: SemaphorePermit<'static>,
}

impl System {
    /// Starts everything and waits until the group is watched and known in full.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(plan: Plan) -> Result<Self> {
        let mut system = Self::start_servers(plan).await?;
        system.start_services()?;
        system.ready().await?;
        Ok(system)
    }

    /// Starts NATS and the nodes only.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start_servers(plan: Plan) -> Result<Self> {
        Self::start_servers_at(plan, None).await
    }

    /// [`System::start_servers`], with each process in a namespace of its own of this network.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start_servers_at(plan: Plan, mut network: Option<Network>) -> Result<Self> {
        static SLOTS: OnceLock<Semaphore> = OnceLock::new();
        let slot = SLOTS.get_or_init(|| Semaphore::new(SYSTEMS_AT_ONCE)).acquire().await?;
        let folder = tempfile::Builder::new().prefix("vedette-").tempdir()?;
        let own = homes(&mut network, "nats", plan.nats)?;
        let nats = NatsServer::start_at(&own, plan.jetstream, folder.path()).await?;
        let own = homes(&mut network, "redis", plan.replicas + 1)?;
        let (password, lines) = (plan.password.as_deref(), &plan.node_lines);
        let nodes = Node::start_group_at(&own, folder.path(), password, lines).await?;
        let urls: Vec<String> = nats.iter().map(|server| server.url().into()).collect();
        let watcher = Watcher::start(&urls, PREFIX).await?;
        let mut relays = BTreeMap::new();
        for n in 1..=plan.orchestrators * usize::from(plan.relayed) {
            let server = nats[0].url().trim_start_matches("nats://").parse()?;
            relays.insert(format!("o{n}"), Relay::start(server).await?);
        }
        Ok(Self {
            nats,
            nodes,
            services: Vec::new(),
            watcher,
            relays,
            http: BTreeMap::new(),
            plan,
            announced: Vec::new(),
            born: now(),
            finished: false,
            queries: 0,
            folder: Some(folder),
            network,
            _slot: slot,
        })
    }

    /// Starts the services of the plan: voters first, because nothing changes without them.
    ///
    /// # Errors
    /// If a binary is missing or cannot be started.
    pub fn start_services(&mut self) -> Result<()> {
        let master = self.nodes[0].addr().clone();
        let replica = self.nodes.get(1).map(|node| node.addr().clone());
        let groups = self.path()?.join("groups.toml");
        std::fs::write(&groups, self.plan.groups_file(&master, replica.as_ref()))?;
        // It may hold a password; the orchestrator warns of files that others can read.
        std::fs::set_permissions(&groups, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        for (service, letter, count) in [
            (Service::Voter, 'v', self.plan.voters),
            (Service::Prober, 'p', self.plan.probers),
            (Service::Orchestrator, 'o', self.plan.orchestrators),
            (Service::Notifier, 'n', self.plan.notifiers),
        ] {
            for n in 1..=count {
                self.start_service(service, &format!("{letter}{n}"))?;
            }
        }
        Ok(())
    }

    /// Starts one more service.
    ///
    /// # Errors
    /// If its binary is missing or cannot be started.
    pub fn start_service(&mut self, service: Service, id: &str) -> Result<()> {
        let folder = self.path()?;
        let keys = match service {
            Service::Voter => {
                vec![format!("store = {:?}", folder.join(format!("{id}.redb")))]
            }
            Service::Orchestrator => {
                vec![format!("groups_file = {:?}", folder.join("groups.toml"))]
            }
            Service::Prober => Vec::new(),
            Service::Notifier => self.plan.notifier_keys.clone(),
            Service::Gateway => return self.start_gateway(id, &[]).map(drop),
            Service::Client => bail!("a client is no service process"),
        };
        self.start_service_with(service, id, &keys)
    }

    /// Starts a prober at this place. The others are each at a place of their own.
    ///
    /// # Errors
    /// If its binary is missing or cannot be started.
    pub fn start_prober_at(&mut self, id: &str, place: &str) -> Result<()> {
        self.plan.service_environment.push(("VEDETTE_PLACE".into(), place.into()));
        let started = self.start_service(Service::Prober, id);
        self.plan.service_environment.pop();
        started
    }

    /// Starts an orchestrator that has a groups file of its own, with this text.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_orchestrator_declaring(&mut self, id: &str, groups: &str) -> Result<()> {
        let file = self.path()?.join(format!("{id}.groups.toml"));
        std::fs::write(&file, groups)?;
        self.start_service_with(Service::Orchestrator, id, &[format!("groups_file = {file:?}")])
    }

    /// Starts a gateway with these keys besides. Where its clients reach it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_gateway(&mut self, id: &str, keys: &[&str]) -> Result<SocketAddr> {
        let at = self.free_at(id)?;
        let mut all = vec![format!("clients.listen = \"{at}\"")];
        all.extend(keys.iter().map(ToString::to_string));
        self.start_service_with(Service::Gateway, id, &all)?;
        Ok(at)
    }

    /// An address where a service can listen, in its home if it has one.
    ///
    /// # Errors
    /// If there is none.
    pub fn free_at(&mut self, id: &str) -> Result<SocketAddr> {
        let host = home(&mut self.network, id)?.host().parse()?;
        Ok(SocketAddr::new(host, ports::free()?))
    }

    fn start_service_with(&mut self, service: Service, id: &str, keys: &[String]) -> Result<()> {
        let folder = self.path()?;
        let format = self.plan.log_format;
        let mut environment = self.plan.service_environment.clone();
        if self.plan.fault_points && service == Service::Orchestrator {
            let file = folder.join(FAULT_FILE).to_string_lossy().into_owned();
            environment.push(("VEDETTE_FAULT_POINT".into(), file));
        }
        let own = (home(&mut self.network, id)?, environment);
        let urls = match self.relays.get(id) {
            Some(relay) => vec![format!("nats://{}", relay.at())],
            None => self.urls(),
        };
        let mut keys = keys.to_vec();
        if self.plan.http {
            let at = self.free_at(id)?;
            keys.push(format!("http.listen = \"{at}\""));
            self.http.insert(id.to_owned(), at);
        }
        let process = ServiceProcess::start_at(own, service, id, &urls, &keys, format, &folder)?;
        self.services.push(process);
        Ok(())
    }

    /// Waits until the record names every node and every prober has spoken of every node.
    ///
    /// # Errors
    /// What is missing.
    pub async fn ready(&self) -> Result<()> {
        self.members_are_known().await?;
        for n in 1..=self.plan.probers {
            for node in &self.nodes {
                let (prober, addr) = (format!("p{n}"), node.addr());
                let what = format!("{prober} reports on {addr}");
                self.watcher
                    .wait(0, LIMIT, &what, |fact| {
                        let report = pick::node(fact)?;
                        (report.prober.as_str() == prober && report.node == *addr).then_some(())
                    })
                    .await?;
            }
        }
        Ok(())
    }

    /// Waits until a committed record names every node as a member.
    ///
    /// # Errors
    /// If none does in time.
    pub async fn members_are_known(&self) -> Result<GroupRecord> {
        let wanted: BTreeSet<&NodeAddr> = self.nodes.iter().map(Node::addr).collect();
        let group = self.group();
        let what = "a committed record that names every node";
        let (_, record) = self
            .watcher
            .wait(0, LIMIT, what, |fact| {
                let record = pick::record(fact)?;
                let named: BTreeSet<&NodeAddr> = record.members.iter().map(|m| &m.addr).collect();
                (record.group == group && named == wanted).then(|| record.clone())
            })
            .await?;
        Ok(record)
    }

    /// The plan's group.
    pub fn group(&self) -> GroupName {
        GroupName::parse(GROUP).expect("the constant is a valid name")
    }

    /// The first master's address.
    pub fn master(&self) -> NodeAddr {
        self.nodes[0].addr().clone()
    }

    /// The node at an address.
    ///
    /// # Errors
    /// If the system has none there.
    pub fn node(&self, addr: &NodeAddr) -> Result<&Node> {
        self.nodes.iter().find(|n| n.addr() == addr).with_context(|| format!("no node at {addr}"))
    }

    /// A service by its id.
    ///
    /// # Errors
    /// If the system has none of that id.
    pub fn service(&mut self, id: &str) -> Result<&mut ServiceProcess> {
        let found = self.services.iter_mut().find(|service| service.name() == id);
        found.with_context(|| format!("no service {id}"))
    }

    /// The NATS servers' URLs.
    pub fn urls(&self) -> Vec<String> {
        self.nats.iter().map(|server| server.url().into()).collect()
    }

    /// The folder of all files.
    ///
    /// # Errors
    /// Once the system has finished.
    pub fn path(&self) -> Result<PathBuf> {
        let folder = self.folder.as_ref().map(TempDir::path).map(Path::to_path_buf);
        folder.context("the system has finished")
    }

    /// The network that the processes live in, if it is one of the test's own.
    pub const fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The first orchestrator that passes this point is killed or stopped there: `kill@<point>` or
    /// `stop@<point>`, see `fault.rs` of the orchestrator. Only if the plan says `fault_points`.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn arm(&self, fault: &str) -> Result<()> {
        let folder = self.path()?;
        std::fs::write(folder.join("fault.part"), fault)?;
        Ok(std::fs::rename(folder.join("fault.part"), folder.join(FAULT_FILE))?)
    }

    /// Whether nobody has passed the point yet.
    ///
    /// # Errors
    /// Once the system has finished.
    pub fn is_armed(&self) -> Result<bool> {
        Ok(self.path()?.join(FAULT_FILE).exists())
    }

    /// An application that writes to the group.
    ///
    /// # Errors
    /// If NATS cannot be reached.
    pub async fn writer(&self) -> Result<Writer> {
        let password = self.plan.password.as_deref();
        Writer::start(&self.urls(), PREFIX, &self.group(), &self.master(), password).await
    }

    /// [`System::writer`], but it lives where this runtime lives.
    ///
    /// # Errors
    /// If NATS cannot be reached.
    pub async fn writer_in(&self, runtime: &tokio::runtime::Handle) -> Result<Writer> {
        let (urls, group, master) = (self.urls(), self.group(), self.master());
        let password = self.plan.password.clone();
        let start =
            async move { Writer::start(&urls, PREFIX, &group, &master, password.as_deref()).await };
        runtime.spawn(start).await?
    }

    /// A home of its own for whoever belongs to no process of the system.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn add_home(&mut self, name: &str) -> Result<Home> {
        home(&mut self.network, name)
    }

    /// Log lines at WARN or ERROR that hold these words belong to the test.
    pub fn announce(&mut self, words: &[&str]) {
        self.announced.extend(words.iter().map(|words| (*words).into()));
    }

    /// Waits until the node at `master` says so and every other one that runs follows it.
    ///
    /// # Errors
    /// Who does not.
    pub async fn all_follow(&self, master: &NodeAddr) -> Result<()> {
        let node = self.node(master)?;
        let what = format!("{master} is master");
        within(LIMIT, &what, async || node.is_master().await.then_some(())).await?;
        for other in self.nodes.iter().filter(|n| n.addr() != master && n.pid().is_some()) {
            let what = format!("{} follows {master}", other.addr());
            within(LIMIT, &what, async || other.follows(master).await.then_some(())).await?;
        }
        Ok(())
    }

    /// A process by its name.
    ///
    /// # Errors
    /// If the system has none of that name.
    pub fn process(&mut self, name: &str) -> Result<&mut Process> {
        let nats = self.nats.iter_mut().map(|server| &mut **server);
        let nodes = self.nodes.iter_mut().map(|node| &mut **node);
        let services = self.services.iter_mut().map(|service| &mut **service);
        let mut all = nats.chain(nodes).chain(services);
        all.find(|process| process.name() == name).with_context(|| format!("no process {name}"))
    }

    /// Ends all services politely; then the folder goes too.
    ///
    /// # Errors
    /// A service that ended before, or does not end with 0.
    pub async fn shut_down(&mut self) -> Result<()> {
        for service in self.services.iter_mut().filter(|service| service.pid().is_some()) {
            if let Some(status) = service.ended() {
                bail!("{} ended by itself with {status}", service.name());
            }
            let status = service.terminate(LIMIT).await?;
            ensure!(status.success(), "{} ended with {status} after SIGTERM", service.name());
        }
        self.finished = true;
        Ok(())
    }

    /// Ends all processes at once, whatever has become of them; then the folder goes too.
    pub fn abandon(mut self) {
        self.finished = true;
    }

    /// Ends all services politely and looks at what they leave behind.
    ///
    /// # Errors
    /// A service that does not end with 0, a log line at WARN or ERROR that was not announced, a
    /// message on the bus that cannot be understood.
    pub async fn finish(mut self) -> Result<()> {
        self.shut_down().await?;
        let mut findings = self.watcher.undecodable();
        for service in &self.services {
            findings.extend(service.complaints(&self.announced));
        }
        self.finished = findings.is_empty();
        ensure!(self.finished, "nobody announced:\n{}", findings.join("\n"));
        Ok(())
    }
}

fn home(network: &mut Option<Network>, name: &str) -> Result<Home> {
    network.as_mut().map_or_else(|| Ok(Home::loopback()), |network| network.add(name))
}

fn homes(network: &mut Option<Network>, name: &str, count: usize) -> Result<Vec<Home>> {
    (1..=count).map(|n| home(network, &format!("{name}{n}"))).collect()
}

impl Drop for System {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        eprintln!("what was said on the bus, in ms:\n{}", self.watcher.timeline(0, self.born));
        if let Some(folder) = self.folder.take() {
            eprintln!("logs are kept in {}", folder.keep().display());
        }
    }
}
