//! `cargo sim -- --seeds N --from S [--trace]`: runs seeds, stops at the first violation.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (mut seeds, mut from, mut trace) = (1_000_u64, 1_u64, false);
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|n| n.parse().ok());
        let parsed = match arg.as_str() {
            "--seeds" => number().map(|n| seeds = n),
            "--from" => number().map(|n| from = n),
            "--trace" => {
                trace = true;
                Some(())
            }
            _ => None,
        };
        if parsed.is_none() {
            eprintln!("usage: cargo sim -- [--seeds N] [--from S] [--trace]");
            return ExitCode::from(64);
        }
    }
    let mut switches = 0;
    let mut failed = 0;
    for seed in from..from + seeds {
        let outcome = vedette_sim::run(seed, trace);
        switches += outcome.epoch.saturating_sub(1);
        for line in &outcome.trace {
            println!("{line}");
        }
        if let Some(violation) = outcome.violation {
            println!("seed {seed}: {violation}");
            println!("replay: cargo sim -- --seeds 1 --from {seed} --trace");
            failed += 1;
        }
    }
    println!("{seeds} seeds from {from}: {switches} switches, {failed} violations");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
