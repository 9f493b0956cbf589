//! Chaos for as long as one likes: `cargo chaos -- --minutes 10 --seed 7`.

use anyhow::{Context, Result, bail};
use std::process::ExitCode;
use std::time::{Duration, UNIX_EPOCH};
use vedette_live::chaos::{Keep, Options, run};

const HELP: &str = "usage: cargo chaos -- [options]     (root, iproute2, nftables)
  --minutes N      faults for so long; 10
  --seed S         decides the faults; by the time of day
  --round SECONDS  faults for so long, then heal and check; 10
  --keep all|none  what a killed node comes back with; by the seed
  --timeline FILE  what happened; beside the logs";

fn main() -> ExitCode {
    let options = match parsed(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("{error:#}\n{HELP}");
            return ExitCode::from(64);
        }
    };
    println!("seed {}", options.seed);
    match run(&options) {
        Ok(report) => {
            println!("{report:#?}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn parsed(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
    let clock = UNIX_EPOCH.elapsed().unwrap_or_default();
    let mut options = Options {
        seed: clock.as_secs(),
        span: Duration::from_secs(600),
        round: Duration::from_secs(10),
        keep: None,
        timeline: None,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        match name.as_str() {
            "--minutes" => options.span = Duration::from_secs_f64(value.parse::<f64>()? * 60.0),
            "--seed" => options.seed = value.parse()?,
            "--round" => options.round = Duration::from_secs_f64(value.parse()?),
            "--keep" if value == "all" => options.keep = Some(Keep::All),
            "--keep" if value == "none" => options.keep = Some(Keep::Nothing),
            "--timeline" => options.timeline = Some(value.into()),
            _ => bail!("unknown: {name} {value}"),
        }
    }
    Ok(options)
}
