//! Gateways beside real Sentinels that watch the same nodes: what differs, byte for byte.
//!
//! ```text
//!  questions ─► three Sentinels ─► shape ─┐
//!      └──────► three gateways ──► shape ─┴─► alike? ─ no ─► a row of docs/migration.md? ─► meant, or not
//! ```

pub mod questions;
mod shape;
mod table;
mod wire;

pub use wire::{Asked, Form, request};

use crate::sentinel::{Sentinel, Watch};
use anyhow::{Context as _, Result, bail, ensure};
use questions::{LAST, LOCKED, OPEN, RAW, commands};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Plan, System, binary, within};
use vedette_model::NodeAddr;

/// So many Sentinels, and gateways: as many as there are probers and voters.
pub const COUNT: usize = 3;
/// Where a question asks for a password.
const SECRET: &str = "secret";
/// No command of anybody: the answer to it says that there is no more to come.
const END: &str = "vedette-end";

/// The system's plan: nothing is to be called down meanwhile. Of the replicas one is hidden.
fn plan() -> Plan {
    Plan { down_after_ms: 60_000, replicas: 3, ..Plan::default() }
}

/// Starts a gateway and waits until it lets clients in. Where it does.
///
/// # Errors
/// If it cannot be started, or lets nobody in.
pub async fn gateway(system: &mut System, id: &str) -> Result<SocketAddr> {
    gateway_with(system, id, &[]).await
}

async fn gateway_with(system: &mut System, id: &str, keys: &[&str]) -> Result<SocketAddr> {
    let at = system.start_gateway(id, keys)?;
    within(LIMIT, &format!("{id} lets clients in"), async || {
        TcpStream::connect(at).await.ok().map(drop)
    })
    .await?;
    Ok(at)
}

/// Who is master, as a gateway or Sentinel says.
///
/// # Errors
/// If it does not.
pub async fn master(at: SocketAddr, group: &str) -> Result<NodeAddr> {
    let mut asked = Asked::connect(at).await?;
    let form = asked.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]).await?;
    let Form::Array(two) = &form else { bail!("no address: {form:?}") };
    Ok(NodeAddr::new(two[0].text(), two[1].text().parse()?)?)
}

/// Which replicas a gateway or Sentinel lists.
///
/// # Errors
/// If it lists none.
pub async fn replicas(at: SocketAddr, group: &str) -> Result<BTreeSet<NodeAddr>> {
    let addr = |entry: &BTreeMap<String, String>| {
        let field = |name: &str| entry.get(name).context("a field is missing");
        Ok(NodeAddr::new(field("ip")?, field("port")?.parse()?)?)
    };
    entries(at, "REPLICAS", group).await?.iter().map(addr).collect()
}

async fn entries(at: SocketAddr, of: &str, group: &str) -> Result<Vec<BTreeMap<String, String>>> {
    let form = Asked::connect(at).await?.ask(&["SENTINEL", of, group]).await?;
    let Form::Array(all) = &form else { bail!("no list: {form:?}") };
    Ok(all.iter().map(Form::entry).collect())
}

/// One question that both were asked, and what came if it was not alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The protocol's version.
    pub proto: &'static str,
    /// The question.
    pub asked: String,
    /// Sentinel's answer.
    pub sentinel: String,
    /// The gateway's.
    pub gateway: String,
    /// Why it is meant to be so; nothing if no row of the table speaks of it.
    pub why: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { proto, asked, .. } = self;
        let (sentinel, gateway) = shape::apart(&self.sentinel, &self.gateway);
        let why = self.why.as_deref().unwrap_or("NOT IN THE TABLE");
        write!(
            f,
            "RESP{proto} {asked}\n  Sentinel {sentinel}\n  gateway  {gateway}\n  why      {why}"
        )
    }
}

/// What came of the comparison.
#[derive(Debug, Default)]
pub struct Report {
    /// Sentinel's version.
    pub version: String,
    /// How many answers were compared.
    pub count: usize,
    /// All that were not alike.
    pub found: Vec<Difference>,
    /// The table's rows about this version of which nothing was seen, by their first pattern.
    pub idle: Vec<String>,
}

