//! Between the machine and the world.

use crate::config::Config;
use crate::events;
use crate::metrics::Metrics;
use crate::sink::{Sink, Way};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use vedette_model::{Event, FactKind, Instant};
use vedette_protocol::Machine;
use vedette_protocol::notice::{self, Input, Notifier, Outcome, Output};
use vedette_runtime::config::ServiceConfig as _;
use vedette_runtime::outbox::{DeadLetter, News, Outbox};
use vedette_runtime::retained::RetainedError;
use vedette_runtime::{Bus, Clock, Effects, Observer, Received, Shutdown, driver};
use vedette_trace::{Notifiers, Try};

/// Inputs on their way to the machine. While it is full, the bus's own bounded buffer fills.
const INPUTS: usize = 1_024;
/// How long deliveries under way may take at the end.
const DELIVERY_DRAIN: Duration = Duration::from_secs(3);
/// For keeping an event that a sink did not take.
const BURIAL_LIMIT: Duration = Duration::from_secs(10);
/// How long the last facts may take to leave.
const BUS_DRAIN: Duration = Duration::from_secs(1);

/// Runs the machine until shutdown.
///
/// # Errors
/// If NATS does not take the subscription.
pub async fn run(
    config: &Config,
    sinks: Vec<Sink>,
    bus: Bus,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let clock = Clock::start();
    let (inputs, queue) = mpsc::channel(INPUTS);
    let names: Vec<_> = sinks.iter().map(|sink| sink.notice.name.as_str()).collect();
    tracing::info!(sinks = names.join(", "), "events go to these sinks");
    let machine = Notifier::new(
        notice::Config {
            sender: bus.sender().clone(),
            place: config.common().place.clone(),
            sinks: sinks.iter().map(|sink| sink.notice.clone()).collect(),
            routes: config.routes(),
            unix_ms: clock.unix_ms(),
        },
        clock.now(),
    );
    // Before the bus is heard: what is heard from then on comes from the stream too.
    let observer = Observer::new(&bus, Notifiers::default());
    let outbox = open_outbox(&bus, &sinks, &inputs, &observer).await;
    let kinds = [FactKind::Event, FactKind::StatusQuery];
    let watching = observer.clone();
    let heard = move |received: Received| {
        watching.heard(&received);
        Some(Input::Fact(received.fact))
    };
    bus.subscribe_into(&kinds, inputs.clone(), heard).await?;
    let ways = sinks.into_iter().map(|sink| (sink.notice.name, sink.way)).collect();
    let machine = Counted { machine, unsettled: Arc::default() };
    let unsettled = Arc::clone(&machine.unsettled);
    let metrics = Metrics::new(bus.meter(), Arc::clone(&unsettled));
    let shell = Shell {
        bus,
        inputs,
        ways,
        outbox,
        clock: clock.clone(),
        deliveries: JoinSet::new(),
        burials: JoinSet::new(),
        dropped: 0,
        unsettled,
        metrics,
        observer,
    };
    driver::run(machine, queue, shell, clock, shutdown).await.drain().await;
    Ok(())
}

/// The outbox of the sinks that are to get what the history has, if there are such.
async fn open_outbox(
    bus: &Bus,
    sinks: &[Sink],
    inputs: &mpsc::Sender<Input>,
    observer: &Observer<Notifiers>,
) -> Option<Outbox> {
    let kept = sinks.iter().filter(|sink| sink.notice.kept);
    let kept: Vec<_> = kept.map(|sink| sink.notice.name.clone()).collect();
    if kept.is_empty() {
        return None;
    }
    let (outbox, mut news) = Outbox::spawn(bus, &kept).await;
    let (inputs, observer) = (inputs.clone(), observer.clone());
    tokio::spawn(async move {
        while let Some(news) = news.recv().await {
            if let News::Given { event, live: true, .. } = &news {
                observer.with(|witness, _| witness.knows(event.trace_id));
            }
            if inputs.send(understood(news)).await.is_err() {
                return;
            }
        }
    });
    Some(outbox)
}

fn understood(news: News) -> Input {
    match news {
        News::Reached(reached) => Input::Reached(reached),
        News::Stored { id } => Input::Stored { id },
        News::Given { sink, seq, event, .. } => Input::Given { sink, seq, event },
        News::Lost { sink } => Input::Lost { sink },
    }
}

/// The machine, with the number of events it has not settled where the end can read it.
struct Counted {
    machine: Notifier,
    unsettled: Arc<AtomicUsize>,
}

impl Machine for Counted {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        self.machine.handle(input, now);
        self.unsettled.store(self.machine.unsettled(), Ordering::Relaxed);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.machine.poll_timeout()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.machine.poll_output()
    }
}

struct Shell {
    bus: Bus,
    inputs: mpsc::Sender<Input>,
    ways: HashMap<String, Way>,
    /// If there are sinks that it serves.
    outbox: Option<Outbox>,
    clock: Clock,
    /// Deliveries under way, as many as the machine allows.
    deliveries: JoinSet<Handed>,
    /// Events on their way to the dead letters.
    burials: JoinSet<Buried>,
    /// Events dropped so far.
    dropped: u64,
    /// Events that the machine has not settled and nobody keeps, counted once per sink.
    unsettled: Arc<AtomicUsize>,
    metrics: Metrics,
    observer: Observer<Notifiers>,
}

/// A delivery that ended.
struct Handed {
    sink: String,
    /// How many events.
    count: usize,
    seqs: Vec<u64>,
    outcome: Outcome,
}

