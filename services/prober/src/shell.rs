//! Carries out what the machine decides. Nothing is decided here.

use crate::events;
use crate::greet;
use crate::links::Links;
use vedette_node::link::Ask;
use vedette_protocol::Machine;
use vedette_protocol::prober::{Input, Output};
use vedette_runtime::{Bus, Effects};

/// The prober's hands: the bus and the links.
pub struct Shell {
    bus: Bus,
    links: Links,
}

impl Shell {
    /// A shell that watches nothing yet.
    pub const fn new(bus: Bus, links: Links) -> Self {
        Self { bus, links }
    }

    async fn carry_out(&mut self, output: Output) {
        match output {
            Output::Publish(fact) => {
                events::emit(&fact);
                self.bus.publish(&fact).await;
            }
            Output::Connect { watch, attempt, credentials } => {
                self.links.connect(watch, attempt, credentials);
            }
            Output::Ping { watch } => self.links.ask(&watch, Ask::Ping),
            Output::Info { watch } => self.links.ask(&watch, Ask::Info),
            Output::Role { watch } => self.links.ask(&watch, Ask::Role),
            Output::Forget { watch } => self.links.forget(&watch),
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
