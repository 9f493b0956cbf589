//! Chaos: a whole system in network namespaces of its own, faults at random from a seed, and then
//! the invariants, checked from outside.
//!
//! ```text
//!   round: faults for some seconds ─► heal everything ─► wait until all is well ─► check ─► next
//!          (kill, freeze, cut one    (cuts, stopped,     (roles, links, answers,   (see
//!           way or both)              dead processes)     the writer goes on)       `check`)
//! ```
//!
//! The timeline (faults, changes of role as the nodes tell them, and what was said on the bus) goes
//! to a file. The same seed plans the same faults; what they meet depends on the machine.

mod check;
mod faults;
mod nodes;
pub mod rng;
mod story;

use anyhow::{Context, Result, bail, ensure};
use check::Checks;
use faults::Faults;
use nodes::Nodes;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use story::Story;
use tokio::signal::unix::{SignalKind, signal};
use vedette_harness::{Network, Plan, System, Writer, now, until, within};
use vedette_model::NodeAddr;

/// After the faults, until all is well.
const HEAL_LIMIT: Duration = Duration::from_secs(90);
/// All must stay well for so long: what was reported before the healing may come late, and still
/// bring a master down that answers again.
const STEADY: Duration = Duration::from_millis(2_500);

/// What the nodes keep over a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Everything (append-only file).
    All,
    /// Nothing: a node that was killed comes back empty.
    Nothing,
}

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    /// Decides the faults.
    pub seed: u64,
    /// For how long there are faults, all rounds together.
    pub span: Duration,
    /// Faults of one round.
    pub round: Duration,
    /// What the nodes keep; the seed decides if it is not given.
    pub keep: Option<Keep>,
    /// Where the timeline goes; beside the logs if it is not given.
    pub timeline: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Rounds that ended well.
    pub rounds: u32,
    /// Faults brought about.
    pub faults: u32,
    /// Changes of master that were announced.
    pub switches: usize,
    /// Acknowledged writes.
    pub acknowledged: usize,
    /// Of these, those that the last master lacks.
    pub lost: usize,
    /// How long each healing took until all was well, in ms.
    pub healed_ms: Vec<f64>,
    /// What was noticed besides: services that ended by themselves, losses with what was stated.
    pub notes: Vec<String>,
}

/// Runs it, from a thread that lives in a namespace of its own. Everything is removed afterwards.
///
/// # Errors
/// The first thing that did not hold, with the seed and the end of the timeline.
pub fn run(options: &Options) -> Result<Report> {
    crate::in_network(async |network| {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            report = whole(options, network) => report,
            _ = interrupt.recv() => bail!("interrupted"),
            _ = terminate.recv() => bail!("interrupted"),
        }
    })
}

async fn whole(options: &Options, network: Network) -> Result<Report> {
    let keep = options.keep.unwrap_or(match options.seed % 2 {
        0 => Keep::Nothing,
        _ => Keep::All,
    });
    let mut system = System::start_servers_at(plan(keep), Some(network)).await?;
    let path = options.timeline.clone().map_or_else(|| system.path().map(timeline_in), Ok)?;
    let mut story = Story::new(&path)?;
    story.tell(&format!("seed {}, nodes keep {keep:?}", options.seed));
    let mut report = Report::default();
    let result = scenario(options, keep, &mut system, &mut story, &mut report).await;
    story.bus(&system);
    match result {
        Ok(()) => {
            system.abandon();
            Ok(report)
        }
        Err(error) => {
            let tail = story.tail(120);
            // Dropping the system keeps the logs and says where they are.
            Err(error.context(format!(
                "chaos with seed {} after {} good rounds; {:?}\n{tail}\ntimeline: {}",
                options.seed,
                report.rounds,
                report.notes,
                path.display()
            )))
        }
    }
}

fn timeline_in(folder: PathBuf) -> PathBuf {
    folder.join("timeline.txt")
}

fn plan(keep: Keep) -> Plan {
    // A link that a cut left hanging is noticed soon.
    let mut node_lines = vec!["repl-timeout 5".to_string()];
    let settings = [
        "failover_timeout_ms = 10000",
        "hold_off_ms = 500",
        "flap_window_ms = 0",
        // After a restart a node has a new history: always with an append-only file, and an empty
        // one as soon as somebody who has not heard of the new master writes to it.
        "trust_recorded_address = true",
    ];
    let settings = settings.map(Into::into).into();
    match keep {
        Keep::All => node_lines.push("appendonly yes".into()),
        // Nor what a synchronisation left on the disk.
        Keep::Nothing => node_lines.push("rdb-del-sync-files yes".into()),
    }
    Plan { nats: 3, notifiers: 0, settings, node_lines, ..Plan::default() }
}

