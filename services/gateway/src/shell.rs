//! Between the machine and the world.

use crate::commands::Answers;
use crate::office::Office;
use crate::session::Told;
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use tokio::sync::watch;
use vedette_model::{EventName, Fact, Instant};
use vedette_protocol::Machine;
use vedette_protocol::gateway::{Gateway, Output};
use vedette_runtime::{Bus, Effects, Observer};
use vedette_trace::Gateways;

/// The machine, which clients' commands read meanwhile, and the office, whose answers come the same
/// way.
pub struct Shared(pub Arc<RwLock<Gateway>>, pub Office);

impl Shared {
    fn write(&self) -> RwLockWriteGuard<'_, Gateway> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Machine for Shared {
    type Input = Fact;
    type Output = Output;

    fn handle(&mut self, fact: Fact, now: Instant) {
        if let Fact::InstructionReply(reply) = fact {
            self.1.heard(reply);
        } else {
            self.write().handle(fact, now);
            self.1.stirred();
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.write().handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).poll_timeout()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.write().poll_output()
    }
}

/// The bus, the subscribers and the door.
pub struct Shell {
    bus: Bus,
    answers: Arc<Answers>,
    serve: watch::Sender<bool>,
    observer: Observer<Gateways>,
}

impl Shell {
    /// A shell that has done nothing yet.
    pub const fn new(
        bus: Bus,
        answers: Arc<Answers>,
        serve: watch::Sender<bool>,
        observer: Observer<Gateways>,
    ) -> Self {
        Self { bus, answers, serve, observer }
    }

    fn tell(&self, channel: String, payload: String) {
        tracing::info!(channel, payload, "told");
        self.answers.metrics().events.inc();
        let switch = (channel == EventName::SwitchMaster.as_str()).then(|| payload.clone());
        // Nobody may be subscribed.
        let told = self.answers.tell().send(Told::new(channel, payload)).unwrap_or(0);
        if let Some(payload) = switch {
            let told = u64::try_from(told).unwrap_or(u64::MAX);
            self.observer.with(|witness, at_us| witness.told_of_switch(&payload, told, at_us));
        }
    }
}

impl Effects<Shared> for Shell {
    async fn perform(&mut self, outputs: Vec<Output>) -> Vec<Fact> {
        for output in outputs {
            match output {
                Output::Publish(fact) => self.bus.publish(&fact).await,
                Output::Tell { channel, payload } => self.tell(channel, payload),
                Output::Serve(open) => {
                    self.serve.send_replace(open);
                }
            }
        }
        Vec::new()
    }
}
