//! Tells people and hooks what happened.

use std::process::ExitCode;
use vedette_model::Service;
use vedette_notifier::{Config, Flags, run};
use vedette_runtime::life;

fn main() -> ExitCode {
    life::main::<Flags, Config, _, _>(Service::Notifier, run)
}
