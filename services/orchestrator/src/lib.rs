//! Plans a failover and carries it out.
//!
//! ```text
//!  bus ──► OdownVerdict, NodeReport,  ─┐                  ┌──► bus: Candidacy, Proposal, Beat,
//!          Beat, RecordCommitted,      │                  │         MasterRecord, Event …
//!          Heartbeat, StatusQuery,     ├─► Orchestrator ──┤ shell
//!          MasterQuery, answers        │    (protocol)    ├──► errands: inspect, promote, follow
//!  errands: what came of each command ─┘                  └──► retained masters
//! ```

pub mod config;
mod errands;
mod events;
mod fault;
pub mod groups;
mod metrics;
mod shell;

pub use config::{Config, Flags};

use anyhow::Context as _;
use errands::{Errands, Tools};
use fault::FaultPoint;
use groups::Groups;
use metrics::Metrics;
use shell::Shell;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_model::{FactKind, GroupName, NodeAddr, OrchestratorId, Service, Settings};
use vedette_node::Tls;
use vedette_protocol::orchestrator::{self, Input, Orchestrator};
use vedette_runtime::{
    Clock, ConfigError, Historian, NodesConfig, Observer, Received, Retainer, Shutdown, driver,
    http, life,
};
use vedette_trace::Orchestrators;

/// What is said by others and heard here; answers come besides.
const HEARD: [FactKind; 8] = [
    FactKind::OdownVerdict,
    FactKind::NodeReport,
    FactKind::Beat,
    FactKind::RecordCommitted,
    FactKind::Heartbeat,
    FactKind::StatusQuery,
    FactKind::MasterQuery,
    FactKind::Instruction,
];
/// Inputs that wait for the machine. While it is full, errands and bus wait with theirs.
const QUEUE_LIMIT: usize = 4_096;
/// For what is still to be retained, and for the last words, at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// An orchestrator's whole life after its configuration: joins the bus and serves until shutdown.
///
/// # Errors
/// A groups file that is refused, or what kept it from joining, with what to do about it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let groups = declared(&config)?;
    serve(config, groups.list, shutdown).await
}

/// [`run`] with the groups to seed given, whatever the configuration's `groups_file` says.
///
/// # Errors
/// What kept it from joining, with what to do about it.
pub async fn serve(
    config: Config,
    groups: Vec<(GroupName, NodeAddr, Settings)>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let roster = config.roster.roster()?;
    let (common, history) = (config.common, config.history);
    let NodesConfig { ca_file, certificate_file, key_file } = common.nodes.clone();
    let tls = Tls::configured(ca_file, certificate_file, key_file).context("nodes")?;
    let port = http::bind(&common.http).await?;
    let bus = life::join(Service::Orchestrator, &common, &shutdown).await?;
    let (inputs, queue) = mpsc::channel(QUEUE_LIMIT);
    let observer = Observer::new(&bus, Orchestrators::new(&common.id));
    let watching = observer.clone();
    let heard = move |received| {
        watching.heard(&received);
        heard(received)
    };
    bus.subscribe_into(&HEARD, inputs.clone(), heard).await?;
    bus.tell_back(inputs.clone(), || Input::Back);
    let (clock, retainer) = (Clock::start(), Retainer::spawn(&bus));
    let historian = Historian::spawn(&bus, &history);
    let config = orchestrator::Config {
        sender: bus.sender().clone(),
        id: OrchestratorId::parse(&common.id)?,
        place: common.place,
        roster,
        groups,
    };
    let machine = Orchestrator::new(config, clock.now());
    let name = format!("vedette-orchestrator-{}", common.id);
    let fault = Arc::new(FaultPoint::from_environment());
    metrics::durable(bus.meter(), &retainer, &historian);
    let metrics = Arc::new(Metrics::new(bus.meter()));
    let tools = Tools { clock: clock.clone(), fault: Arc::clone(&fault), metrics, tls };
    let shown = Arc::clone(&tools.metrics);
    let errands = Errands::new(&name, tools, inputs, errands::AT_A_TIME).seen_by(observer.clone());
    let shell = Shell::new(bus.clone(), errands, retainer.clone(), fault, (shown, observer));
    http::spawn(port, bus.site(|| Ok(())), &clock, &shutdown);
    drop(driver::run(machine, queue, shell, clock, shutdown).await);
    if !retainer.drain(DRAIN_LIMIT).await {
        tracing::info!(
            "not every master was retained before the end: the other orchestrators will do it"
        );
    }
    bus.drain(DRAIN_LIMIT).await;
    Ok(())
}

fn heard(received: Received) -> Option<Input> {
    Some(Input::Fact { fact: received.fact, reply_to: received.reply_to })
}

/// The groups to seed, from the groups file. A refused file counts as bad configuration: nothing is
/// connected.
fn declared(config: &Config) -> Result<Groups, ConfigError> {
    let Some(path) = &config.groups_file else {
        tracing::info!("no groups_file: serving the groups that the voters have records of");
        return Ok(Groups::default());
    };
    let groups = Groups::load(path).map_err(|error| ConfigError::Value(format!("{error:#}")))?;
    for warning in &groups.warnings {
        tracing::warn!("{warning}");
    }
    Ok(groups)
}
