//! The `vedette` command: a whole system to start with, and questions to one that runs.
//!
//! ```text
//!  args ─► config ─┬─► up       nats-server and seven services in one process tree
//!                  ├─► status   who lives, who is master, why nothing happens
//!                  ├─► watch    what is said on the bus, in words
//!                  ├─► history, explain    what was said on it, and how a failover came about
//!                  ├─► master   one address
//!                  ├─► groups, nodes       what there is
//!                  ├─► doctor, survive     what will hurt, and what one loss would do
//!                  ├─► notify   the sinks, a sample, what did not arrive
//!                  ├─► pause, set, monitor, …   what people want done with a group
//!                  └─► import   a sentinel.conf in Vedette's own files
//!  sentinel ─► one process in a Sentinel's place, also by that program's name
//! ```

mod apply;
mod args;
mod columns;
mod config;
mod connect;
mod doctor;
mod groups;
mod history;
mod instruct;
mod master;
mod nodes;
mod notify;
mod out;
mod progress;
mod roster;
mod sentinel;
mod status;
mod survive;
mod switch;
mod together;
mod up;
mod watch;

use args::{Args, Verb};
use clap::CommandFactory as _;
use config::{Config, UpConfig};
use std::process::ExitCode;
use vedette_model::{Service, Verb as Instructed};
use vedette_runtime::config as layers;
use vedette_runtime::{ConfigError, Shutdown, life, telemetry};

fn main() -> ExitCode {
    if let Some(words) = sentinel::launch::called(std::env::args_os()) {
        return sentinel::launch::as_sentinel(&words);
    }
    let args: Args = match life::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    if let Verb::Sentinel(wanted) = &args.verb {
        return sentinel::launch::launch(&wanted.file, &wanted.options, &args.common);
    }
    let config = match load(&args) {
        Ok(config) => config,
        Err(error) => {
            out::complain(&error.into());
            return ExitCode::from(life::BAD_USAGE);
        }
    };
    if args.common.print_config {
        return print(&config);
    }
    if args.common.progress {
        progress::want();
    }
    // The outcome is told in plain words; the log is for what happens meanwhile.
    let mut outcome = Ok(0);
    let common = config.common.clone();
    let service = args.verb.name();
    let traced = if args.verb.runs_services() { service } else { "cli" };
    let threads = if args.verb.runs_services() { life::Threads::Many } else { life::Threads::One };
    let named = life::Named { service, traced, id: &common.id, threads };
    let ended = life::run_process(&named, &common.log, &common.telemetry, |shutdown| {
        let outcome = &mut outcome;
        // The doctor says it among what else it found.
        if !matches!(args.verb, Verb::Doctor(_)) {
            life::warn_if_exposed(args.common.config.as_deref());
        }
        async move {
            *outcome = run(args, config, shutdown).await;
            Ok(())
        }
    });
    match outcome {
        Ok(0) => ended,
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let code = life::exit_code(&error);
            if code != 0 {
                out::complain(&error);
            }
            ExitCode::from(code)
        }
    }
}

fn load(args: &Args) -> Result<Config, ConfigError> {
    let (flags, own) = args.common.layers();
    if matches!(args.verb, Verb::Up(_)) {
        let config: UpConfig = layers::load(Service::Client, &flags, own)?;
        return Ok(config.0);
    }
    layers::load(Service::Client, &flags, own)
}

fn print(config: &Config) -> ExitCode {
    let shown = layers::show(config).map_err(anyhow::Error::from);
    match shown.and_then(|text| out::text(&text)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            out::complain(&error);
            ExitCode::from(life::FAILURE)
        }
    }
}

/// Carries the verb out, as a span of its own where it runs no services. The exit code.
async fn run(args: Args, config: Config, shutdown: Shutdown) -> anyhow::Result<u8> {
    let verb = args.verb.clone();
    let carried = async {
        let outcome = carry_out(args, config, shutdown).await;
        // Who went away has read enough.
        outcome.or_else(|error| if out::is_closed(&error) { Ok(0) } else { Err(error) })
    };
    if verb.runs_services() {
        return carried.await;
    }
    telemetry::traced(verb.words(), verb.group(), carried).await
}

/// The exit code.
async fn carry_out(args: Args, config: Config, shutdown: Shutdown) -> anyhow::Result<u8> {
    match args.verb {
        Verb::Up(wanted) => {
            let named = !args.common.nats.is_empty();
            up::run(wanted, config, named, shutdown).await.map(|()| 0)
        }
        Verb::Status(wanted) => {
            let well = status::run(&wanted, &config, &shutdown).await?;
            Ok(if well { 0 } else { life::FAILURE })
        }
        Verb::Watch(wanted) => watch::run(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::History(wanted) => history::run(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Explain(wanted) => history::explain(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Master(wanted) => master::run(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Groups(wanted) => groups::run(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Nodes(wanted) => nodes::run(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Doctor(wanted) => {
            let well =
                doctor::run(&wanted, args.common.config.as_deref(), &config, &shutdown).await?;
            Ok(if well { 0 } else { life::FAILURE })
        }
        Verb::Survive(wanted) => {
            let well = survive::run(&wanted, &config, &shutdown).await?;
            Ok(if well { 0 } else { life::FAILURE })
        }
        Verb::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Args::command(), "vedette", &mut text);
            out::text(&String::from_utf8(text)?).map(|()| 0)
        }
        Verb::Pause(wanted) => instruct::pause(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Resume(wanted) => {
            instruct::run(&wanted, Instructed::Resume, &config, &shutdown).await.map(|()| 0)
        }
        Verb::Release(wanted) => {
            instruct::run(&wanted, Instructed::Release, &config, &shutdown).await.map(|()| 0)
        }
        Verb::Set(wanted) => instruct::set(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Monitor(wanted) => instruct::monitor(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Remove(wanted) => {
            instruct::run(&wanted, Instructed::Remove, &config, &shutdown).await.map(|()| 0)
        }
        Verb::Apply(wanted) => {
            let done = apply::run(&wanted, &config, &shutdown).await?;
            Ok(if done { 0 } else { life::FAILURE })
        }
        Verb::Reset(wanted) => instruct::reset(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Switchover(wanted) => {
            switch::switchover(&wanted, &config, &shutdown).await.map(|()| 0)
        }
        Verb::Failover(wanted) => switch::failover(&wanted, &config, &shutdown).await.map(|()| 0),
        Verb::Drain(wanted) => {
            let done = switch::drain(&wanted, &config, &shutdown).await?;
            Ok(if done { 0 } else { life::FAILURE })
        }
        Verb::Roster(wanted) => {
            let well = roster::run(&wanted, &config, &shutdown).await?;
            Ok(if well { 0 } else { life::FAILURE })
        }
        Verb::Notify(wanted) => {
            let well = notify::run(&wanted, &config, &shutdown).await?;
            Ok(if well { 0 } else { life::FAILURE })
        }
        // It brings its own log and configuration; see `main`.
        Verb::Sentinel(_) => Ok(life::BAD_USAGE),
        Verb::Import(wanted) => sentinel::import::run(&wanted).map(|()| 0),
    }
}
