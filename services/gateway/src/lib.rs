//! Answers Redis Sentinel's clients.
//!
//! ```text
//!  bus ──► records, views, verdicts, events ─► Gateway (protocol) ─┬─► Serve ──► door: open, shut
//!                                                 ▲ read by         └─► Tell ───► subscribers
//!  client ─► request ─► session ─► commands ──────┤        reply ──► client
//!  load balancer, Prometheus ─► http ─────────────┘
//!                               └─► JetStream, for what was
//! ```
//!
//! The door is open only while the view is fresh: a refused connection is the one refusal that
//! every Sentinel client takes as a reason to ask the next one.

mod commands;
pub mod config;
mod door;
mod http;
mod metrics;
mod office;
mod reply;
mod request;
mod session;
mod shell;
mod users;

pub use config::{Config, Flags};
pub use users::{Rights, UserConfig};

use anyhow::Context as _;
use commands::Answers;
use config::ClientsConfig;
use door::Port;
use http::{Archive, Window};
use office::Office;
use shell::{Shared, Shell};
use std::sync::{Arc, RwLock};
use std::time::Duration;
use tokio::sync::{broadcast, mpsc, watch};
use users::Users;
use vedette_model::{FactKind, Service};
use vedette_protocol::gateway::{self, Gateway};
use vedette_runtime::tls::{self, Tls};
use vedette_runtime::{Clock, Observer, Received, Shutdown, driver, http as port, life};
use vedette_trace::Gateways;

/// What is said by others and heard here; answers come besides.
const HEARD: [FactKind; 7] = [
    FactKind::RecordCommitted,
    FactKind::NodeReport,
    FactKind::SdownReport,
    FactKind::OdownVerdict,
    FactKind::Heartbeat,
    FactKind::StatusQuery,
    FactKind::Event,
];
/// Inputs that wait for the machine. While it is full, the bus waits with its own.
const QUEUE_LIMIT: usize = 4_096;
/// For the last words at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);

/// A gateway's whole life after its configuration: binds its port, joins the bus and serves until
/// shutdown.
///
/// # Errors
/// What kept it from starting, with what to do about it.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let clients = config.clients;
    let users = Users::load(&clients)?;
    let tls = clients.tls.files().map(Tls::load).transpose();
    let tls = tls.context("clients.tls: the files cannot be used")?.map(Arc::new);
    // A second process on a taken port ends here, before anybody hears of it.
    let ports = ports(&clients, tls.as_ref())?;
    let listening = ports.first().map_or(clients.listen, Port::at);
    let serves = clients.announced(listening)?;
    tracing::info!(%listening, announced = %serves, "the port for Sentinel clients is ours");
    let second = port::bind(&config.common.http).await?;
    let bus = life::join(Service::Gateway, &config.common, &shutdown).await?;
    let (inputs, queue) = mpsc::channel(QUEUE_LIMIT);
    let observer = Observer::new(&bus, Gateways::default());
    let watching = observer.clone();
    let heard = move |received: Received| {
        watching.heard(&received);
        Some(received.fact)
    };
    bus.subscribe_into(&HEARD, inputs, heard).await?;
    let clock = Clock::start();
    let id = config.common.id.clone();
    let own = gateway::Config {
        sender: bus.sender().clone(),
        place: config.common.place,
        serves,
        unreadable_is_down: clients.unreadable_is_down(),
    };
    let machine = Arc::new(RwLock::new(Gateway::new(own, clock.now())));
    let (tell, _) = broadcast::channel(clients.max_waiting_events);
    let (serve, is_open) = watch::channel(false);
    let seen = Arc::clone(&machine);
    let office = Office::new(bus.clone(), Arc::clone(&machine));
    let answers = Answers::new(seen, clock.clone(), clients, users, listening, tell.clone(), &id)
        .with_office(office.clone())
        .with_meter(bus.meter().clone())
        .with_log_level(&config.common.log.level);
    let answers = Arc::new(answers);
    if let Some(tls) = tls {
        drop(tokio::spawn(tls::keep(tls, clock.clone(), shutdown.clone())));
    }
    metrics::tell(&answers, is_open.clone());
    let archive = Archive::new(bus.clone());
    let window = Window::new(Arc::clone(&answers), is_open.clone(), archive);
    port::spawn(second, window, &clock, &shutdown);
    let kept = door::keep(ports, Arc::clone(&answers), is_open, shutdown.clone());
    let mut door = tokio::spawn(kept);
    let shell = Shell::new(bus.clone(), answers, serve, observer);
    let ended = tokio::select! {
        shell = driver::run(Shared(machine, office), queue, shell, clock, shutdown) => {
            // It is what the door waits for.
            drop(shell);
            door.await
        }
        // Without it nobody is served, whatever the machine says: the supervisor starts anew.
        ended = &mut door => ended,
    };
    ended.context("the door to clients")??;
    bus.drain(DRAIN_LIMIT).await;
    Ok(())
}

/// The ports for Sentinel clients; the one that is announced comes first.
fn ports(clients: &ClientsConfig, tls: Option<&Arc<Tls>>) -> anyhow::Result<Vec<Port>> {
    let plain = (!clients.tls.only).then_some(("clients.listen", clients.listen, None));
    let encrypted = clients.tls.listen.zip(tls);
    let encrypted = encrypted.map(|(at, tls)| ("clients.tls.listen", at, Some(Arc::clone(tls))));
    let wanted = plain.into_iter().chain(encrypted);
    let taken = wanted.map(|(key, at, tls)| {
        Port::take(at, tls).with_context(|| {
            format!(
                "cannot have {at} for Sentinel clients: set {key} to a free port, or end the \
                 process that has it"
            )
        })
    });
    taken.collect()
}
