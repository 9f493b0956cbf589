//! A planned change of master under load: for how long writes wait, and which are lost.

mod stage;

use crate::redis_py::Python;
use crate::report::{Common, Run};
use crate::statistics::Distribution;
use crate::surroundings::Surroundings;
use crate::table::{self, Row};
use anyhow::{Context as _, Result};
use clap::Args;
use serde::Serialize;
use serde_json::json;
use stage::{Stage, Way};
use std::time::{Duration, Instant};
use vedette_harness::{LIMIT, Write, Writer, now, signed_ms, until};
use vedette_live::gap;

/// Trials of each, if nobody says how many.
const TRIALS: usize = 30;
/// From when all write to the change, at most.
const PHASE_MS: u64 = 1_000;

/// What is tried, and how often.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    /// Applications that write at the same time, each again 1 ms after its last write
    #[arg(long, default_value_t = 4)]
    writers: usize,
}

/// One way to do it, once. What was not seen is absent.
#[derive(Debug, Serialize)]
struct Trial {
    pair: usize,
    way: Way,
    /// From when all wrote to the command.
    phase_ms: u64,
    /// From the command to the news of the new master.
    told_ms: Option<f64>,
    /// The longest time around it in which nobody had a write acknowledged.
    silence_ms: Option<f64>,
    /// The longest time that any write around it waited, from when it was wanted first.
    waited_ms: Option<f64>,
    /// Writes that were acknowledged, from the first one on.
    acknowledged: usize,
    /// Those of them that the new master lacks.
    lost: Option<usize>,
    error: Option<String>,
}

/// Tries all ways, tells on standard error how it goes, and prints the table.
///
/// # Errors
/// If something is missing that every trial needs, or a result cannot be written.
pub async fn run(options: &Options) -> Result<()> {
    let python = Python::find().await?;
    let ways = Way::all()?;
    let mut run = Run::begin("switchover", &options.common, Surroundings::look(Some(&python))?);
    let mut trials = Vec::new();
    for pair in 1..=options.common.trials(TRIALS) {
        let phase_ms = run.rng.range(0, PHASE_MS);
        for way in run.shuffled(&ways) {
            let trial = tried(pair, way, phase_ms, options.writers).await;
            told(&trial);
            trials.push(trial);
        }
        run.keep(&json!(trials), &json!(rows(&trials, &ways)))?;
    }
    run.end(&format!("{}{}", table::of("ms", &rows(&trials, &ways)), losses(&trials, &ways)));
    Ok(())
}

/// A row, of each way.
type Column = (&'static str, fn(&Trial) -> Option<f64>);

const COLUMNS: &[Column] = &[
    ("from the command to the news", |trial| trial.told_ms),
    ("no write of anybody", |trial| trial.silence_ms),
    ("the slowest write", |trial| trial.waited_ms),
];

fn rows(trials: &[Trial], ways: &[Way]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, of) in COLUMNS {
        for way in ways {
            let own = trials.iter().filter(|trial| trial.way == *way);
            let spread = Distribution::of(own.clone().filter_map(of));
            rows.push(Row { what, who: way.to_string(), trials: own.count(), spread });
        }
    }
    rows
}

/// Who lost how much, and what went wrong.
fn losses(trials: &[Trial], ways: &[Way]) -> String {
    let mut text = String::new();
    for way in ways {
        let own: Vec<_> = trials.iter().filter(|trial| trial.way == *way).collect();
        let lost: Vec<usize> = own.iter().filter_map(|trial| trial.lost).collect();
        let with = lost.iter().filter(|lost| **lost > 0).count();
        let (sum, all) = (lost.iter().sum::<usize>(), lost.len());
        let written: usize = own.iter().map(|trial| trial.acknowledged).sum();
        text += &format!(
            "* {way}: {sum} of {written} acknowledged writes lost, in {with} of {all} trials, at most {} in one\n",
            lost.iter().max().copied().unwrap_or_default()
        );
    }
    for trial in trials {
        if let Some(error) = &trial.error {
            text += &format!("* pair {}, {}: {error}\n", trial.pair, trial.way);
        }
    }
    text + "\n"
}

fn told(trial: &Trial) {
    let Trial { pair, way, waited_ms, lost, error, .. } = trial;
    let error = error.as_ref().map(|error| format!(" FAILED: {error}")).unwrap_or_default();
    eprintln!(
        "{pair:>3} {:<40} slowest write {:>8.1} ms, lost {}{error}",
        way.to_string(),
        waited_ms.unwrap_or(f64::NAN),
        lost.map_or_else(|| "-".into(), |lost| lost.to_string())
    );
}

async fn tried(pair: usize, way: Way, phase_ms: u64, writers: usize) -> Trial {
    let mut trial = Trial {
        pair,
        way,
        phase_ms,
        told_ms: None,
        silence_ms: None,
        waited_ms: None,
        acknowledged: 0,
        lost: None,
        error: None,
    };
    let done = match Stage::start(way).await {
        Ok(mut stage) => {
            let done = measured(&mut stage, &mut trial, writers).await;
            stage.end(done.is_ok());
            done
        }
        Err(error) => Err(error.context("the start")),
    };
    trial.error = done.err().map(|error| format!("{error:#}"));
    trial
}

async fn measured(stage: &mut Stage, trial: &mut Trial, count: usize) -> Result<()> {
    let old = stage.nodes()[0].addr().clone();
    let mut writers = Vec::new();
    for _ in 0..count {
        let writer = stage.writer().await?;
        writer.write_on(&old, now(), LIMIT).await?;
        writers.push(writer);
    }
    until(now() + Duration::from_millis(trial.phase_ms)).await;
    let begun = now();
    let (at, new) = stage.change().await?;
    trial.told_ms = Some(signed_ms(at, begun));
    for writer in &writers {
        writer.write_on(&new, at, LIMIT).await?;
    }
    let (writes, end) = (written(writers).await?, now());
    let gaps = writes.iter().map(|writes| gap(writes, begun, end));
    trial.waited_ms = gaps.reduce(f64::max);
    let times: Vec<Instant> = writes.iter().flatten().map(|write| write.at).collect();
    trial.silence_ms = silence(times, begun);
    trial.acknowledged = writes.iter().map(Vec::len).sum();
    let node = stage.nodes().iter().find(|node| *node.addr() == new).context("the new master")?;
    let mut lost = 0;
    for acknowledged in writes {
        lost += vedette_harness::Writes { acknowledged }.missing_on(node).await?.len();
    }
    trial.lost = Some(lost);
    Ok(())
}

/// Ends them; what each had acknowledged.
async fn written(writers: Vec<Writer>) -> Result<Vec<Vec<Write>>> {
    let mut all = Vec::new();
    for writer in writers {
        all.push(writer.stop().await?.acknowledged);
    }
    Ok(all)
}

/// The longest time between two moments that follow one another, the later of them after `since`,
/// ms; none if there are no two such.
fn silence(mut times: Vec<Instant>, since: Instant) -> Option<f64> {
    times.sort();
    let pairs = times.windows(2).filter(|two| two[1] > since);
    pairs.map(|two| signed_ms(two[1], two[0])).reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_the_longest_time_without_a_write_of_anybody_since_the_command() {
        let zero = now();
        let at = |ms| zero + Duration::from_millis(ms);
        let times = || vec![at(700), at(0), at(500), at(510), at(740)];
        assert_eq!(silence(times(), at(505)), Some(190.0));
        // The command came within the longest one.
        assert_eq!(silence(times(), at(400)), Some(500.0));
        assert_eq!(silence(times(), at(720)), Some(40.0));
        assert_eq!(silence(times(), at(740)), None);
    }
}
