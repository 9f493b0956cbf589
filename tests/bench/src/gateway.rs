//! How fast a gateway answers beside a Sentinel, and how soon all its subscribers hear of a new
//! master.
//!
//! ```text
//!   side: who is asked ──► cores: apart from this program ──┬─► load: request after request ──► rate, µs, µs of a core
//!                                                           └─► fan: a change of master ──────► ms to the last subscriber
//! ```

mod cores;
mod fan;
mod load;
mod side;

use crate::failover::milliseconds;
use crate::process::allow_descriptors;
use crate::report::{Common, Run};
use crate::statistics::Distribution;
use crate::surroundings::Surroundings;
use crate::table::{self, Row};
use crate::world::Contestant;
use anyhow::Result;
use clap::Args;
use clap::builder::RangedU64ValueParser;
use cores::Cores;
use fan::Heard;
use load::{Answers, Load, Pool};
use serde::Serialize;
use serde_json::json;
use side::Side;
use std::time::Duration;

/// Trials of each, if nobody says how many.
const TRIALS: usize = 10;
/// Descriptors that a process needs beside those of its connections.
const BESIDES: usize = 512;

/// What is asked, and by how many.
#[derive(Debug, Args)]
pub struct Options {
    #[command(flatten)]
    common: Common,
    /// Connections that each send a request when the last one is answered
    #[arg(long, value_delimiter = ',', default_value = "1,100,10000", value_parser = some())]
    connections: Vec<usize>,
    /// Connections that each send many requests together when the last ones are answered
    #[arg(long, value_delimiter = ',', default_value = "1,100", value_parser = some())]
    pipelined: Vec<usize>,
    /// How many of these are sent together
    #[arg(long, default_value = "100", value_parser = some())]
    depth: usize,
    /// Connections that hear of a new master
    #[arg(long, default_value = "10000", value_parser = some())]
    subscribers: usize,
    /// How long each rate is measured
    #[arg(long, default_value = "2s", value_parser = milliseconds)]
    span: u64,
    /// Vedette alone
    #[arg(long)]
    without_sentinel: bool,
}

/// One or more.
fn some() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}

impl Options {
    fn loads(&self) -> Vec<Load> {
        let single = self.connections.iter().map(|count| Load { connections: *count, depth: 1 });
        let together = |count: &usize| Load { connections: *count, depth: self.depth };
        single.chain(self.pipelined.iter().map(together)).collect()
    }

    fn contestants(&self) -> Vec<Contestant> {
        let sentinel = (!self.without_sentinel).then_some(Contestant::Sentinel);
        sentinel.into_iter().chain([Contestant::Vedette { nats: 1 }]).collect()
    }

    /// Connections at the same time, at most.
    fn most(&self) -> usize {
        let asking = self.loads().into_iter().map(|load| load.connections).max();
        asking.unwrap_or_default().max(self.subscribers)
    }
}

/// All loads and a change of master, once. What was not seen is absent.
#[derive(Debug, Serialize)]
struct Trial {
    round: usize,
    contestant: Contestant,
    /// The core of who answered, and of who asked; absent if there is but one.
    cores: Option<(usize, usize)>,
    /// In the order in which they were tried.
    loads: Vec<Answers>,
    heard: Option<Heard>,
    error: Option<String>,
}

/// Tries all of it, tells on standard error how it goes, and prints the table.
///
/// # Errors
/// If something is missing that every trial needs, or a result cannot be written.
pub async fn run(options: &Options) -> Result<()> {
    allow_descriptors(options.most() + BESIDES)?;
    let mut run = Run::begin("gateway", &options.common, Surroundings::look(None)?);
    let cores = Cores::look()?;
    println!("{cores}\n");
    let contestants = options.contestants();
    let mut trials = Vec::new();
    for round in 1..=options.common.trials(TRIALS) {
        for contestant in run.shuffled(&contestants) {
            let trial = tried(round, contestant, &cores, options).await;
            told(&trial);
            trials.push(trial);
        }
        run.keep(&json!(trials), &json!(tables(&trials, options)))?;
    }
    let mut text = String::new();
    for (title, rows) in tables(&trials, options) {
        text += &table::of(title, &rows);
    }
    run.end(&(text + &errors(&trials)));
    Ok(())
}

async fn tried(round: usize, contestant: Contestant, cores: &Cores, options: &Options) -> Trial {
    let mut trial =
        Trial { round, contestant, cores: cores.pair, loads: Vec::new(), heard: None, error: None };
    let done = match Side::start(contestant, options.most() + BESIDES).await {
        Ok(side) => {
            let done = measured(&side, &mut trial, cores, options).await;
            side.end(done.is_ok());
            done
        }
        Err(error) => Err(error.context("the start")),
    };
    // What is started next may run anywhere again.
    let done = done.and(cores.together());
    trial.error = done.err().map(|error| format!("{error:#}"));
    trial
}

async fn measured(side: &Side, trial: &mut Trial, cores: &Cores, options: &Options) -> Result<()> {
    let process = side.process();
    cores.apart(process.pid)?;
    let mut pool = Pool::at(side.at()).await?;
    let mut loads = options.loads();
    // No more connections are open than those that ask.
    loads.sort_by_key(|load| load.connections);
    for load in loads {
        trial.loads.push(pool.under(load, Duration::from_millis(options.span), process).await?);
    }
    let subscribers = pool.subscribed(options.subscribers).await?;
    trial.heard = Some(fan::heard(subscribers, side).await?);
    Ok(())
}

/// What a row shows of a load's answers.
type OfAnswers = (&'static str, &'static str, fn(&Answers) -> Option<f64>);

