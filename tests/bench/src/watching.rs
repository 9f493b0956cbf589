//! What watching many nodes costs, while nothing happens: processor time and memory.

mod costs;

use crate::crowd::Crowd;
use crate::failover::milliseconds;
use crate::guards::{Guard, Guards, Happened, Setup};
use crate::process::{Machine, Share};
use crate::report::{Common, Run};
use crate::surroundings::Surroundings;
use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};
use costs::summaries;
use serde::Serialize;
use serde_json::json;
use std::fmt;
use std::time::Duration;
use vedette_harness::{now, signed_ms, until};

/// Trials of each, if nobody says how many.
const TRIALS: usize = 1;

/// Who is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Who {
    /// A program that only pings
    Pinger,
    /// One Sentinel
    Sentinel,
    /// Three of them
    Sentinels,
    Vedette,
}

/// What is tried, and how often.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    setup: Setup,
    /// Nodes, all of which are watched
    #[arg(long, value_delimiter = ',', default_value = "100,1000,5000,10000")]
    nodes: Vec<usize>,
    /// Between two questions to the same node
    #[arg(long, value_delimiter = ',', default_value = "1s,100ms", value_parser = milliseconds)]
    every: Vec<u64>,
    /// Who watches
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "pinger,sentinel,sentinels,vedette"
    )]
    who: Vec<Who>,
    /// Replicas beside each master
    #[arg(long, default_value_t = 1)]
    replicas: usize,
    /// Vedette's probers
    #[arg(long, default_value_t = 3)]
    probers: usize,
    /// From then to the measurement: what was set up comes to rest
    #[arg(long, default_value = "10s", value_parser = milliseconds)]
    rest: u64,
    /// For how long it is measured
    #[arg(long, default_value = "20s", value_parser = milliseconds)]
    window: u64,
}

/// One setting in which all are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Setting {
    nodes: usize,
    every_ms: u64,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { nodes, every_ms } = self;
        write!(f, "{nodes} nodes, each asked every {every_ms} ms")
    }
}

/// Who watches in a setting, once. What was not seen is absent.
#[derive(Debug, Serialize)]
pub struct Trial {
    round: usize,
    guard: Guard,
    #[serde(flatten)]
    setting: Setting,
    /// From the start to when all watched all.
    settled_s: Option<f64>,
    /// For how long it was measured.
    window_s: f64,
    /// What each process used meanwhile.
    shares: Vec<Share>,
    /// The share of all cores that was used meanwhile, by anybody, the nodes too. Near 1 the machine
    /// was the limit, and who watched could not do all that it wanted.
    busy: Option<f64>,
    /// Changes of master since the start, though all masters lived.
    needless: usize,
    /// What happened meanwhile, and how often.
    happened: Happened,
    error: Option<String>,
}

/// Tries all of it, tells on standard error how it goes, and prints the table.
///
/// # Errors
/// If something is missing that every trial needs, or a result cannot be written.
pub async fn run(options: &Options) -> Result<()> {
    ensure!(
        options.nodes.iter().all(|nodes| nodes % (options.replicas + 1) == 0),
        "--nodes are whole groups of a master and its replicas: multiples of {}",
        options.replicas + 1
    );
    let mut run = Run::begin("watching", &options.common, Surroundings::look(None)?);
    let guards: Vec<Guard> = options.who.iter().map(|who| options.guard(*who)).collect();
    let every = |nodes: usize| options.every.iter().map(move |ms| Setting { nodes, every_ms: *ms });
    let settings: Vec<_> = options.nodes.iter().flat_map(|nodes| every(*nodes)).collect();
    let mut trials = Vec::new();
    for round in 1..=options.common.trials(TRIALS) {
        for setting in &settings {
            for guard in run.shuffled(&guards) {
                let trial = tried(round, guard, *setting, options).await;
                told(&trial);
                trials.push(trial);
                run.keep(&json!(trials), &json!(summaries(&trials, &settings, &guards)))?;
            }
        }
    }
    let summaries = summaries(&trials, &settings, &guards);
    run.end(&summaries.iter().map(costs::Summary::text).collect::<String>());
    Ok(())
}

impl Options {
    const fn guard(&self, who: Who) -> Guard {
        match who {
            Who::Pinger => Guard::Pinger,
            Who::Sentinel => Guard::Sentinels(1),
            Who::Sentinels => Guard::Sentinels(3),
            Who::Vedette => Guard::Vedette(self.probers),
        }
    }
}

async fn tried(round: usize, guard: Guard, setting: Setting, options: &Options) -> Trial {
    let mut trial = Trial {
        round,
        guard,
        setting,
        settled_s: None,
        window_s: 0.0,
        shares: Vec::new(),
        busy: None,
        needless: 0,
        happened: Happened::default(),
        error: None,
    };
    trial.error = measured(&mut trial, options).await.err().map(|error| format!("{error:#}"));
    trial
}

async fn measured(trial: &mut Trial, options: &Options) -> Result<()> {
    let Setting { nodes, every_ms } = trial.setting;
    let mut crowd = Crowd::start(nodes / (options.replicas + 1), options.replicas).await?;
    let down_after_ms = trial.guard.down_after_ms(every_ms);
    let mut guards = Guards::start(trial.guard, &crowd, down_after_ms, options.setup).await?;
    let settled = guards.settled(&mut crowd, options.setup).await;
    if let Ok(seconds) = settled {
        trial.settled_s = Some(seconds);
        until(now() + Duration::from_millis(options.rest)).await;
        drop(guards.happened());
        measure(trial, &guards, Duration::from_millis(options.window)).await?;
    }
    trial.needless = guards.switches().len();
    trial.happened = guards.happened();
    guards.end(settled.is_ok());
    settled.map(drop)
}

async fn measure(trial: &mut Trial, guards: &Guards, window: Duration) -> Result<()> {
    let processes = guards.processes();
    let (begun, machine) = (now(), Machine::now()?);
    let before = crate::process::used(&processes)?;
    until(begun + window).await;
    trial.shares = crate::process::since(&processes, &before)?;
    trial.window_s = signed_ms(now(), begun) / 1e3;
    trial.busy = Machine::now()?.busy_since(&machine);
    Ok(())
}

fn told(trial: &Trial) {
    let Trial { round, guard, setting, settled_s, busy, error, .. } = trial;
    let error = error.as_ref().map(|error| format!(" FAILED: {error}")).unwrap_or_default();
    let cpu: f64 = trial.shares.iter().map(|share| share.cpu_s).sum();
    let cores = cpu / trial.window_s * 100.0;
    eprintln!(
        "{round:>3} {:<40} {:<20} settled after {:>4.0} s, {cores:>6.1} % of a core, machine {:>3.0} %{error}",
        setting.to_string(),
        guard.to_string(),
        settled_s.unwrap_or(f64::NAN),
        busy.unwrap_or(f64::NAN) * 100.0
    );
}
