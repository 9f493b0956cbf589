//! The whole system with the files of `deploy/nats` and nothing else: three servers that speak TLS
//! only, and each process with its own credentials.

use crate::secrets::{self, hushed};
use anyhow::{Context as _, Result, ensure};
use async_nats::ConnectOptions;
use futures::StreamExt as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::process::Command;
use vedette_client::Masters;
use vedette_harness::papers::Papers;
use vedette_harness::{
    GROUP, Home, LIMIT, NatsServer, Node, Process, ServiceProcess, binary, ports, within,
};
use vedette_live::collector::Collector;
use vedette_live::compare::Asked;
use vedette_live::page::page;
use vedette_live::receiver::Receiver;
use vedette_live::tell;
use vedette_model::{NodeAddr, Service};

const SERVER: &str = include_str!("../../../../deploy/nats/server.conf");
const RIGHTS: &str = include_str!("../../../../deploy/nats/rights.conf");

/// Nobody else's, so that a user cannot be mixed up with its password.
fn password(user: &str) -> String {
    hushed(user)
}

pub struct Bus {
    pub servers: Vec<Process>,
    /// Who is told of spans.
    pub collector: Collector,
    urls: Vec<String>,
    authority: PathBuf,
}

impl Bus {
    /// Three servers by the shipped file, each with its own name and addresses, and a collector.
    async fn start(folder: &Path) -> Result<Self> {
        let tls = folder.join("tls");
        std::fs::create_dir(&tls)?;
        let authority = Papers::issue(&tls, &["127.0.0.1"])?.authority;
        let ports: Vec<u16> = (0..6).map(|_| ports::free()).collect::<Result<_>>()?;
        let (clients, routes) = ports.split_at(3);
        let mut servers = Vec::new();
        for n in 0..3 {
            let own = folder.join(format!("nats{}", n + 1));
            std::fs::create_dir(&own)?;
            let mut changes = vec![
                ("server_name: nats1".to_string(), format!("server_name: nats{}", n + 1)),
                ("0.0.0.0:4222".into(), format!("127.0.0.1:{}", clients[n])),
                // All three run on this machine.
                ("http: \"127.0.0.1:8222\"".into(), String::new()),
                ("0.0.0.0:6222".into(), format!("127.0.0.1:{}", routes[n])),
                ("/etc/nats/tls".into(), tls.to_string_lossy().into()),
                ("/var/lib/nats".into(), own.join("store").to_string_lossy().into()),
            ];
            for (other, port) in routes.iter().enumerate() {
                changes.push((format!("10.0.0.1{}:6222", other + 1), format!("127.0.0.1:{port}")));
            }
            let mut text = SERVER.to_string();
            for (from, to) in changes {
                ensure!(text.contains(&from), "server.conf has no {from}");
                text = text.replace(&from, &to);
            }
            std::fs::write(own.join("server.conf"), text)?;
            std::fs::write(own.join("rights.conf"), RIGHTS)?;
            let secrets = NatsServer::USERS
                .iter()
                .map(|user| (NatsServer::password_variable(user), password(user)));
            let file = own.join("server.conf").to_string_lossy().into_owned();
            servers.push(Process::spawn_at(
                Home::loopback(),
                secrets.collect(),
                &format!("nats{}", n + 1),
                binary::nats()?,
                vec!["--config".into(), file],
                folder,
            )?);
        }
        let urls = clients.iter().map(|port| format!("tls://127.0.0.1:{port}")).collect();
        Ok(Self { servers, collector: Collector::start().await?, urls, authority })
    }

    /// What a process in this user's name is told.
    pub fn login(&self, user: &str) -> Vec<(String, String)> {
        let login = [
            ("VEDETTE_NATS__USER", user.to_string()),
            ("VEDETTE_NATS__PASSWORD", password(user)),
            ("VEDETTE_NATS__CA_FILE", self.authority.to_string_lossy().into_owned()),
            ("VEDETTE_NATS_URL", self.urls.join(",")),
        ];
        let login = login.map(|(name, value)| (name.to_string(), value));
        login.into_iter().chain(self.collector.environment()).collect()
    }

    async fn client(&self, user: &str) -> Result<async_nats::Client> {
        let options = ConnectOptions::with_user_and_password(user.into(), password(user))
            .add_root_certificates(self.authority.clone());
        Ok(options.connect(self.urls.as_slice()).await?)
    }

