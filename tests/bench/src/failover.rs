//! From a master's fault to the news of the next one, and to the next write.

use crate::canary::Canaries;
use crate::moments::{Fault, Setting, Trial, nth_speaker};
use crate::redis_py::{Python, RedisPy};
use crate::report::{Common, Run};
use crate::summary::{Summary, overview, summaries};
use crate::surroundings::Surroundings;
use crate::trouble::Trouble;
use crate::world::{Contestant, QUORUM, World};
use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use std::time::{Duration, Instant};
use vedette_harness::{LIMIT, now, signed_ms, until, within};
use vedette_model::NodeAddr;

/// For an announcement, beyond `down_after`. Sentinels that split their votes try again after 20 s.
const ANNOUNCED_WITHIN: Duration = Duration::from_secs(60);
/// Trials of each, if nobody says how many.
const TRIALS: usize = 30;
/// From when all is well to the fault, at most: the longest beat of any watcher.
const PHASE_MS: u64 = 1_000;

/// What is tried, and how often.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    /// Silence that makes a master down
    #[arg(long, value_delimiter = ',', default_value = "500ms,1s,5s", value_parser = milliseconds)]
    down_after: Vec<u64>,
    /// What is done to the master
    #[arg(long, value_enum, value_delimiter = ',', default_value = "kill,stop")]
    fault: Vec<Fault>,
    /// Vedette's NATS servers: one, or a cluster of three
    #[arg(long, value_delimiter = ',', default_value = "1,3")]
    nats: Vec<usize>,
    /// What dies together with the master; where it is a NATS server, only Vedette with a cluster is tried
    #[arg(long, value_enum, value_delimiter = ',', default_value = "none")]
    trouble: Vec<Trouble>,
    /// Vedette alone
    #[arg(long)]
    without_sentinel: bool,
}

impl Options {
    fn settings(&self) -> Vec<Setting> {
        let with = |fault: &Fault| {
            let fault = *fault;
            let troubled = move |ms: &u64| {
                let down_after_ms = *ms;
                self.trouble.iter().map(move |trouble| Setting {
                    fault,
                    down_after_ms,
                    trouble: *trouble,
                })
            };
            self.down_after.iter().flat_map(troubled)
        };
        self.fault.iter().flat_map(with).collect()
    }

    fn contestants(&self) -> Vec<Contestant> {
        let ours = self.nats.iter().map(|nats| Contestant::Vedette { nats: *nats });
        let sentinel = (!self.without_sentinel).then_some(Contestant::Sentinel);
        sentinel.into_iter().chain(ours).collect()
    }
}

/// Tries all of it, tells on standard error how it goes, and prints the table.
///
/// # Errors
/// If something is missing that every trial needs, or a result cannot be written.
pub async fn run(options: &Options) -> Result<()> {
    let python = Python::find().await?;
    let mut run = Run::begin("failover", &options.common, Surroundings::look(Some(&python))?);
    let (settings, contestants) = (options.settings(), options.contestants());
    let mut trials = Vec::new();
    ensure!(
        options.trouble == [Trouble::None] || contestants.iter().any(Contestant::is_clustered),
        "only a cluster can do without a server: --nats 3"
    );
    for pair in 1..=options.common.trials(TRIALS) {
        for setting in run.shuffled(&settings) {
            let phase_ms = run.rng.range(0, PHASE_MS);
            let able = |one: &&Contestant| setting.trouble == Trouble::None || one.is_clustered();
            let able: Vec<_> = contestants.iter().filter(able).copied().collect();
            for contestant in run.shuffled(&able) {
                let trial = tried(pair, contestant, setting, phase_ms, &python).await;
                told(&trial);
                trials.push(trial);
            }
        }
        run.keep(&json!(trials), &json!(summaries(&trials, &settings, &contestants)))?;
    }
    let summaries = summaries(&trials, &settings, &contestants);
    let tables: String = summaries.iter().map(Summary::text).collect();
    run.end(&format!("{tables}{}", overview(&summaries)));
    Ok(())
}

fn told(trial: &Trial) {
    let Trial { pair, contestant, setting, moments, error, .. } = trial;
    let ms = |value: Option<f64>| value.map_or_else(|| "-".into(), |ms| format!("{ms:.1}"));
    let error = error.as_ref().map(|error| format!(" FAILED: {error}")).unwrap_or_default();
    eprintln!(
        "{pair:>3} {:<28} {:<15} evidence {:>8} announced {:>8}{error}",
        setting.to_string(),
        contestant.to_string(),
        ms(moments.quorum_sdown_ms),
        ms(moments.announced_ms)
    );
}

