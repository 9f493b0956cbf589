//! Birth and death of a process, so that a service's `main.rs` holds nothing but its name.
//!
//! ```text
//!  flags ─► configuration ─► telemetry ─► run(config, shutdown) ─► last spans ─► exit code
//!    64           64                          0 or 1, or 64 if it found its configuration wrong
//! ```

use crate::bus::{Bus, BusError, new_incarnation};
use crate::config::{
    self, CommonConfig, CommonFlags, ConfigError, LogConfig, NatsConfig, Overrides, ServiceConfig,
    TelemetryConfig,
};
use crate::{Shutdown, host, identity, telemetry};
use clap::Parser;
use std::future::Future;
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use vedette_model::{Sender, Service};

/// Exit code for bad usage or configuration, as in BSD's `sysexits.h`.
pub const BAD_USAGE: u8 = 64;
/// Exit code for everything else that went wrong.
pub const FAILURE: u8 = 1;

/// For what still runs on the executor's threads when all is done.
const LEAVE_LIMIT: Duration = Duration::from_secs(1);

/// A service's command line.
pub trait ServiceFlags: Parser {
    /// The flags that all services have.
    fn common(&self) -> &CommonFlags;

    /// What the service's own flags set.
    fn overrides(&self) -> Overrides {
        Overrides::default()
    }
}

/// The whole life of a service's process.
pub fn main<F, C, R, Fut>(service: Service, run: R) -> ExitCode
where
    F: ServiceFlags,
    C: ServiceConfig,
    R: FnOnce(C, Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let flags: F = match parse() {
        Ok(flags) => flags,
        Err(code) => return code,
    };
    let config: C = match config::load(service, flags.common(), flags.overrides()) {
        Ok(config) => config,
        Err(error) => return refuse(service.as_str(), &error),
    };
    if flags.common().print_config {
        return print_config(service.as_str(), &config);
    }
    let common = config.common().clone();
    let threads = match service {
        Service::Prober
        | Service::Voter
        | Service::Orchestrator
        | Service::Notifier
        | Service::Client => Threads::One,
        Service::Gateway => Threads::Many,
    };
    let service = service.as_str();
    let named = Named { service, traced: service, id: &common.id, threads };
    run_process(&named, &common.log, &common.telemetry, |shutdown| {
        warn_if_exposed(flags.common().config.as_deref());
        run(config, shutdown)
    })
}

/// Warns of a configuration file that holds a secret and that others than its owner may open.
pub fn warn_if_exposed(file: Option<&Path>) {
    if let Some(found) = file.and_then(config::exposed) {
        tracing::warn!("{found}");
    }
}

/// A process's name in logs and traces, each part of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, Copy)]
pub struct Named<'a> {
    /// The kind of process, one word, as it stands on log lines.
    pub service: &'a str,
    /// What its tasks run on.
    pub threads: Threads,
    /// The same in traces, where all verbs of the command are one.
    pub traced: &'a str,
    /// Its id.
    pub id: &'a str,
}

/// Parses the command line; help and version go to standard output with code 0.
///
/// # Errors
/// The exit code, after the reason was printed.
pub fn parse<F: Parser>() -> Result<F, ExitCode> {
    F::try_parse().map_err(|error| {
        let code = if error.use_stderr() { BAD_USAGE } else { 0 };
        // Nothing is left to tell anybody if standard error is closed.
        let _ = error.print();
        ExitCode::from(code)
    })
}

/// Runs to the end whatever the process does, with logs, traces and signals set up once: one
/// service, or several that share the token.
pub fn run_process<R, Fut>(
    named: &Named<'_>,
    log: &LogConfig,
    traces: &TelemetryConfig,
    run: R,
) -> ExitCode
where
    R: FnOnce(Shutdown) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let runtime = match named.threads.runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            refuse(named.service, &error);
            return ExitCode::from(FAILURE);
        }
    };
    let code = runtime.block_on(async {
        let telemetry = match telemetry::init(named, log, traces) {
            Ok(telemetry) => telemetry,
            Err(error) => return refuse(named.service, &error),
        };
        end_on_panic();
        let code = match Shutdown::on_signals() {
            Ok(shutdown) => {
                tracing::info!(version = env!("CARGO_PKG_VERSION"), "starting");
                finished(run(shutdown).await)
            }
            Err(error) => finished(Err(error.into())),
        };
        telemetry.finish().await;
        ExitCode::from(code)
    });
    // Not for as long as a name that does not resolve may take.
    runtime.shutdown_timeout(LEAVE_LIMIT);
    code
}