    /// Runs the command as an operator; what it printed.
    pub async fn vedette(&self, words: &[&str]) -> Result<String> {
        let mut command = Command::new(binary::command_line()?);
        command.args(words).envs(self.login("operator")).kill_on_drop(true);
        let output = tokio::time::timeout(LIMIT, command.output()).await.context("no end")??;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        ensure!(!complaints.contains("Permissions Violation"), "{words:?}: {complaints}");
        ensure!(!said.is_empty(), "{words:?} ended with {}: {complaints}", output.status);
        Ok(said)
    }

    async fn says(&self, words: &[&str], what: &str) -> Result<()> {
        let doing = format!("vedette {} says {what:?}", words.join(" "));
        let holds = async || self.vedette(words).await.ok()?.contains(what).then_some(());
        // Each try may take as long as the command is told to wait.
        let outcome = within(LIMIT * 3, &doing, holds).await;
        match outcome {
            Ok(()) => Ok(()),
            Err(error) => {
                let last = self.vedette(words).await.unwrap_or_else(|error| format!("{error:#}"));
                Err(error.context(format!("it says: {last}")))
            }
        }
    }
}

/// Voters, probers, orchestrators, two notifiers and a gateway.
pub struct Crew {
    pub processes: Vec<ServiceProcess>,
    gateway: SocketAddr,
    /// The gateway's for checks and metrics.
    pub http: SocketAddr,
    /// Where the notifiers' webhooks are; one of them refuses everything.
    hooks: Receiver,
}

impl Crew {
    async fn start(bus: &Bus, master: &NodeAddr, folder: &Path) -> Result<Self> {
        let groups = folder.join("groups.toml");
        let text = format!(
            "[[group]]\nname = \"{GROUP}\"\nmaster = \"{master}\"\nquorum = 2\n\
             down_after_ms = 1000\nhold_off_ms = 500\npassword = \"{}\"\n",
            hushed("nodes")
        );
        std::fs::write(&groups, text)?;
        std::fs::set_permissions(&groups, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
        let port = || Ok::<_, anyhow::Error>(SocketAddr::from(([127, 0, 0, 1], ports::free()?)));
        let (gateway, http) = (port()?, port()?);
        let hooks = Receiver::start().await?;
        let mut crew = Self { processes: Vec::new(), gateway, http, hooks };
        for id in ["v1", "v2", "v3", "p1", "p2", "p3", "o1", "o2", "n1", "n2", "g1"] {
            crew.join(bus, id, folder)?;
        }
        Ok(crew)
    }

    fn join(&mut self, bus: &Bus, id: &str, folder: &Path) -> Result<()> {
        let (service, keys) = match &id[..1] {
            "v" => (Service::Voter, vec![format!("store = {:?}", store(folder, id))]),
            "p" => (Service::Prober, Vec::new()),
            "o" => {
                let groups = folder.join("groups.toml");
                (Service::Orchestrator, vec![format!("groups_file = {groups:?}")])
            }
            "n" => {
                let urls = [self.hooks.url(), self.hooks.wrong_url()];
                let mut keys = vec![format!("sink.webhook.urls = {urls:?}")];
                keys.extend(secrets::of_sinks());
                (Service::Notifier, keys)
            }
            _ => {
                let clients = format!("clients.listen = \"{}\"", self.gateway);
                let password = format!("clients.password = \"{}\"", hushed("gate"));
                let http = format!("http.listen = \"{}\"", self.http);
                (Service::Gateway, vec![clients, password, http])
            }
        };
        let mut environment = bus.login(service.as_str());
        environment.push(("VEDETTE_LOG__LEVEL".into(), "debug".into()));
        let own = (Home::loopback(), environment);
        // The file names the servers too; what the environment says counts.
        let process = ServiceProcess::start_at(own, service, id, &bus.urls, &keys, "json", folder)?;
        self.processes.push(process);
        Ok(())
    }

    async fn finish(mut self) -> Result<()> {
        for process in &mut self.processes {
            let status = process.terminate(LIMIT).await?;
            ensure!(status.success(), "{} ended with {status}", process.name());
            let log = process.log();
            let refused: Vec<_> = log
                .lines()
                .filter(|line| line.contains("nats refuses") || line.contains("Violation"))
                .collect();
            ensure!(refused.is_empty(), "{} lacks a right: {refused:#?}", process.name());
        }
        Ok(())
    }
}

fn store(folder: &Path, id: &str) -> PathBuf {
    folder.join(format!("{id}.redb"))
}

async fn next(masters: &mut Masters, old: Option<&NodeAddr>) -> Result<NodeAddr> {
    let changed = async {
        loop {
            let master = masters.next().await.context("the stream ended")?.master;
            if Some(&master) != old {
                return anyhow::Ok(master);
            }
        }
    };
    tokio::time::timeout(LIMIT, changed).await.context("the application hears of no master")?
}

#[tokio::test]
async fn the_whole_system_works_with_exactly_these_credentials() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let bus = Bus::start(at).await?;
    within(LIMIT, "JetStream answers", async || {
        let client = bus.client("operator").await.ok()?;
        async_nats::jetstream::new(client).query_account().await.ok()
    })
    .await?;
    let mut nodes = Node::start_group(2, at, Some(&hushed("nodes"))).await?;
    let first = nodes[0].addr().clone();
    let mut crew = Crew::start(&bus, &first, at).await?;
    let mut masters = Masters::watch(bus.client("application").await?, "vedette", GROUP).await?;
    ensure!(next(&mut masters, None).await? == first);
    looks(&bus, &first).await?;

