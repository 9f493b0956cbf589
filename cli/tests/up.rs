//! `vedette up` with real servers: what a newcomer does in the first ten minutes.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;
use vedette_harness::papers::Papers;
use vedette_harness::{LIMIT, Node, Process, binary, ports, within};

const VEDETTE: &str = env!("CARGO_BIN_EXE_vedette");
const READY: &str = "Try in another terminal";

/// Nodes, and a `vedette up` over them.
struct Machine {
    folder: TempDir,
    nodes: Vec<Node>,
    up: Option<Process>,
    port: u16,
    sentinels: u16,
}

impl Machine {
    async fn start(replicas: usize, password: Option<&str>) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let nodes = Node::start_group(replicas, folder.path(), password).await?;
        Self::start_over(folder, nodes)
    }

    fn start_over(folder: TempDir, nodes: Vec<Node>) -> Result<Self> {
        Ok(Self { folder, nodes, up: None, port: ports::free()?, sentinels: ports::free()? })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn node(&self, n: usize) -> String {
        self.nodes[n].addr().to_string()
    }

    /// Starts `vedette up` and waits until it says what to try.
    async fn up(&mut self, name: &str, more: &[&str]) -> Result<()> {
        let (port, sentinels) = (self.port.to_string(), self.sentinels.to_string());
        let fixed = ["up", "--data", "data", "--nats-port", &port, "--sentinel-port", &sentinels];
        let mut arguments: Vec<String> = fixed.map(Into::into).into();
        arguments.extend(more.iter().map(ToString::to_string));
        let process = Process::spawn(name, PathBuf::from(VEDETTE), arguments, self.path())?;
        let up = self.up.insert(process);
        let ready = within(LIMIT, "vedette up is ready", async || {
            if let Some(status) = up.ended() {
                return Some(Err(status));
            }
            let log = up.log();
            (log.contains(READY) || started(&log).is_some()).then_some(Ok(()))
        })
        .await;
        match ready.with_context(|| up.log())? {
            Ok(()) => Ok(()),
            Err(status) => anyhow::bail!("vedette up ended with {status}: {}", up.log()),
        }
    }

    fn ask(&self, arguments: &[&str]) -> Result<Output> {
        let nats = format!("nats://127.0.0.1:{}", self.port);
        let mut command = Command::new(VEDETTE);
        command.args(arguments).args(["--nats", &nats]).stdin(Stdio::null());
        Ok(command.output()?)
    }

    /// Waits until `vedette master` says one of these nodes, and gives it.
    async fn master_is(&self, expected: &[String]) -> Result<String> {
        let what = format!("vedette master says one of {expected:?}");
        let mut last = String::new();
        let told = within(LIMIT, &what, async || {
            let said = self.ask(&["master", "mymaster"]).ok()?;
            last = words(&said);
            let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
            expected.contains(&said).then_some(said)
        })
        .await;
        told.with_context(|| {
            let why = self.ask(&["explain", "mymaster"]).map(|said| words(&said));
            let log = self.up.as_ref().map(Process::log);
            format!("it says {last:?}; explained: {why:?}; the log of up: {log:?}")
        })
    }

    /// What a Sentinel client is told.
    fn told_by_sentinel(&self) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.sentinels))?;
        stream.write_all(b"SENTINEL GET-MASTER-ADDR-BY-NAME mymaster\r\nQUIT\r\n")?;
        let mut told = String::new();
        stream.read_to_string(&mut told)?;
        let words: Vec<&str> = told.lines().collect();
        let [_, _, host, _, port, ..] = &*words else { anyhow::bail!("told {told:?}") };
        Ok(format!("{host}:{port}"))
    }

    async fn all_is_well(&self) -> Result<()> {
        let mut last = String::new();
        let well = within(LIMIT, "vedette status exits with 0", async || {
            let said = self.ask(&["status", "--wait", "500"]).ok()?;
            last = String::from_utf8_lossy(&said.stdout).into_owned();
            said.status.success().then_some(())
        })
        .await;
        well.with_context(|| last)
    }

    async fn down(&mut self) -> Result<()> {
        let mut up = self.up.take().context("vedette up does not run")?;
        let status = up.terminate(LIMIT).await?;
        ensure!(status.success(), "ended with {status}: {}", up.log());
        ensure!(free(self.port), "the nats-server still listens on {}", self.port);
        Ok(())
    }
}

/// What `--json` says was started.
fn started(log: &str) -> Option<Value> {
    let objects = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    objects.into_iter().find(|object| object["sentinel"].is_string())
}

