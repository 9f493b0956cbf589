//! The events of the history, handed out to sinks that must get them.
//!
//! ```text
//!             ┌─ witness ──► Reached, Stored: what the stream has at all
//!  history ───┤
//!  (stream)   └─ a durable consumer for each sink ─► Given ─► who tells ─► settle ─► acknowledged
//!                     ▲                                          └► bury ─► the stream of dead letters
//!        lease: one notifier serves a sink at a time; one that is silent for 6 s is replaced
//! ```
//!
//! At least once: what is not settled is given again, to whoever serves the sink then. In the order
//! of the stream: whoever begins to serve a sink is given first what the one before left unsettled.

mod dead;
mod feed;
mod lease;
mod line;
mod witness;

pub use dead::{DeadLetter, DeadLetters, Kept as KeptDead};
pub use line::{Line, lines, place_of};

use crate::Clock;
use crate::bus::Bus;
use feed::Feed;
use lease::Lease;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use vedette_model::Event;

/// News that nobody has taken yet.
const NEWS_LIMIT: usize = 256;
/// Settled places on their way to the server; what does not fit is given again and settled then.
const SETTLED_LIMIT: usize = 4_096;
/// Before a failed attempt to serve a sink is repeated.
const AGAIN: Duration = Duration::from_secs(1);
/// For making the consumers at the start, so that nothing that is said from now on is missed.
const PREPARE_LIMIT: Duration = Duration::from_secs(2);

/// What the outbox has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Whether there is a stream.
    Reached(bool),
    /// The stream has the event of this id.
    Stored {
        /// The event's id.
        id: String,
    },
    /// An event for a sink that is served here.
    Given {
        /// The sink.
        sink: String,
        /// Its place in the stream, to be given back with [`Outbox::settle`].
        seq: u64,
        /// The event.
        event: Event,
        /// Whether it was said while its incident was under way.
        live: bool,
    },
    /// The sink is served here no longer.
    Lost {
        /// The sink.
        sink: String,
    },
}

/// Serves sinks until it is dropped.
#[derive(Debug)]
pub struct Outbox {
    settled: BTreeMap<String, mpsc::Sender<u64>>,
    dead: DeadLetters,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
    witness: AbortHandle,
}

impl Outbox {
    /// Starts to serve these sinks, each under a name of `[a-z0-9-]`. From its return on nothing
    /// that the stream gets is missed, if JetStream is there.
    pub async fn spawn(bus: &Bus, sinks: &[String]) -> (Self, mpsc::Receiver<News>) {
        let (tell, news) = mpsc::channel(NEWS_LIMIT);
        let (stop, stopped) = watch::channel(false);
        let mut settled = BTreeMap::new();
        let mut serving = JoinSet::new();
        let mut first = Vec::new();
        for sink in sinks {
            let (settle, places) = mpsc::channel(SETTLED_LIMIT);
            settled.insert(sink.clone(), settle);
            first.push((sink, places, Feed::new(bus, sink)));
        }
        let prepared = futures::future::join_all(first.iter().map(|(_, _, feed)| feed.prepare()));
        if tokio::time::timeout(PREPARE_LIMIT, prepared).await.is_err() {
            tracing::debug!("jetstream does not answer yet");
        }
        for (sink, places, feed) in first {
            let desk = Desk {
                sink: sink.clone(),
                feed,
                lease: Lease::new(bus, sink),
                tell: tell.clone(),
                clock: Clock::start(),
            };
            serving.spawn(desk.serve(places, stopped.clone()));
        }
        let witness = tokio::spawn(witness::watch(bus.clone(), tell)).abort_handle();
        (Self { settled, dead: DeadLetters::new(bus), stop, serving, witness }, news)
    }

    /// This place of the stream needs nothing more from this sink.
    pub fn settle(&self, sink: &str, seq: u64) {
        if let Some(settled) = self.settled.get(sink) {
            // What does not fit is given again.
            let _ = settled.try_send(seq);
        }
    }

    /// Where events go that a sink did not take.
    pub const fn dead_letters(&self) -> &DeadLetters {
        &self.dead
    }

    /// The end: what is settled is acknowledged, and the sinks are left to others at once.
    pub async fn drain(mut self, limit: Duration) {
        self.stop.send_replace(true);
        let all = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(limit, all).await.is_err() {
            tracing::debug!("not every sink was left politely: others take them over in seconds");
        }
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.witness.abort();
    }
}

/// One sink's.
struct Desk {
    sink: String,
    feed: Feed,
    lease: Lease,
    tell: mpsc::Sender<News>,
    clock: Clock,
}

impl Desk {
    /// Until there is something to serve the sink with, and the sink is ours.
    async fn turn(&mut self) {
        while !self.feed.prepare().await {
            self.clock.sleep(AGAIN).await;
        }
        self.lease.take().await;
    }

    async fn serve(mut self, mut places: mpsc::Receiver<u64>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                biased;
                () = stopped(&mut stop) => return,
                () = self.turn() => {}
            }
            tracing::info!(sink = self.sink, from = "waiting", to = "serving", "sink taken");
            let ended = tokio::select! {
                biased;
                () = stopped(&mut stop) => None,
                why = self.lease.keep() => Some(why),
                error = self.feed.run(&self.tell, &mut places) => Some(error.to_string()),
            };
            self.feed.settle_all(&mut places).await;
            let Some(why) = ended else {
                self.lease.leave().await;
                return;
            };
            tracing::info!(
                sink = self.sink,
                from = "serving",
                to = "waiting",
                cause = why,
                "sink left"
            );
            if self.tell.send(News::Lost { sink: self.sink.clone() }).await.is_err() {
                return;
            }
            self.clock.sleep(AGAIN).await;
        }
    }
}

/// Until the outbox closes.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Without a sender it has closed, too.
    let _ = stop.wait_for(|is_stopped| *is_stopped).await;
}