impl Report {
    /// What keeps table and program from saying the same, in a sentence each.
    pub fn faults(&self) -> Vec<String> {
        let open = self.found.iter().filter(|found| found.why.is_none());
        let open =
            open.map(|found| format!("RESP{} {}: not in the table", found.proto, found.asked));
        open.chain(self.idle.iter().map(|row| format!("{row}: in the table, and no difference")))
            .collect()
    }
}

/// Starts Sentinels and gateways on the same nodes, asks all questions, and ends all of it.
///
/// # Errors
/// If something cannot be started or does not answer.
pub async fn run() -> Result<Report> {
    let rows = table::rows()?;
    let mut system = System::start(plan()).await?;
    // A group is watched and removed again.
    system.announce(&["second"]);
    let hidden = system.nodes.last().context("no replica")?;
    let _: String = hidden.command(&["CONFIG", "SET", "replica-announced", "no"]).await?;
    let mut asking = Asking { rows, used: BTreeSet::new(), report: Report::default(), port: 0 };
    asking.port = system.master().port();
    let (folder, group) = (system.path()?, system.group().to_string());
    let watch = Watch {
        group: system.group(),
        master: system.master(),
        down_after_ms: plan().down_after_ms,
        program: binary::redis()?,
    };
    let (mut sentinels, mut gateways) = (Vec::new(), Vec::new());
    for n in 1..=COUNT {
        sentinels.push(Sentinel::start(&watch, &folder.join(format!("sentinel{n}")), "")?);
        gateways.push(gateway(&mut system, &format!("g{n}")).await?);
    }
    for at in sentinels.iter().map(|sentinel| sentinel.at).chain(gateways.iter().copied()) {
        all_are_known(at, &group, plan().replicas - 1).await?;
    }
    asking.report.version = version(sentinels[0].at).await?;
    let both = (sentinels[0].at, gateways[0]);
    asking.ask_all(both, ("", OPEN), &["2", "3"]).await?;
    for (name, bytes) in RAW {
        let answers = (raw(both.0, bytes).await?, raw(both.1, bytes).await?);
        asking.judge("2", name, answers, true);
    }
    let lines = format!("requirepass {SECRET}");
    let locked = Sentinel::start(&watch, &folder.join("locked"), &lines)?;
    let key = format!("clients.password = {SECRET:?}");
    let gate = gateway_with(&mut system, "g4", &[&key]).await?;
    within(LIMIT, "the Sentinel answers", async || {
        TcpStream::connect(locked.at).await.ok().map(drop)
    })
    .await?;
    asking.ask_all((locked.at, gate), ("before login: ", LOCKED), &["2"]).await?;
    asking.ask_all((sentinels[COUNT - 1].at, gateways[COUNT - 1]), ("", LAST), &["2"]).await?;
    for sentinel in sentinels.iter_mut().take(COUNT - 1) {
        let _ = sentinel.terminate(LIMIT).await?;
    }
    system.finish().await?;
    Ok(asking.done())
}

/// Waits until one of them has seen all nodes, and the others of its kind.
///
/// # Errors
/// If it has not in time.
pub async fn all_are_known(at: SocketAddr, group: &str, replicas: usize) -> Result<()> {
    within(LIMIT, &format!("{at} knows all"), async || {
        for (of, count, flags) in
            [("REPLICAS", replicas, "slave"), ("SENTINELS", COUNT - 1, "sentinel")]
        {
            let all = entries(at, of, group).await.ok()?;
            let well = |entry: &BTreeMap<String, String>| {
                let has = |name: &str, value: &str| entry.get(name).is_none_or(|v| v == value);
                has("flags", flags) && has("master-link-status", "ok")
            };
            if all.len() != count || !all.iter().all(well) {
                return None;
            }
        }
        Some(())
    })
    .await
}

async fn version(at: SocketAddr) -> Result<String> {
    let form = Asked::connect(at).await?.ask(&["HELLO", "2"]).await?;
    form.entry().remove("version").context("no version")
}