/// One trial. What it did not come to is missing in it, and the reason is there.
async fn tried(
    pair: usize,
    contestant: Contestant,
    setting: Setting,
    phase_ms: u64,
    python: &Python,
) -> Trial {
    let moments = Default::default();
    let mut trial = Trial {
        pair,
        contestant,
        setting,
        phase_ms,
        waiting_ms: None,
        rule_over_ms: None,
        moments,
        error: None,
    };
    let done = match World::start(contestant, setting.down_after_ms).await {
        Ok(mut world) => {
            let done = measured(&mut world, &mut trial, python).await;
            world.end(done.is_ok());
            done
        }
        Err(error) => Err(error.context("the start")),
    };
    trial.error = done.err().map(|error| format!("{error:#}"));
    trial
}

async fn measured(world: &mut World, trial: &mut Trial, python: &Python) -> Result<()> {
    let old = world.nodes()[0].addr().clone();
    let victim = world.victim(trial.setting.trouble).await?;
    let canaries = Canaries::on(&world.nodes()[1..]).await?;
    let writer = world.writer().await?;
    let redis_py = RedisPy::start(python, &world.places(), &world.folder()?)?;
    writer.write_on(&old, now(), LIMIT).await?;
    redis_py.writes_on(&old).await?;
    until(now() + Duration::from_millis(trial.phase_ms)).await;

    let (now, late) = match trial.setting.trouble {
        Trouble::ServicesLate => (None, victim),
        Trouble::None | Trouble::Services | Trouble::Stream => (victim, None),
    };
    if let Some(victim) = now {
        world.nats()[victim].kill9()?;
    }
    let fault = match trial.setting.fault {
        Fault::Kill => world.nodes()[0].kill9()?,
        Fault::Stop => world.nodes()[0].stop()?,
    };
    if let Some(victim) = late {
        world.called_down(LIMIT).await?;
        world.nats()[victim].kill9()?;
    }
    let after = |at: Instant| Some(signed_ms(at, fault));
    let down_after = Duration::from_millis(trial.setting.down_after_ms);
    let announced = world.announced(down_after + ANNOUNCED_WITHIN).await;
    // Also of a failover that did not come to its end.
    seen_by_watchers(world, trial, fault);
    let (at, new) = announced?;
    trial.moments.announced_ms = after(at);
    trial.moments.switch_master_ms = after(world.switched(&new, LIMIT).await?);
    trial.moments.promoted_ms = after(promotion(&canaries, &new, fault).await?);
    trial.moments.follower_write_ms = after(writer.write_on(&new, fault, LIMIT).await?.at);
    trial.moments.redis_py_write_ms = after(redis_py.writes_on(&new).await?);
    seen_by_watchers(world, trial, fault);
    Ok(())
}

fn seen_by_watchers(world: &World, trial: &mut Trial, fault: Instant) {
    let watched = world.watched();
    let down = || watched.down.iter().map(|(at, who)| (*at, who.as_str()));
    let after = |at: Instant| signed_ms(at, fault);
    trial.moments.first_sdown_ms = nth_speaker(down(), 1).map(after);
    trial.moments.quorum_sdown_ms = nth_speaker(down(), QUORUM).map(after);
    trial.moments.odown_ms = watched.odown.map(after);
    trial.waiting_ms = watched.waiting.map(|span| span.as_secs_f64() * 1e3);
    trial.rule_over_ms = watched.rule_over.map(after);
}

async fn promotion(canaries: &Canaries, new: &NodeAddr, fault: Instant) -> Result<Instant> {
    // The announcement may be read sooner.
    let what = format!("{new}, the new master, closes its clients' connections");
    let closed = within(LIMIT, &what, async || canaries.closed(new)).await?;
    ensure!(closed >= fault, "{new} had closed its connections before the fault");
    Ok(closed)
}

/// `500ms`, `1s`
pub fn milliseconds(text: &str) -> Result<u64, String> {
    let number = |digits: &str, times: u64| digits.parse::<u64>().ok()?.checked_mul(times);
    let parsed = match text.strip_suffix("ms") {
        Some(digits) => number(digits, 1),
        None => text.strip_suffix('s').and_then(|digits| number(digits, 1_000)),
    };
    parsed.filter(|ms| *ms > 0).ok_or_else(|| format!("{text:?} is no time such as 500ms or 1s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(milliseconds("500ms"), Ok(500));
        assert_eq!(milliseconds("5s"), Ok(5_000));
        for wrong in ["500", "s", "0s", "-1s", "1.5s", "1m", ""] {
            assert!(milliseconds(wrong).is_err(), "{wrong:?}");
        }
    }
}