/// Title, row, and value.
const OF_ANSWERS: &[OfAnswers] = &[
    ("requests a second", "answered", |answers| Some(answers.a_second())),
    ("µs to the answer", "half of the answers", |answers| Some(answers.us?.p50)),
    ("µs to the answer", "99 of 100", |answers| Some(answers.us?.p99)),
    ("µs to the answer", "the slowest", |answers| Some(answers.us?.max)),
    ("µs of a core for a request", "used", |answers| answers.core_us()),
];

/// What a row shows of the news' way.
type OfHeard = (&'static str, fn(&Heard) -> Option<f64>);

const OF_HEARD: &[OfHeard] = &[
    ("from the commit to the first", |heard| heard.first_ms),
    ("from the commit to half of them", |heard| heard.half_ms),
    ("from the commit to the last", |heard| heard.last_ms),
    ("from the first to the last", |heard| Some(heard.spread_ms)),
];

/// A title, and the rows under it.
type Table = (&'static str, Vec<Row>);

fn tables(trials: &[Trial], options: &Options) -> Vec<Table> {
    let mut tables: Vec<Table> = Vec::new();
    let mut add = |title, row| match tables.last_mut().filter(|(last, _)| *last == title) {
        Some((_, rows)) => rows.push(row),
        None => tables.push((title, vec![row])),
    };
    for (title, what, of) in OF_ANSWERS {
        for load in options.loads() {
            for who in options.contestants() {
                let own = trials.iter().filter(|trial| trial.contestant == who);
                let answers = own.clone().filter_map(|trial| {
                    of(trial.loads.iter().find(|answers| answers.load == load)?)
                });
                let spread = Distribution::of(answers);
                let who = format!("{load}, {who}");
                add(*title, Row { what, who, trials: own.count(), spread });
            }
        }
    }
    for (what, of) in OF_HEARD {
        for who in options.contestants() {
            let own = trials.iter().filter(|trial| trial.contestant == who);
            let spread =
                Distribution::of(own.clone().filter_map(|trial| of(trial.heard.as_ref()?)));
            // Of Sentinel nobody sees a commit: there is none.
            if spread.is_some() || who != Contestant::Sentinel {
                let who = format!("{} subscribers, {who}", options.subscribers);
                add("ms to `+switch-master`", Row { what, who, trials: own.count(), spread });
            }
        }
    }
    tables
}

fn errors(trials: &[Trial]) -> String {
    let mut text = String::new();
    for Trial { round, contestant, error, .. } in trials {
        if let Some(error) = error {
            text += &format!("* round {round}, {contestant}: {error}\n");
        }
    }
    if text.is_empty() { text } else { text + "\n" }
}

fn told(trial: &Trial) {
    let Trial { round, contestant, loads, heard, error, .. } = trial;
    let error = error.as_ref().map(|error| format!(" FAILED: {error}")).unwrap_or_default();
    let rates = loads.iter().map(|answers| format!("{:.0}", answers.a_second()));
    let last = heard.as_ref().map(|heard| heard.last_ms.unwrap_or(heard.spread_ms));
    eprintln!(
        "{round:>3} {:<16} {} a second, last subscriber {:.0} ms{error}",
        contestant.to_string(),
        rates.collect::<Vec<_>>().join(", "),
        last.unwrap_or(f64::NAN)
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(words: &[&str]) -> Result<Options, clap::Error> {
        Ok(Line::try_parse_from([&["bench"], words].concat())?.options)
    }

    #[test]
    fn as_many_connections_are_open_as_the_largest_load_or_all_subscribers_need() {
        let of = |words| options(words).unwrap().most();
        assert_eq!(of(&[]), 10_000);
        assert_eq!(of(&["--connections", "1,30", "--pipelined", "200", "--subscribers", "7"]), 200);
        assert_eq!(of(&["--connections", "1", "--pipelined", "1", "--subscribers", "7"]), 7);
        assert!(options(&["--connections", "0"]).is_err());
    }

    #[test]
    fn a_trial_that_failed_between_two_loads_counts_where_it_came_to() {
        let options = options(&["--connections", "1", "--pipelined", "2", "--depth", "5"]).unwrap();
        let ours = Contestant::Vedette { nats: 1 };
        let answers = |load, requests| Answers {
            load,
            requests,
            seconds: 2.0,
            cpu_s: 1.0,
            us: Distribution::of([3.0]),
        };
        let [one, many] = options.loads()[..] else { panic!("two loads") };
        let heard = Heard { first_ms: Some(1.0), half_ms: None, last_ms: None, spread_ms: 4.0 };
        let trial = |loads, heard| Trial {
            round: 1,
            contestant: ours,
            cores: None,
            loads,
            heard,
            error: None,
        };
        let trials = [
            trial(vec![answers(one, 10), answers(many, 1_000)], Some(heard)),
            trial(vec![answers(one, 30)], None),
        ];
        let tables = tables(&trials, &options);
        let titles: Vec<_> = tables.iter().map(|(title, rows)| (*title, rows.len())).collect();
        // Sentinel was not tried; only what it has in common with us has rows of it.
        let wanted = [
            ("requests a second", 4),
            ("µs to the answer", 12),
            ("µs of a core for a request", 4),
            ("ms to `+switch-master`", 4),
        ];
        assert_eq!(titles, wanted);
        let rate = |who: &str| {
            let row = tables[0].1.iter().find(|row| row.who == who).unwrap();
            let spread = row.spread.unwrap();
            (row.trials, spread.count, spread.min, spread.max)
        };
        assert_eq!(rate("1 connection, Vedette, 1 NATS"), (2, 2, 5.0, 15.0));
        assert_eq!(rate("2 connections by 5, Vedette, 1 NATS"), (2, 1, 500.0, 500.0));
    }
}
