//! Tells people and hooks what happened.
//!
//! ```text
//!  bus ──► Event, StatusQuery ─► Notifier ─► shell ─┬─► log
//!                               (protocol)   ▲      ├─► webhook: POST ─────────┐
//!                                            │      ├─► scripts: a process ────┤
//!                                            │      └─► bus: Heartbeat         │
//!                                            └───────── delivered, again, no ──┘
//! ```

pub mod config;
mod events;
pub mod script;
mod shell;
mod sink;
pub mod webhook;

pub use config::{Config, Flags};

use vedette_model::Service;
use vedette_runtime::{Shutdown, life};

/// A notifier's whole life after its configuration: makes its sinks, joins the bus and tells until
/// shutdown.
///
/// # Errors
/// What kept it from starting, with what to do about it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let sinks = sink::all(&config)?;
    let bus = life::join(Service::Notifier, &config.common, &shutdown).await?;
    shell::run(&config, sinks, bus, shutdown).await
}
