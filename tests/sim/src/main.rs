//! `cargo sim [--seeds N] [--from S] [--threads T] [--long] [--trace]`: runs seeds, and says how
//! to replay each that violates something.

use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use vedette_sim::{Kind, Runner};

const USAGE: &str = "usage: cargo sim [--seeds N] [--from S] [--threads T] [--long] [--trace]";

#[derive(Debug, Clone, Copy)]
struct Wanted {
    seeds: u64,
    from: u64,
    threads: u64,
    kind: Kind,
    trace: bool,
}

impl Wanted {
    fn parse(mut args: impl Iterator<Item = String>) -> Option<Self> {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let threads = u64::try_from(cores).ok()?;
        let mut wanted = Self { seeds: 10_000, from: 1, threads, kind: Kind::Short, trace: false };
        while let Some(arg) = args.next() {
            let mut number = || args.next()?.parse::<u64>().ok();
            match arg.as_str() {
                "--seeds" => wanted.seeds = number()?,
                "--from" => wanted.from = number()?,
                "--threads" => wanted.threads = number()?.max(1),
                "--long" => wanted.kind = Kind::Long,
                "--trace" => wanted.trace = true,
                _ => return None,
            }
        }
        Some(wanted)
    }

    fn replay(self, seed: u64) -> String {
        let long = if self.kind == Kind::Long { " --long" } else { "" };
        format!("cargo sim --seeds 1 --from {seed}{long} --trace")
    }
}

/// What came of all seeds so far.
#[derive(Debug, Default)]
struct Sum {
    switches: u64,
    /// Seconds of processor time; less than the time that passes where others use the machine too.
    busy: f64,
    violations: u64,
    slowest: Duration,
}

fn work(wanted: Wanted, next: &AtomicU64, sum: &Mutex<Sum>) {
    let mut runner = Runner::default();
    loop {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= wanted.from + wanted.seeds {
            break;
        }
        let run = || runner.run(seed, wanted.kind, wanted.trace);
        let Ok(outcome) = catch_unwind(AssertUnwindSafe(run)) else {
            println!("seed {seed}: it panicked\nreplay: {}", wanted.replay(seed));
            sum.lock().expect("no thread panics with it").violations += 1;
            runner = Runner::default();
            continue;
        };
        let mut sum = sum.lock().expect("no thread panics with it");
        sum.switches += outcome.switches;
        sum.slowest = sum.slowest.max(outcome.recovered_after);
        for line in &outcome.trace {
            println!("{line}");
        }
        if let Some(violation) = outcome.violation {
            sum.violations += 1;
            println!("seed {seed}: {violation}\nreplay: {}", wanted.replay(seed));
        }
    }
    sum.lock().expect("no thread panics with it").busy += processor_time().unwrap_or_default();
}

/// Seconds that this thread has had a processor, as Linux counts them.
fn processor_time() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse::<f64>().ok().map(|nanos| nanos / 1e9)
}

#[expect(clippy::disallowed_methods, reason = "only the rate that is printed depends on it")]
fn main() -> ExitCode {
    let Some(wanted) = Wanted::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(64);
    };
    let begun = std::time::Instant::now();
    let (next, sum) = (AtomicU64::new(wanted.from), Mutex::new(Sum::default()));
    std::thread::scope(|scope| {
        for _ in 0..wanted.threads {
            scope.spawn(|| work(wanted, &next, &sum));
        }
    });
    let took = begun.elapsed().as_secs_f64();
    let sum = sum.into_inner().expect("no thread panicked");
    let Wanted { seeds, from, threads, .. } = wanted;
    println!(
        "{seeds} schedules from seed {from} on {threads} threads in {took:.1} s: {:.0} a second, \
         {:.0} a second of processor time; {} switches, slowest recovery {:.1} s, {} violations",
        seeds as f64 / took,
        seeds as f64 / sum.busy,
        sum.switches,
        sum.slowest.as_secs_f64(),
        sum.violations
    );
    if sum.violations == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