async fn scenario(
    options: &Options,
    keep: Keep,
    system: &mut System,
    story: &mut Story,
    report: &mut Report,
) -> Result<()> {
    system.start_services()?;
    system.ready().await?;
    let nodes = Nodes::watch(system, story.zero());
    let home = system.add_home("writer")?;
    let writers = Network::runtime(&home)?;
    let outcome = {
        let start = system.writer_in(writers.handle());
        let writer = start.await?;
        let outcome = rounds(options, keep, system, story, report, &nodes, &writer).await;
        drop(writer);
        outcome
    };
    // Not dropped, because that waits, and waiting is not allowed here.
    writers.shutdown_background();
    story.nodes(&nodes);
    outcome
}

async fn rounds(
    options: &Options,
    keep: Keep,
    system: &mut System,
    story: &mut Story,
    report: &mut Report,
    nodes: &Nodes,
    writer: &Writer,
) -> Result<()> {
    let mut faults = Faults::new(options.seed, keep, system);
    let mut checks = Checks::default();
    let mut left = options.span;
    while !left.is_zero() {
        let span = left.min(options.round);
        left -= span;
        let number = report.rounds + 1;
        story.tell(&format!("round {number}: faults for {} ms", span.as_millis()));
        let end = now() + span;
        while now() < end {
            report.faults += faults.step(system, nodes, story, &mut report.notes, end).await?;
        }
        faults.heal();
        let healed = now();
        let master = well(system, writer, nodes, &mut faults, story, report).await?;
        let (since, master) = master;
        let took = crate::ms(healed, since);
        report.healed_ms.push(took);
        story.tell(&format!("round {number}: all was well {took:.0} ms after healing: {master}"));
        checks.round(system, writer, nodes, &master, story, report).await?;
        report.rounds = number;
    }
    Ok(())
}

/// Waits until there is one master whom everybody follows, whom the orchestrators name and late
/// subscribers find, and the writer writes there, and this stays so. Since when it is so, and who.
async fn well(
    system: &mut System,
    writer: &Writer,
    nodes: &Nodes,
    faults: &mut Faults,
    story: &mut Story,
    report: &mut Report,
) -> Result<(Instant, NodeAddr)> {
    let (healed, mut missing) = (now(), String::new());
    let mut well: Option<(Instant, NodeAddr)> = None;
    let result = within(HEAL_LIMIT, "all is well", async || {
        if let Err(error) = faults.look_after(system, nodes, story, &mut report.notes) {
            missing = format!("{error:#}");
        }
        match is_well(system, writer, healed).await {
            Ok(master) => {
                well = well.take().filter(|(_, known)| *known == master);
                let since = well.get_or_insert_with(|| (now(), master));
                (now() >= since.0 + STEADY).then(|| since.clone())
            }
            Err(error) => {
                missing = format!("{error:#}");
                well = None;
                None
            }
        }
    })
    .await;
    if result.is_err() {
        story.tell(&format!("NOT well after {} s: {missing}", HEAL_LIMIT.as_secs()));
        story.tell(&status(system).await);
    }
    result.with_context(|| missing)
}

/// What each service says of itself now.
async fn status(system: &mut System) -> String {
    let mark = system.watcher.mark();
    // Every answer says this; after the first one the others come soon.
    if let Err(error) = system.status_says(&[""]).await {
        return format!("{error:#}");
    }
    until(now() + Duration::from_millis(500)).await;
    system.standings(mark)
}

async fn is_well(system: &System, writer: &Writer, healed: Instant) -> Result<NodeAddr> {
    let mut masters = Vec::new();
    for node in &system.nodes {
        if node.info("replication").await?.get("role").is_some_and(|role| role == "master") {
            masters.push(node.addr().clone());
        }
    }
    let [master] = masters.as_slice() else { bail!("masters: {masters:?}") };
    for node in system.nodes.iter().filter(|node| node.addr() != master) {
        ensure!(node.follows(master).await, "{} does not follow {master}", node.name());
    }
    let answer = system.ask_master().await?;
    ensure!(answer.master == *master, "the orchestrators name {}", answer.master);
    let kept = system.retained().await?.context("no master is retained")?;
    ensure!(kept.master == *master && kept.epoch == answer.epoch, "{} is retained", kept.master);
    let written = writer.last().is_some_and(|write| write.node == *master && write.at > healed);
    ensure!(written, "the writer does not write to {master}");
    Ok(master.clone())
}