    nodes[0].kill9()?;
    let second = next(&mut masters, Some(&first)).await?;
    bus.says(&["explain", GROUP], &format!("failover: {first} → {second}")).await?;
    bus.says(&["history"], &format!("failover: {first} → {second}")).await?;
    gateway_says(&crew, &second).await?;
    gateway_reads(&crew, &format!("failover: {first} → {second}")).await?;
    nodes[0].start()?;
    bus.says(&["groups"], "  ok\n").await?;

    commands(&bus, &mut crew, at).await?;
    let third = next(&mut masters, Some(&second)).await?;
    forgets(&bus, &mut crew, at).await?;
    notifies(&bus, &mut crew).await?;
    secrets::are_nowhere(&bus, &crew, at).await?;
    kept(&bus, &third).await?;
    tls_only(&bus).await?;

    tell(&format!("{first} → {second} by kill -9 → {third} by `vedette switchover`"));
    crew.finish().await?;
    for server in &bus.servers {
        let log = server.log();
        let refused: Vec<_> = log.lines().filter(|line| line.contains("Violation")).collect();
        ensure!(refused.is_empty(), "{}: {refused:#?}", server.name());
    }
    Ok(())
}

/// The verbs that only look.
async fn looks(bus: &Bus, master: &NodeAddr) -> Result<()> {
    let master = master.to_string();
    bus.says(&["groups"], "  ok\n").await?;
    for (verb, says) in [
        (&["status"][..], master.as_str()),
        (&["nodes"], &master),
        (&["master", GROUP], &master),
        (&["doctor"], "facts of the last 90 days"),
        (&["survive"], "voter/v1"),
        (&["roster"], "v3"),
    ] {
        bus.says(verb, says).await?;
    }
    Ok(())
}

/// A Sentinel client that has logged in, after one that has not.
async fn client(crew: &Crew) -> Result<Asked> {
    let mut stranger = Asked::connect(crew.gateway).await?;
    stranger.ask(&["AUTH", &hushed("wrong")]).await?;
    let mut client = Asked::connect(crew.gateway).await?;
    client.ask(&["AUTH", &hushed("gate")]).await?;
    Ok(client)
}

async fn gateway_says(crew: &Crew, master: &NodeAddr) -> Result<()> {
    within(LIMIT, "the gateway names the new master", async || {
        let mut asked = client(crew).await.ok()?;
        let answer = asked.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", GROUP]).await.ok()?;
        format!("{answer:?}").contains(&master.port().to_string()).then_some(())
    })
    .await
}

/// The gateway reads the history with its own rights.
async fn gateway_reads(crew: &Crew, what: &str) -> Result<()> {
    for path in ["/history".to_string(), format!("/groups/{GROUP}/explain")] {
        within(LIMIT, &format!("the gateway's {path} says {what:?}"), async || {
            let told = page(crew.http, &path).await.ok()?;
            (told.status == 200 && told.text.contains(what)).then_some(())
        })
        .await?;
    }
    Ok(())
}

