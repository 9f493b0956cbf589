//! Plans a failover and carries it out.

use std::process::ExitCode;
use vedette_model::Service;
use vedette_orchestrator::{Config, Flags, run};
use vedette_runtime::life;

fn main() -> ExitCode {
    life::main::<Flags, Config, _, _>(Service::Orchestrator, run)
}
