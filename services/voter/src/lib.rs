//! Counts opinions, grants votes, keeps the records.
//!
//! ```text
//!  bus ──► SdownReport, Candidacy, Proposal, Beat, ─► Voter ─► shell ─┬─► store: promises, records
//!          RecordCommitted, Digest, StatusQuery,    (protocol)        └─► bus: OdownVerdict, Event,
//!          RosterBallot, Rejoin                                           answers, Heartbeat
//! ```

pub mod config;
mod events;
mod metrics;
pub mod shell;
pub mod store;

pub use config::{Config, Flags};

use metrics::Metrics;
use shell::{Speaker, Voice};
use std::time::Duration;
use store::Store;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;
use vedette_model::Service;
use vedette_protocol::voter::{self, Voter};
use vedette_runtime::{Clock, Observer, Shutdown, driver, http, life};
use vedette_trace::Voters;

/// Messages that wait for the machine.
const QUEUE_LIMIT: usize = 1_024;
/// For the last words to go out at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);

/// A voter's whole life after its configuration: opens its store, joins the bus and votes until
/// shutdown.
///
/// # Errors
/// What kept it from starting, with the remedy.
pub async fn run(config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let parts = config.parts()?;
    // Before the bus: whoever cannot keep a promise must not be seen.
    let (path, id) = (parts.store.clone(), parts.id.clone());
    let (store, held) = spawn_blocking(move || Store::open(&path, &id)).await??;
    tracing::info!(
        store = %parts.store.display(),
        groups = held.groups.len(),
        roster = %held.meta.as_ref().map_or(&parts.roster, |meta| &meta.roster),
        "{}",
        if held.meta.is_some() {
            "the store is open"
        } else {
            "the store is open and empty: this voter votes once the others have told it what it \
             must not forget"
        }
    );
    let port = http::bind(&config.common.http).await?;
    let bus = life::join(Service::Voter, &config.common, &shutdown).await?;
    let clock = Clock::start();
    let machine = Voter::new(
        voter::Config {
            sender: bus.sender().clone(),
            id: parts.id,
            place: config.common.place,
            roster: parts.roster,
        },
        held.meta,
        held.groups,
        clock.now(),
    );
    let (queue, inputs) = mpsc::channel(QUEUE_LIMIT);
    let observer = Observer::new(&bus, Voters::default());
    let watching = observer.clone();
    let heard = move |received| {
        watching.heard(&received);
        shell::input(received)
    };
    bus.subscribe_into(shell::KINDS, queue.clone(), heard).await?;
    bus.tell_back(queue, || voter::Input::Back);
    let metrics = Metrics::new(bus.meter());
    http::spawn(port, bus.site(metrics.well()), &clock, &shutdown);
    let speaker = Speaker { bus: bus.clone(), observer };
    let voice = Voice::new(store, speaker, clock.clone(), metrics);
    let voice = driver::run(machine, inputs, voice, clock, shutdown).await;
    let (store, speaker) = voice.into_parts();
    drop(speaker);
    bus.drain(DRAIN_LIMIT).await;
    spawn_blocking(move || drop(store)).await?;
    Ok(())
}
