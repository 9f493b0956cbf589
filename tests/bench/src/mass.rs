//! Hundreds of masters die at once: until the last of them has been replaced.

mod sums;

use crate::crowd::Crowd;
use crate::failover::milliseconds;
use crate::guards::{Guard, Guards, Happened, Setup};
use crate::process::{Machine, Share, Watched};
use crate::report::{Common, Run};
use crate::surroundings::Surroundings;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::time::Duration;
use sums::summary;
use vedette_harness::{now, signed_ms, until, within};
use vedette_model::{GroupName, NodeAddr};

/// Trials of each, if nobody says how many.
const TRIALS: usize = 3;
/// Replicas beside each master.
const REPLICAS: usize = 1;
/// Probers, or Sentinels.
const WATCHERS: usize = 3;
/// From when all is known to the deaths, at least, so that what was set up has come to rest.
const REST: Duration = Duration::from_secs(5);
/// And so much more at most, ms, so that they meet no watcher always at the same beat.
const PHASE_MS: u64 = 1_000;

/// Who is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Who {
    Sentinel,
    Vedette,
}

/// What is tried, and how often.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    setup: Setup,
    /// Groups, each a master and a replica
    #[arg(long, default_value_t = 1_000)]
    groups: usize,
    /// How many of the masters die
    #[arg(long, value_delimiter = ',', default_value = "100,1000")]
    die: Vec<usize>,
    /// Who watches
    #[arg(long, value_enum, value_delimiter = ',', default_value = "sentinel,vedette")]
    who: Vec<Who>,
    /// Silence that makes a master down
    #[arg(long, default_value = "5s", value_parser = milliseconds)]
    down_after: u64,
    /// For Vedette to replace the last
    #[arg(long, default_value = "120s", value_parser = milliseconds)]
    limit: u64,
    /// For Sentinel to replace the last
    #[arg(long, default_value = "600s", value_parser = milliseconds)]
    sentinel_limit: u64,
}

/// Deaths, once. What was not seen is absent.
#[derive(Debug, Serialize)]
struct Trial {
    round: usize,
    guard: Guard,
    groups: usize,
    die: usize,
    /// From the start to when all watched all.
    settled_s: Option<f64>,
    /// What they had not come to when the time for it was over. The masters died all the same.
    unsettled: Option<String>,
    /// From the first death to the last.
    dying_ms: Option<f64>,
    /// From the first death to each announcement of another master, in their order.
    switched_ms: Vec<f64>,
    /// Changes of master without a death: before the first one, and of groups whose master lived.
    needless: usize,
    /// From the first death to the last announcement, or the end of waiting.
    window_s: f64,
    /// What each process used meanwhile, also those that only pretend to be nodes, and the bench.
    shares: Vec<Share>,
    /// The share of all cores that was used meanwhile, by anybody.
    busy: Option<f64>,
    /// What happened since the first death, and how often.
    happenings: Happened,
    /// Lines of logs that told of an error since the first death.
    errors: Option<usize>,
    error: Option<String>,
}

impl Trial {
    fn new(round: usize, guard: Guard, groups: usize, die: usize) -> Self {
        Self {
            round,
            guard,
            groups,
            die: die.min(groups),
            settled_s: None,
            unsettled: None,
            dying_ms: None,
            switched_ms: Vec::new(),
            needless: 0,
            window_s: 0.0,
            shares: Vec::new(),
            busy: None,
            happenings: Happened::default(),
            errors: None,
            error: None,
        }
    }
}

/// Tries all of it, tells on standard error how it goes, and prints the table.
///
/// # Errors
/// If something is missing that every trial needs, or a result cannot be written.
pub async fn run(options: &Options) -> Result<()> {
    let mut run = Run::begin("mass", &options.common, Surroundings::look(None)?);
    let guards: Vec<Guard> = options.who.iter().map(|who| guard(*who)).collect();
    let mut trials = Vec::new();
    let summed = |trials: &[Trial]| summary(trials, options.groups, &options.die, &guards);
    for round in 1..=options.common.trials(TRIALS) {
        for die in &options.die {
            for guard in run.shuffled(&guards) {
                let phase = Duration::from_millis(run.rng.range(0, PHASE_MS));
                let trial = tried(round, guard, *die, phase, options).await;
                told(&trial);
                trials.push(trial);
            }
        }
        run.keep(&json!(trials), &json!(summed(&trials)))?;
    }
    run.end(&summed(&trials).text());
    Ok(())
}