/// A comparison under way.
struct Asking {
    rows: Vec<table::Row>,
    /// Rows of which something was seen.
    used: BTreeSet<usize>,
    report: Report,
    /// The master's.
    port: u16,
}

impl Asking {
    async fn ask_all(
        &mut self,
        (sentinel, gateway): (SocketAddr, SocketAddr),
        (before, questions): (&str, &str),
        protos: &[&'static str],
    ) -> Result<()> {
        for proto in protos {
            for line in questions.lines().filter(|line| !line.is_empty()) {
                let question = line.trim_start_matches('~');
                let all = self.meant(question);
                let open = before.is_empty();
                let (one, other) = tokio::join!(
                    answers(sentinel, proto, &all, open),
                    answers(gateway, proto, &all, open)
                );
                let all = one.and_then(|one| Ok((one, other?)));
                let all = all.with_context(|| format!("asked {question}"))?;
                self.judge(proto, &format!("{before}{question}"), all, question == line);
            }
        }
        Ok(())
    }

    /// A question's commands with the names that hold here.
    fn meant(&self, question: &str) -> Vec<Vec<String>> {
        let mut all = commands(question);
        for word in all.iter_mut().flatten() {
            match &**word {
                "mymaster" => *word = vedette_harness::GROUP.into(),
                "6379" => *word = self.port.to_string(),
                _ => {}
            }
        }
        all
    }

    fn judge(
        &mut self,
        proto: &'static str,
        question: &str,
        (sentinel, gateway): (Vec<Form>, Vec<Form>),
        numbers: bool,
    ) {
        self.report.count += 1;
        let (sentinel, gateway) = (shape::line(&sentinel, numbers), shape::line(&gateway, numbers));
        if sentinel == gateway {
            return;
        }
        let mut why = None;
        for (n, row) in self.rows.iter().enumerate() {
            if row.fits(question, &self.report.version) {
                self.used.insert(n);
                why.get_or_insert_with(|| row.why.clone());
            }
        }
        let asked = question.to_owned();
        self.report.found.push(Difference { proto, asked, sentinel, gateway, why });
    }

    fn done(mut self) -> Report {
        let version = &self.report.version;
        let idle = self.rows.iter().enumerate();
        let idle = idle.filter(|(n, row)| row.is_about(version) && !self.used.contains(n));
        self.report.idle = idle.map(|(_, row)| row.asked[0].clone()).collect();
        self.report
    }
}

/// What is answered to all of these on one connection. `open` says that whoever asks may ask for
/// anything; otherwise each command has one answer.
async fn answers(
    at: SocketAddr,
    proto: &str,
    all: &[Vec<String>],
    open: bool,
) -> Result<Vec<Form>> {
    let mut asked = Asked::connect(at).await?;
    if proto == "3" {
        let hello = asked.ask(&["HELLO", "3"]).await?;
        ensure!(matches!(hello, Form::Map(_)), "{hello:?}");
    }
    let mut bytes = Vec::new();
    for words in all {
        bytes.extend(request(&words.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    let limit = if open { usize::MAX } else { all.len() };
    Ok(until_the_end(asked, bytes, limit).await)
}

async fn raw(at: SocketAddr, bytes: &[u8]) -> Result<Vec<Form>> {
    Ok(until_the_end(Asked::connect(at).await?, bytes.to_vec(), usize::MAX).await)
}

/// All replies before that to [`END`], at most so many; if there is none, why.
async fn until_the_end(mut asked: Asked, mut bytes: Vec<u8>, limit: usize) -> Vec<Form> {
    bytes.extend(request(&[END]));
    let mut all = Vec::new();
    // It may have closed already, and has answered then.
    let _ = asked.send(&bytes).await;
    while all.len() < limit {
        match asked.reply().await {
            Ok(Form::Error(text)) if text.contains(END) => break,
            Ok(reply) => all.push(reply),
            Err(error) => {
                all.push(Form::Simple(format!("({})", wire::lost(&error))));
                break;
            }
        }
    }
    all
}
