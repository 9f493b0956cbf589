//! Watches nodes and says when they go quiet.
//!
//! ```text
//!  bus ──► RecordCommitted, DigestReply, ─┐            ┌────────► bus: SdownReport, NodeReport,
//!          Heartbeat, StatusQuery         ├─► Prober ──┤ shell         Event, Heartbeat
//!  links: connected, pong, info, lost ────┘ (protocol) └────────► links: connect, ping, info, greet
//! ```

pub mod config;
mod events;
mod greet;
mod links;
mod metrics;
mod shell;

pub use config::{Config, Flags};

use anyhow::Context as _;
use greet::{Greeter, Name};
use links::Links;
use metrics::Metrics;
use shell::Shell;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_model::{FactKind, ProberId, Service};
use vedette_node::Tls;
use vedette_protocol::prober::{self, Input, Prober};
use vedette_runtime::{Clock, NodesConfig, Observer, Received, Shutdown, driver, http, life};
use vedette_trace::Probers;

/// What is said by others and heard here; answers come besides.
const HEARD: [FactKind; 3] =
    [FactKind::RecordCommitted, FactKind::Heartbeat, FactKind::StatusQuery];
/// Inputs that wait for the machine. While it is full, links and bus wait with theirs.
const QUEUE_LIMIT: usize = 4_096;
/// For the last words at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// A prober's whole life after its configuration: joins the bus and watches until shutdown.
///
/// # Errors
/// What kept it from joining, with what to do about it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let (common, greets) = (config.common, Name::of(&config.hello));
    let NodesConfig { ca_file, certificate_file, key_file } = common.nodes.clone();
    let tls = Tls::configured(ca_file, certificate_file, key_file).context("nodes")?;
    let port = http::bind(&common.http).await?;
    let bus = life::join(Service::Prober, &common, &shutdown).await?;
    let (inputs, queue) = mpsc::channel(QUEUE_LIMIT);
    let observer = Observer::new(&bus, Probers::default());
    let watching = observer.clone();
    let heard = move |received: Received| {
        watching.heard(&received);
        Some(Input::Fact(received.fact))
    };
    bus.subscribe_into(&HEARD, inputs.clone(), heard).await?;
    bus.tell_back(inputs.clone(), || Input::Back);
    let clock = Clock::start();
    let config = prober::Config {
        sender: bus.sender().clone(),
        id: ProberId::parse(&common.id)?,
        place: common.place,
    };
    let machine = Greeter::new(Prober::new(config, clock.now()), greets, clock.now());
    let metrics = Arc::new(Metrics::new(bus.meter()));
    let name = format!("vedette-prober-{}", common.id);
    let links = Links::new(name, inputs, clock.clone(), Arc::clone(&metrics)).over(tls);
    let shell = Shell::new(bus.clone(), links, metrics, observer);
    http::spawn(port, bus.site(|| Ok(())), &clock, &shutdown);
    drop(driver::run(machine, queue, shell, clock, shutdown).await);
    bus.drain(DRAIN_LIMIT).await;
    Ok(())
}

#[cfg(test)]
mod tests;
