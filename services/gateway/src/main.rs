//! Answers Redis Sentinel's clients.

use std::process::ExitCode;
use vedette_gateway::{Config, Flags, run};
use vedette_model::Service;
use vedette_runtime::life;

fn main() -> ExitCode {
    life::main::<Flags, Config, _, _>(Service::Gateway, run)
}
