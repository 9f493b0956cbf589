//! Asks real Sentinels and gateways the same, and prints each difference: `cargo compare`.
//!
//! Exit codes: 0 if what differs is what the table in `docs/migration.md` says, 1 if not.

use std::process::ExitCode;
use vedette_live::compare;

#[tokio::main]
async fn main() -> ExitCode {
    let report = match compare::run().await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("FAILED: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    for difference in &report.found {
        println!("{difference}\n");
    }
    let (count, differ) = (report.count, report.found.len());
    println!("{count} answers compared with Sentinel {}, {differ} differ", report.version);
    let faults = report.faults();
    for fault in &faults {
        println!("NOT AS docs/migration.md SAYS: {fault}");
    }
    if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