/// What came of keeping an event as a dead letter.
struct Buried {
    letter: DeadLetter,
    seqs: Vec<u64>,
    kept: Result<(), RetainedError>,
}

/// What is to be delivered.
struct Parcel {
    ticket: u64,
    sink: String,
    events: Vec<Event>,
    /// 1 for the first try.
    attempt: u32,
    seqs: Vec<u64>,
}

impl Shell {
    /// Starts a delivery. What is answered at once comes back.
    async fn deliver(&mut self, parcel: Parcel) -> Option<Input> {
        let Parcel { ticket, sink, events, attempt, seqs } = parcel;
        let way = self.ways.get(&sink).expect("the machine knows only configured sinks").clone();
        if matches!(way, Way::Log) {
            return Some(Input::Delivery {
                ticket,
                outcome: way.deliver(&events, &self.bus).await,
            });
        }
        let (inputs, bus, count) = (self.inputs.clone(), self.bus.clone(), events.len());
        let (clock, metrics) = (self.clock.clone(), self.metrics.clone());
        let observer = self.observer.clone();
        self.deliveries.spawn(async move {
            let (begun, from_us) = (clock.now(), clock.unix_us());
            let outcome = way.deliver(&events, &bus).await;
            metrics.handed(&sink, &outcome, clock.now().since(begun));
            let told = Try { sink: &sink, events: &events, attempt, from_us };
            observer.with(|witness, at_us| witness.handed(&told, &outcome, at_us));
            // At the end nobody listens any more; what is returned is counted then.
            let _ = inputs.send(Input::Delivery { ticket, outcome: outcome.clone() }).await;
            Handed { sink, count, seqs, outcome }
        });
        None
    }

    /// Keeps what a sink did not take, before its places in the stream are settled.
    fn bury(&mut self, letter: DeadLetter, seqs: Vec<u64>) {
        let Some(outbox) = &self.outbox else { return };
        let dead = outbox.dead_letters().clone();
        self.burials.spawn(async move {
            let keep = tokio::time::timeout(BURIAL_LIMIT, dead.keep(&letter));
            let kept = keep.await.unwrap_or(Err(RetainedError::Silent));
            Buried { letter, seqs, kept }
        });
    }

    fn settle(&self, sink: &str, seqs: &[u64]) {
        if let Some(outbox) = &self.outbox {
            seqs.iter().for_each(|seq| outbox.settle(sink, *seq));
        }
    }

    fn buried(&self, buried: &Buried) {
        let Buried { letter, seqs, kept } = buried;
        match kept {
            Ok(()) => self.settle(&letter.sink, seqs),
            // What the stream has is given again, and given up again.
            Err(error) => events::not_buried(letter, seqs.is_empty(), error),
        }
    }

    async fn drain(mut self) {
        let mut delivered = 0;
        let mut handed = Vec::new();
        let all = async {
            while let Some(ended) = self.deliveries.join_next().await {
                handed.extend(ended.ok().filter(|ended| ended.outcome == Outcome::Delivered));
            }
        };
        if tokio::time::timeout(DELIVERY_DRAIN, all).await.is_err() {
            self.deliveries.shutdown().await;
        }
        for Handed { sink, count, seqs, .. } in handed {
            delivered += count.saturating_sub(seqs.len());
            self.settle(&sink, &seqs);
        }
        let mut burials = std::mem::take(&mut self.burials);
        let all = async {
            while let Some(Ok(buried)) = burials.join_next().await {
                self.buried(&buried);
            }
        };
        if tokio::time::timeout(BUS_DRAIN, all).await.is_err() {
            tracing::debug!("dead letters were not kept in time: they are given up again");
        }
        let left = self.unsettled.load(Ordering::Relaxed).saturating_sub(delivered);
        if left > 0 {
            events::left_behind(left);
        }
        if let Some(outbox) = self.outbox.take() {
            outbox.drain(BUS_DRAIN).await;
        }
        self.bus.drain(BUS_DRAIN).await;
    }
}

impl Effects<Counted> for Shell {
    async fn perform(&mut self, outputs: Vec<Output>) -> Vec<Input> {
        let mut answers = Vec::new();
        for output in outputs {
            match output {
                Output::Publish(fact) => self.bus.publish(&fact).await,
                Output::Deliver { ticket, sink, events, attempt, seqs } => {
                    events::delivering(&sink, &events, attempt);
                    answers
                        .extend(self.deliver(Parcel { ticket, sink, events, attempt, seqs }).await);
                }
                Output::Settled { sink, seq } => self.settle(&sink, &[seq]),
                Output::GaveUp { sink, event, tries, why, seqs } => {
                    events::gave_up(&sink, &event, tries, &why);
                    self.metrics.lost(&sink, "gave_up");
                    let (by, at_ms) = (self.bus.sender().to_string(), self.clock.unix_ms());
                    self.bury(DeadLetter { sink, tries, why, by, at_ms, event }, seqs);
                }
                Output::Dropped { sink, event, why } => {
                    self.dropped += 1;
                    self.metrics.lost(&sink, "dropped");
                    events::dropped(&sink, &event, &why, self.dropped);
                }
                Output::Failing { sink, why } => events::failing(&sink, &why),
                Output::Recovered { sink } => events::recovered(&sink),
                Output::Ignored { why } => tracing::debug!(why, "ignored"),
            }
        }
        while self.deliveries.try_join_next().is_some() {}
        while let Some(Ok(buried)) = self.burials.try_join_next() {
            self.buried(&buried);
        }
        answers
    }
}
