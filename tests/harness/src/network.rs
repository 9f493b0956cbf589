//! A network of the test's own: one bridge, and a network namespace with an address for each
//! process, so that any of them can be cut from any other, also in one direction only.
//!
//! ```text
//!   namespace …-v1        namespace …-hub         namespace …-redis1
//!      eth0 ───────────── v1 ─ br0 ─ redis1 ───────────── eth0
//!                          nftables on the bridge:
//!                          from . to @cut → drop
//! ```
//!
//! Nothing is added to the machine's own network. All names begin with `vedette-<process id>-`; what
//! a killed test left behind is removed by the next one.

use crate::Home;
use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::runtime::{Builder, Runtime};

const PREFIX: &str = "vedette-";
const REMEDY: &str = "install both with `apt-get install iproute2 nftables` and run as root";
const TABLE: &str = "table bridge vedette {
    set cut { type ifname . ifname; }
    chain forward {
        type filter hook forward priority 0;
        iifname . oifname @cut counter drop
    }
}";

/// The namespaces of one test. Dropping it removes them.
pub struct Network {
    prefix: String,
    names: Vec<String>,
}

impl Network {
    /// An empty network, after removing what ended tests left behind.
    ///
    /// # Errors
    /// If `ip` or `nft` is missing, or without root.
    pub fn new() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        for tool in ["ip", "nft"] {
            run(tool, &["-V"]).with_context(|| format!("`{tool}` is needed: {REMEDY}"))?;
        }
        remove_leftovers()?;
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let prefix = format!("{PREFIX}{}-{next}-", std::process::id());
        let mut network = Self { prefix, names: Vec::new() };
        let hub = network.namespace("hub").with_context(|| format!("root is needed: {REMEDY}"))?;
        ip(&["-n", &hub, "link", "add", "br0", "type", "bridge"])?;
        ip(&["-n", &hub, "link", "set", "dev", "br0", "up"])?;
        network.nft(TABLE)?;
        Ok(network)
    }

    /// The namespace of this name, with an address for one process; `name` has at most 15 letters.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn add(&mut self, name: &str) -> Result<Home> {
        ensure!(name.len() <= 15, "{name} is too long for the name of an interface");
        let known = self.names.iter().position(|known| *known == self.full(name));
        let host = format!("10.66.0.{}", known.unwrap_or(self.names.len()));
        if known.is_some() {
            return Ok(Home::of(self.full(name), host));
        }
        let (hub, own) = (self.full("hub"), self.namespace(name)?);
        ip(&[
            "link", "add", "eth0", "netns", &own, "type", "veth", "peer", "name", name, "netns",
            &hub,
        ])?;
        ip(&["-n", &hub, "link", "set", "dev", name, "master", "br0", "up"])?;
        ip(&["-n", &own, "addr", "add", &format!("{host}/24"), "dev", "eth0"])?;
        ip(&["-n", &own, "link", "set", "dev", "eth0", "up"])?;
        ip(&["-n", &own, "link", "set", "dev", "lo", "up"])?;
        Ok(Home::of(own, host))
    }

    /// Exactly these directions, each from one name to another, let nothing through from now on.
    ///
    /// # Errors
    /// If the rules are refused.
    pub fn cut(&self, directions: &[(String, String)]) -> Result<()> {
        let mut text = String::from("flush set bridge vedette cut\n");
        if !directions.is_empty() {
            let pairs = directions.iter().map(|(from, to)| format!("\"{from}\" . \"{to}\""));
            let list = pairs.collect::<Vec<_>>().join(", ");
            text += &format!("add element bridge vedette cut {{ {list} }}\n");
        }
        self.nft(&text)
    }

    /// Of a thousand packets so many are lost from now on, whichever way they go. It cannot be taken
    /// back.
    ///
    /// # Errors
    /// If the rule is refused.
    pub fn lose(&self, permille: u32) -> Result<()> {
        self.nft(&format!(
            "add rule bridge vedette forward numgen random mod 1000 < {permille} counter drop"
        ))
    }

    /// How many packets have been lost by [`Network::lose`].
    ///
    /// # Errors
    /// If the rules cannot be read.
    pub fn lost(&self) -> Result<u64> {
        let nft = ["nft", "list", "chain", "bridge", "vedette", "forward"];
        let rules = ip(&[&["netns", "exec", &self.full("hub")][..], &nft].concat())?;
        let rule = rules.lines().find(|line| line.contains("numgen")).context("nothing is lost")?;
        let mut words = rule.split_whitespace().skip_while(|word| *word != "packets");
        Ok(words.nth(1).context("it counts packets")?.parse()?)
    }

    /// A runtime whose threads live in this home.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn runtime(home: &Home) -> Result<Runtime> {
        let make = || {
            home.enter()?;
            Ok(Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
        };
        std::thread::scope(|scope| scope.spawn(make).join())
            .map_err(|_| anyhow!("the thread that makes a runtime panicked"))?
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn namespace(&mut self, name: &str) -> Result<String> {
        let full = self.full(name);
        ip(&["netns", "add", &full])?;
        self.names.push(full.clone());
        Ok(full)
    }

    fn nft(&self, text: &str) -> Result<()> {
        let mut child = Command::new("ip")
            .args(["netns", "exec", &self.full("hub"), "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("`ip` cannot be started: {REMEDY}"))?;
        child.stdin.take().context("it has an input")?.write_all(text.as_bytes())?;
        let output = child.wait_with_output()?;
        let words = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "nft refused {text:?}: {words}");
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in &self.names {
            if let Err(error) = remove(name) {
                eprintln!("{error:#}");
            }
        }
    }
}

fn ip(arguments: &[&str]) -> Result<String> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("`{program}` cannot be started"))?;
    if !output.status.success() {
        let words = String::from_utf8_lossy(&output.stderr);
        bail!("`{program} {}` failed: {}", arguments.join(" "), words.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Ends what still runs in the namespace and removes it.
fn remove(name: &str) -> Result<()> {
    for pid in ip(&["netns", "pids", name])?.split_whitespace() {
        // Already gone is as good.
        let _ = kill(Pid::from_raw(pid.parse()?), Signal::SIGKILL);
    }
    ip(&["netns", "del", name]).map(drop)
}

/// Removes the namespaces of tests that do not run any more.
fn remove_leftovers() -> Result<()> {
    for line in ip(&["netns", "list"])?.lines() {
        let Some(name) = line.split_whitespace().next() else { continue };
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        let Some(pid) = owner.and_then(|pid| pid.parse::<u32>().ok()) else { continue };
        if !std::path::Path::new(&format!("/proc/{pid}")).exists() {
            // Another test may be removing it too.
            let _ = remove(name);
        }
    }
    Ok(())
}