const fn guard(who: Who) -> Guard {
    match who {
        Who::Sentinel => Guard::Sentinels(WATCHERS),
        Who::Vedette => Guard::Vedette(WATCHERS),
    }
}

async fn tried(
    round: usize,
    guard: Guard,
    die: usize,
    phase: Duration,
    options: &Options,
) -> Trial {
    let mut trial = Trial::new(round, guard, options.groups, die);
    let done = match Crowd::start(options.groups, REPLICAS).await {
        Ok(mut crowd) => {
            match Guards::start(guard, &crowd, options.down_after, options.setup).await {
                Ok(mut guards) => {
                    let done = measured(&mut crowd, &mut guards, &mut trial, phase, options).await;
                    guards.end(done.is_ok() && trial.open() == Some(0));
                    done
                }
                Err(error) => Err(error),
            }
        }
        Err(error) => Err(error),
    };
    trial.error = done.err().map(|error| format!("{error:#}"));
    trial
}

async fn measured(
    crowd: &mut Crowd,
    guards: &mut Guards,
    trial: &mut Trial,
    phase: Duration,
    options: &Options,
) -> Result<()> {
    match guards.settled(crowd, options.setup).await {
        Ok(seconds) => trial.settled_s = Some(seconds),
        // Whoever takes so long is tried as it is then.
        Err(error) => trial.unsettled = Some(format!("{error:#}")),
    }
    until(now() + REST + phase).await;
    trial.needless = guards.switches().len();
    drop(guards.happened());
    let processes = [guards.processes(), crowd.processes(), vec![Watched::this()]].concat();
    let (errors, machine) = (guards.errors(), Machine::now()?);
    let used = crate::process::used(&processes)?;

    let dead = chosen(crowd, guards, trial.die);
    let (death, dead_all) = crowd.kill(&dead.values().collect::<Vec<_>>()).await?;
    trial.dying_ms = Some(signed_ms(dead_all, death));
    let limit = match trial.guard {
        Guard::Sentinels(_) => options.sentinel_limit,
        Guard::Vedette(_) | Guard::Pinger => options.limit,
    };
    let (mut left, mut needless) = (dead.keys().cloned().collect::<HashSet<_>>(), HashSet::new());
    // Whether all have is told by how many are left.
    let _ = within(Duration::from_millis(limit), "all have another master", async || {
        for switch in guards.switches() {
            if left.remove(&switch.group) {
                trial.switched_ms.push(signed_ms(switch.at, death));
            } else if !dead.contains_key(&switch.group) {
                needless.insert(switch.group);
            }
        }
        left.is_empty().then_some(())
    })
    .await;
    trial.needless += needless.len();
    trial.switched_ms.sort_by(f64::total_cmp);
    trial.window_s = signed_ms(now(), death) / 1e3;
    trial.shares = crate::process::since(&processes, &used)?;
    trial.busy = Machine::now()?.busy_since(&machine);
    trial.happenings = guards.happened();
    trial.errors = Some(guards.errors() - errors);
    Ok(())
}

/// Who dies: so many masters, evenly among all groups, and so among the processes that hold them.
fn chosen(crowd: &Crowd, guards: &Guards, die: usize) -> HashMap<GroupName, NodeAddr> {
    let all = crowd.groups.len();
    let picked = (0..die).map(|n| &crowd.groups[n * all / die]);
    picked.map(|group| (group.name.clone(), guards.master(group))).collect()
}

fn told(trial: &Trial) {
    let Trial { round, guard, die, switched_ms, error, .. } = trial;
    let error = error.as_ref().map(|error| format!(" FAILED: {error}")).unwrap_or_default();
    let at = |value: Option<&f64>| value.map_or_else(|| "-".into(), |ms| format!("{ms:.0}"));
    eprintln!(
        "{round:>3} {:<20} settled after {:>5.0} s, {} of {die} replaced, first {} last {} ms, machine {:>3.0} %{error}",
        guard.to_string(),
        trial.settled_s.unwrap_or(f64::NAN),
        switched_ms.len(),
        at(switched_ms.first()),
        at(switched_ms.last()),
        trial.busy.unwrap_or(f64::NAN) * 100.0
    );
}
