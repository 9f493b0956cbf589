//! Watches nodes and says when they go quiet.

use std::process::ExitCode;
use vedette_model::Service;
use vedette_prober::{Config, Flags, run};
use vedette_runtime::life;

fn main() -> ExitCode {
    life::main::<Flags, Config, _, _>(Service::Prober, run)
}
