//! Counts opinions, grants votes, keeps the records.

use std::process::ExitCode;
use vedette_model::Service;
use vedette_runtime::life;
use vedette_voter::{Config, Flags, run};

fn main() -> ExitCode {
    life::main::<Flags, Config, _, _>(Service::Voter, run)
}