/// What a process's tasks run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One thread: between two each message and each answer of a node would have to wake the other
    /// one, twice. Of probers, voters and orchestrators there are several, which share the work.
    One,
    /// One for each core: a gateway serves whoever connects to it.
    Many,
}

impl Threads {
    fn runtime(self) -> io::Result<Runtime> {
        let mut builder = match self {
            Self::One => Builder::new_current_thread(),
            Self::Many => Builder::new_multi_thread(),
        };
        builder.enable_all().build()
    }
}

/// Gives a service its place among the others: connects in its name with a new incarnation, and
/// claims the name.
///
/// # Errors
/// [`BusError`] or [`identity::IdentityError`]; both say what to do.
pub async fn join(
    service: Service,
    common: &CommonConfig,
    shutdown: &Shutdown,
) -> anyhow::Result<Bus> {
    let sender = Sender::parse(service, &common.id, new_incarnation())?;
    let bus = Bus::connect(&common.nats, sender, shutdown).await?;
    if let Some(host) = host::here(common.host.as_ref()) {
        bus.set_host(host);
    }
    tokio::select! {
        biased;
        () = shutdown.triggered() => return Err(BusError::Stopped.into()),
        claimed = identity::claim(&bus, &common.place) => claimed?,
    }
    if common.http.listen.is_some() {
        bus.count_process(&common.place);
    }
    tracing::info!(
        from = "starting",
        to = "serving",
        sender = %bus.sender(),
        incarnation = format!("{:016x}", bus.sender().incarnation),
        place = %common.place,
        prefix = common.nats.prefix,
        "serving"
    );
    Ok(bus)
}

/// Connects somebody who only asks, under an id that nobody else has.
///
/// # Errors
/// [`BusError`] says what to do.
pub async fn visit(nats: &NatsConfig, shutdown: &Shutdown) -> anyhow::Result<Bus> {
    let incarnation = new_incarnation();
    let id = format!("visitor-{incarnation:016x}");
    let sender = Sender::parse(Service::Client, &id, incarnation)?;
    Ok(Bus::connect(nats, sender, shutdown).await?)
}

/// The exit code that an error stands for; stopping while waiting is no failure.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    let is_stop = |error: &BusError| matches!(error, BusError::Stopped);
    if error.chain().filter_map(|cause| cause.downcast_ref()).any(is_stop) {
        return 0;
    }
    let is_config = |error: &BusError| matches!(error, BusError::Config(_));
    let on_bus = error.chain().filter_map(|cause| cause.downcast_ref()).any(is_config);
    if on_bus || error.chain().any(|cause| cause.is::<ConfigError>()) {
        return BAD_USAGE;
    }
    FAILURE
}

fn finished(outcome: anyhow::Result<()>) -> u8 {
    let code = outcome.as_ref().map_or_else(exit_code, |()| 0);
    match outcome {
        Err(error) if code != 0 => {
            tracing::error!(error = format!("{error:#}"), code, "failed");
        }
        Ok(()) | Err(_) => {
            tracing::info!(from = "stopping", to = "stopped", "stopped");
        }
    }
    code
}

#[allow(clippy::print_stderr, reason = "there is no log before the configuration is known")]
fn refuse(service: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("vedette-{service}: {error}");
    ExitCode::from(BAD_USAGE)
}

#[allow(clippy::print_stdout, reason = "this is what --print-config asks for")]
fn print_config<C: ServiceConfig>(service: &str, config: &C) -> ExitCode {
    match config::show(config) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => refuse(service, &error),
    }
}

/// A broken promise of our own must not leave half a process behind: a task that panicked is
/// missed by nobody.
fn end_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let at = panic.location().map(ToString::to_string);
        tracing::error!(at, "a promise of our own is broken: please report it; exiting");
        print(panic);
        std::process::exit(i32::from(FAILURE));
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::{Context as _, anyhow};

    fn missing() -> ConfigError {
        ConfigError::Missing { key: "id", remedy: "set it".into() }
    }

    #[test]
    fn a_wrong_configuration_is_bad_usage_wherever_it_was_found() {
        let plain = anyhow::Error::from(missing()).context("groups file");
        assert_eq!(exit_code(&plain), BAD_USAGE);
        assert_eq!(exit_code(&BusError::Config(missing()).into()), BAD_USAGE);
    }

    #[test]
    fn stopping_while_waiting_is_fine_and_all_else_is_failure() {
        let stopped: anyhow::Result<()> = Err(BusError::Stopped).context("joining");
        assert_eq!(exit_code(&stopped.unwrap_err()), 0);
        assert_eq!(exit_code(&anyhow!("the disk is full")), FAILURE);
        assert_eq!(exit_code(&BusError::Client("closed".into()).into()), FAILURE);
    }
}
