//! Carries out what the machine decides. Nothing is decided here.

use crate::events;
use crate::greet;
use crate::links::Links;
use crate::metrics::Metrics;
use std::sync::Arc;
use vedette_node::link::Ask;
use vedette_protocol::Machine;
use vedette_protocol::prober::{Input, Output, Watch};
use vedette_runtime::{Bus, Effects, Observer};
use vedette_trace::Probers;

/// The prober's hands: the bus and the links.
pub struct Shell {
    bus: Bus,
    links: Links,
    metrics: Arc<Metrics>,
    observer: Observer<Probers>,
}

impl Shell {
    /// A shell that watches nothing yet.
    pub const fn new(
        bus: Bus,
        links: Links,
        metrics: Arc<Metrics>,
        observer: Observer<Probers>,
    ) -> Self {
        Self { bus, links, metrics, observer }
    }

    fn tries(&self, watch: &Watch) {
        self.observer.with(|witness, at_us| witness.tries(&watch.group, &watch.node, at_us));
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::Publish(fact) => {
                self.observer.says(&fact);
                events::emit(&fact);
                self.metrics.told(&fact);
                self.bus.publish(&fact).await;
            }
            Output::Connect { watch, attempt, credentials } => {
                self.metrics.watches(&watch);
                self.tries(&watch);
                self.links.connect(watch, attempt, credentials);
            }
            Output::Ping { watch } => {
                self.tries(&watch);
                self.links.ask(&watch, Ask::Ping);
            }
            Output::Info { watch } => self.links.ask(&watch, Ask::Info),
            Output::Role { watch } => self.links.ask(&watch, Ask::Role),
            Output::Forget { watch } => {
                self.metrics.forgets(&watch);
                self.links.forget(&watch);
            }
        }
    }
}

impl<M: Machine<Input = Input, Output = greet::Output>> Effects<M> for Shell {
    async fn perform(&mut self, outputs: Vec<greet::Output>) -> Vec<Input> {
        for output in outputs {
            match output {
                greet::Output::Watch(output) => self.carry_out(output).await,
                greet::Output::Greet { watch, text } => self.links.greet(&watch, text),
            }
        }
        Vec::new()
    }
}