fn free(port: u16) -> bool {
    std::net::TcpListener::bind(("127.0.0.1", port)).is_ok()
}

fn words(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[tokio::test]
async fn a_master_dies_and_the_new_one_survives_a_restart_of_everything() -> Result<()> {
    let mut machine = Machine::start(2, None).await?;
    let (first, replicas) = (machine.node(0), vec![machine.node(1), machine.node(2)]);
    let given = [machine.node(1), machine.node(0)];
    machine.up("up1", &[given[0].as_str(), given[1].as_str()]).await?;
    machine.master_is(std::slice::from_ref(&first)).await?;
    machine.all_is_well().await?;
    let watch = vec!["watch".into(), "--nats".into(), format!("nats://127.0.0.1:{}", machine.port)];
    let mut watch = Process::spawn("watch", PathBuf::from(VEDETTE), watch, machine.path())?;
    within(LIMIT, "watch sees the services", async || {
        watch.log().contains("notifier/n1").then_some(())
    })
    .await?;

    machine.nodes[0].kill9()?;
    let new = machine.master_is(&replicas).await?;
    ensure!(machine.told_by_sentinel()? == new, "a Sentinel client is told another master");
    let line = format!("MASTER of mymaster is {new} after {first} (epoch 2");
    within(LIMIT, "watch tells it", async || watch.log().contains(&line).then_some(())).await?;
    let status = words(&machine.ask(&["status"])?);
    ensure!(status.contains(&format!("{first}, a replica, is down")), "{status}");
    watch.terminate(LIMIT).await?;

    // The address that is given is no master any more: the records know better.
    machine.down().await?;
    machine.nodes[0].start()?;
    machine.nodes[0].answers().await?;
    machine.up("up2", &[&first, "--json"]).await?;
    let said = machine.up.as_ref().and_then(|up| started(&up.log()));
    let said = said.context("it says as JSON what was started")?;
    ensure!(said["master"] == new && said["epoch"] == 2, "{said}");
    machine.master_is(std::slice::from_ref(&new)).await?;
    let new = machine.nodes.iter().find(|node| node.addr().to_string() == new);
    let new = new.context("the new master is one of the nodes")?.addr().clone();
    within(LIMIT, "the old master follows the new one", async || {
        machine.nodes[0].follows(&new).await.then_some(())
    })
    .await?;
    machine.all_is_well().await?;
    machine.down().await
}

/// A server that speaks TLS and nothing else.
fn tls_node(folder: &Path, papers: &Papers, port: u16, master: Option<u16>) -> Result<Process> {
    let name = format!("redis-{port}");
    let file = folder.join(format!("{name}.conf"));
    let mut text = format!(
        "port 0\ntls-port {port}\ntls-replication yes\ntls-auth-clients no\nbind 127.0.0.1\n\
         tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\nsave \"\"\n\
         dbfilename {name}.rdb\nrepl-diskless-sync-delay 0\n",
        papers.certificate.display(),
        papers.key.display(),
        papers.authority.display()
    );
    if let Some(master) = master {
        text += &format!("replicaof 127.0.0.1 {master}\n");
    }
    std::fs::write(&file, text)?;
    Process::spawn(&name, binary::redis()?, vec![file.display().to_string()], folder)
}

#[tokio::test]
async fn over_tls_a_dead_master_is_replaced_too() -> Result<()> {
    let mut machine = Machine::start_over(tempfile::tempdir()?, Vec::new())?;
    let papers = Papers::issue(machine.path(), &["127.0.0.1"])?;
    let ports = [ports::free()?, ports::free()?, ports::free()?];
    let mut nodes = Vec::new();
    for (n, port) in ports.iter().enumerate() {
        let master = (n > 0).then_some(ports[0]);
        nodes.push(tls_node(machine.path(), &papers, *port, master)?);
    }
    let config = machine.path().join("vedette.toml");
    std::fs::write(&config, format!("[nodes]\nca_file = {:?}\n", papers.authority))?;
    let config = config.display().to_string();
    let [first, others @ ..] = ports.map(|port| format!("127.0.0.1:{port}"));
    let up = within(LIMIT, "the master answers over TLS", async || TcpStream::connect(&first).ok());
    drop(up.await?);
    machine.up("up", &["--config", &config, &first]).await?;
    within(LIMIT, "both replicas are linked", async || {
        let said = machine.ask(&["nodes", "mymaster", "--json", "--config", &config]).ok()?;
        let said: Value = serde_json::from_slice(&said.stdout).ok()?;
        let linked = said.as_array()?.iter().filter(|node| node["link_up"] == true).count();
        (linked == 2).then_some(())
    })
    .await?;
    nodes[0].kill9()?;
    let new = machine.master_is(&others).await?;
    let last = others.iter().find(|node| **node != new).context("another one")?;
    within(LIMIT, "the other one follows the new master", async || {
        let said = machine.ask(&["nodes", "mymaster", "--json", "--config", &config]).ok()?;
        let said: Value = serde_json::from_slice(&said.stdout).ok()?;
        let node = said.as_array()?.iter().find(|node| node["node"] == last.as_str())?.clone();
        (node["follows"] == new.as_str() && node["link_up"] == true).then_some(())
    })
    .await?;
    machine.down().await
}

#[tokio::test]
async fn a_killed_up_leaves_no_nats_server_in_the_way() -> Result<()> {
    let mut machine = Machine::start(1, Some("secret")).await?;
    std::fs::write(machine.path().join("pass"), "secret\n")?;
    let master = machine.node(0);
    let arguments = [master.as_str(), "--password-file", "pass"];
    machine.up("up1", &arguments).await?;
    machine.up.as_mut().context("up runs")?.kill9()?;
    ensure!(!free(machine.port), "the nats-server of a killed process goes on");
    machine.up("up2", &[]).await?;
    machine.all_is_well().await?;
    let again = ["up", &master, "--data", "data"].map(Into::into).into();
    let mut other = Process::spawn("other", PathBuf::from(VEDETTE), again, machine.path())?;
    within(LIMIT, "a second one on the same data ends", async || other.ended()).await?;
    ensure!(other.log().contains("in use by another process"), "{}", other.log());
    machine.down().await
}

#[tokio::test]
async fn what_cannot_be_watched_is_refused_with_the_remedy() -> Result<()> {
    let machine = Machine::start(0, None).await?;
    let other = Node::start("other", machine.path(), None, None, &[]).await?;
    let protected = Node::start("protected", machine.path(), None, Some("x"), &[]).await?;
    let (one, other) = (machine.node(0), other.addr().to_string());
    let (protected, data) = (protected.addr().to_string(), machine.path().join("data"));
    let data = data.to_string_lossy().into_owned();
    for (arguments, expected, code) in [
        (vec!["up", &one, &other, "--data", &data], "2 masters that do not belong together", 1),
        (vec!["up", &protected, "--data", &data], "--password-file", 1),
        (vec!["up", "--data", &data], "name the master's address", 1),
        (vec!["up", &one, "--quorum", "0", "--data", &data], "--quorum", 64),
        (vec!["up", "no-port"], "host:port", 64),
        (vec!["status"], "no nats server answers", 1),
        (vec!["master", "mymaster"], "no nats server answers", 1),
        (vec!["watch", "--nats", "no url"], "nats.servers", 64),
    ] {
        let mut command = Command::new(VEDETTE);
        let server = format!("nats://127.0.0.1:{}", machine.port);
        let output = command.args(&arguments).env("VEDETTE_NATS__SERVERS", &server);
        if arguments[0] == "up" {
            output.env_remove("VEDETTE_NATS__SERVERS");
        }
        let output = output.output()?;
        let text = words(&output);
        ensure!(text.contains(expected), "{arguments:?}: {text}");
        ensure!(output.status.code() == Some(code), "{arguments:?}: {:?}", output.status);
    }
    Ok(())
}

#[tokio::test]
async fn an_unknown_group_and_a_folder_of_other_nodes_are_told() -> Result<()> {
    let mut machine = Machine::start(1, None).await?;
    let stranger = Node::start("stranger", machine.path(), None, None, &[]).await?;
    let (master, stranger) = (machine.node(0), stranger.addr().to_string());
    machine.up("up", &[&master]).await?;
    let unknown = machine.ask(&["master", "nobody"])?;
    ensure!(unknown.status.code() == Some(1));
    ensure!(words(&unknown).contains("Groups they know: mymaster"), "{}", words(&unknown));
    let json = machine.ask(&["master", "mymaster", "--json"])?;
    ensure!(words(&json).contains(&format!("\"master\":\"{master}\"")), "{}", words(&json));
    machine.down().await?;
    let data = machine.path().join("data");
    let output = Command::new(VEDETTE).args(["up", &stranger, "--data"]).arg(data).output()?;
    ensure!(words(&output).contains("none of the given addresses"), "{}", words(&output));
    Ok(())
}
