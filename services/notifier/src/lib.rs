//! Tells people and hooks what happened.
//!
//! ```text
//!  bus ──► Event, StatusQuery ─► Notifier ─► shell ─┬─► log
//!                               (protocol)   ▲      ├─► webhook, Slack, …: POST ┐
//!                                            │      ├─► scripts: a process ────┤
//!                                            │      └─► bus: Heartbeat         │
//!                                            └───────── delivered, again, no ──┘
//! ```

pub mod alert;
pub mod alertmanager;
pub mod cloudevents;
pub mod config;
pub mod email;
mod events;
mod metrics;
pub mod pagerduty;
pub mod poster;
pub mod script;
mod shell;
pub mod signature;
mod sink;
pub mod slack;
pub mod webhook;
mod words;

pub use config::{Config, Flags};

use vedette_model::Service;
use vedette_runtime::{Clock, Shutdown, http, life};

/// A notifier's whole life after its configuration: makes its sinks, joins the bus and tells until
/// shutdown.
///
/// # Errors
/// What kept it from starting, with what to do about it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let sinks = sink::all(&config)?;
    let port = http::bind(&config.common.http).await?;
    let bus = life::join(Service::Notifier, &config.common, &shutdown).await?;
    http::spawn(port, bus.site(|| Ok(())), &Clock::start(), &shutdown);
    shell::run(&config, sinks, bus, shutdown).await
}
