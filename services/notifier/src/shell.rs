//! Between the machine and the world.

use crate::config::Config;
use crate::events;
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
use vedette_runtime::{Bus, Clock, Effects, Received, Shutdown, driver};

/// Inputs on their way to the machine. While it is full, the bus's own bounded buffer fills.
const INPUTS: usize = 1_024;
/// How long deliveries under way may take at the end.
const DELIVERY_DRAIN: Duration = Duration::from_secs(3);
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
        },
        clock.now(),
    );
    let kinds = [FactKind::Event, FactKind::StatusQuery];
    bus.subscribe_into(&kinds, inputs.clone(), input).await?;
    let ways = sinks.into_iter().map(|sink| (sink.notice.name, sink.way)).collect();
    let machine = Counted { machine, unsettled: Arc::default() };
    let unsettled = Arc::clone(&machine.unsettled);
    let shell = Shell { bus, inputs, ways, deliveries: JoinSet::new(), dropped: 0, unsettled };
    driver::run(machine, queue, shell, clock, shutdown).await.drain().await;
    Ok(())
}

fn input(received: Received) -> Option<Input> {
    Some(Input::Fact(received.fact))
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
    /// Deliveries under way, as many as the machine allows.
    deliveries: JoinSet<Outcome>,
    /// Events dropped so far.
    dropped: u64,
    /// Events that the machine has not settled, counted once per sink.
    unsettled: Arc<AtomicUsize>,
}

impl Shell {
    /// Starts a delivery. What is answered at once comes back.
    async fn deliver(&mut self, ticket: u64, sink: &str, event: Event) -> Option<Input> {
        let way = self.ways.get(sink).expect("the machine knows only configured sinks").clone();
        if matches!(way, Way::Log) {
            return Some(Input::Delivery { ticket, outcome: way.deliver(&event).await });
        }
        let inputs = self.inputs.clone();
        self.deliveries.spawn(async move {
            let outcome = way.deliver(&event).await;
            // At the end nobody listens any more; what is returned is counted then.
            let _ = inputs.send(Input::Delivery { ticket, outcome: outcome.clone() }).await;
            outcome
        });
        None
    }

    async fn drain(mut self) {
        let mut delivered = 0;
        let all = async {
            while let Some(ended) = self.deliveries.join_next().await {
                delivered += usize::from(matches!(ended, Ok(Outcome::Delivered)));
            }
        };
        if tokio::time::timeout(DELIVERY_DRAIN, all).await.is_err() {
            self.deliveries.shutdown().await;
        }
        let left = self.unsettled.load(Ordering::Relaxed).saturating_sub(delivered);
        if left > 0 {
            events::left_behind(left);
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
                Output::Deliver { ticket, sink, event, attempt } => {
                    events::delivering(&sink, &event, attempt);
                    answers.extend(self.deliver(ticket, &sink, event).await);
                }
                Output::GaveUp { sink, event, tries, why } => {
                    events::gave_up(&sink, &event, tries, &why);
                }
                Output::Dropped { sink, event, why } => {
                    self.dropped += 1;
                    events::dropped(&sink, &event, &why, self.dropped);
                }
                Output::Failing { sink, why } => events::failing(&sink, &why),
                Output::Recovered { sink } => events::recovered(&sink),
                Output::Ignored { why } => tracing::debug!(why, "ignored"),
            }
        }
        while self.deliveries.try_join_next().is_some() {}
        answers
    }
}