/// What people want done: by the command, by a gateway, and with the roster.
async fn commands(bus: &Bus, crew: &mut Crew, folder: &Path) -> Result<()> {
    bus.vedette(&["set", GROUP, "down_after_ms=1200"]).await?;
    bus.says(&["groups", "--json"], "1200").await?;
    let mut asked = client(crew).await?;
    asked.ask(&["SENTINEL", "SET", GROUP, "down-after-milliseconds", "1300"]).await?;
    bus.says(&["groups", "--json"], "1300").await?;
    crew.join(bus, "v4", folder)?;
    bus.says(&["roster", "add", "v4"], "v4").await?;
    bus.says(&["roster"], "v4").await?;
    // On a machine that stalls the leader may give it up.
    let switched = async || bus.vedette(&["switchover", GROUP]).await.ok();
    within(LIMIT, "a switchover is done", switched).await.map(drop)
}

/// A voter that has lost its file asks the others for its memory.
async fn forgets(bus: &Bus, crew: &mut Crew, folder: &Path) -> Result<()> {
    let voter = crew.processes.iter_mut().find(|process| process.name() == "v3");
    let voter = voter.context("v3 is one of them")?;
    voter.kill9()?;
    std::fs::remove_file(store(folder, "v3"))?;
    voter.start()?;
    within(LIMIT, "v3 has its memory again", async || {
        let status = bus.vedette(&["status"]).await.ok()?;
        let well = !status.contains("memory") && !status.contains("v3 is gone");
        (well && status.contains("v3")).then_some(())
    })
    .await
}

/// Notifiers tell their sinks, keep what is refused, and take over from one another.
async fn notifies(bus: &Bus, crew: &mut Crew) -> Result<()> {
    told(crew, "+switch-master").await?;
    bus.says(&["notify"], "webhook-2").await?;
    bus.says(&["notify", "test", "--wait", "5"], "webhook-1  arrived").await?;
    told(crew, "notify-test").await?;
    bus.says(&["notify", "dead", "--sink", "webhook-2"], "404").await?;
    bus.says(&["notify", "replay", "--all"], "told again").await?;
    bus.says(&["notify", "dead"], "404").await?;
    bus.says(&["notify", "forget", "--all"], "forgotten").await?;
    let notifier = crew.processes.iter_mut().find(|process| process.name() == "n1");
    let notifier = notifier.context("n1 is one of them")?;
    notifier.kill9()?;
    bus.says(&["notify", "test", "--wait", "5"], "webhook-1  arrived").await?;
    notifier.start()
}

/// The webhook gets such an event.
async fn told(crew: &Crew, name: &str) -> Result<()> {
    let told =
        async || crew.hooks.got().iter().any(|event| event.name.as_str() == name).then_some(());
    let outcome = within(LIMIT, &format!("the webhook is told {name}"), told).await;
    outcome.with_context(|| {
        let notifiers = crew.processes.iter().filter(|one| one.service() == Service::Notifier);
        let warnings = notifiers.flat_map(|one| {
            let log = one.log();
            log.lines().filter(|line| line.contains("WARN")).map(String::from).collect::<Vec<_>>()
        });
        format!("the notifiers say {:#?}", warnings.collect::<Vec<_>>())
    })
}

/// `nats kv get` asks what this asks.
async fn kept(bus: &Bus, master: &NodeAddr) -> Result<()> {
    let context = async_nats::jetstream::with_domain(bus.client("application").await?, "vedette");
    within(LIMIT, "the bucket names the master", async || {
        let store = context.get_key_value("vedette-masters").await.ok()?;
        let kept = store.get("orders=2Eeu").await.ok()??;
        String::from_utf8_lossy(&kept).contains(&master.to_string()).then_some(())
    })
    .await
}

/// Without TLS, and with another authority's certificate, nobody gets in.
async fn tls_only(bus: &Bus) -> Result<()> {
    let url = bus.urls[0].clone();
    let login = || ConnectOptions::with_user_and_password("operator".into(), password("operator"));
    let strange = login().connect(&url).await;
    ensure!(strange.is_err(), "it trusts a certificate that nobody vouches for");
    let mut stream = tokio::net::TcpStream::connect(url.trim_start_matches("tls://")).await?;
    let words = format!(
        "CONNECT {{\"user\":\"operator\",\"pass\":\"{}\"}}\r\nPING\r\n",
        password("operator")
    );
    tokio::io::AsyncWriteExt::write_all(&mut stream, words.as_bytes()).await?;
    let mut answer = Vec::new();
    // Cut, or told why and cut: in no case is the ping answered.
    let read = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut answer);
    let _ = tokio::time::timeout(LIMIT, read).await.context("it is neither cut nor answered")?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(!answer.contains("PONG"), "without TLS: {answer}");
    Ok(())
}
