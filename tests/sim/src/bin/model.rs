//! `cargo model`: searches every state within the bounds of each configuration.

use std::process::ExitCode;
use std::time::Instant;
use vedette_sim::model::{Scope, bounds, check};

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let all = Scope::all();
    if let Some(unknown) = names.iter().find(|name| !all.iter().any(|scope| scope.name == **name)) {
        let known: Vec<_> = all.iter().map(|scope| scope.name).collect();
        eprintln!("no configuration is called {unknown}; there are: {}", known.join(", "));
        return ExitCode::FAILURE;
    }
    let mut good = true;
    for scope in all.into_iter().filter(|s| names.is_empty() || names.iter().any(|n| n == s.name)) {
        println!("{}: {}", scope.name, bounds(&scope));
        let began = clock();
        let report = check(scope);
        println!("  {:.0} s, {report}", began.elapsed().as_secs_f64());
        good &= report.is_good();
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[allow(clippy::disallowed_methods, reason = "a search takes the time of whoever waits for it")]
fn clock() -> Instant {
    Instant::now()
}
