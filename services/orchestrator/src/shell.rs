//! Carries out what the machine decides. Nothing is decided here.

use crate::errands::{Errands, Order};
use crate::events;
use crate::fault::FaultPoint;
use std::sync::Arc;
use vedette_model::{Fact, Health};
use vedette_protocol::Machine;
use vedette_protocol::orchestrator::{Input, Output};
use vedette_runtime::{Bus, Effects, Retainer};

/// The orchestrator's hands: the bus, the errands to nodes and the shelf of retained masters.
pub struct Shell {
    bus: Bus,
    errands: Errands,
    retainer: Retainer,
    fault: Arc<FaultPoint>,
}

impl Shell {
    /// A shell that has done nothing yet.
    pub const fn new(
        bus: Bus,
        errands: Errands,
        retainer: Retainer,
        fault: Arc<FaultPoint>,
    ) -> Self {
        Self { bus, errands, retainer, fault }
    }

    async fn carry_out(&self, output: Output) {
        match output {
            Output::Publish(mut fact) => {
                self.complete(&mut fact);
                events::emit(&fact);
                self.bus.publish(&fact).await;
            }
            Output::Reply { to, fact } => self.bus.reply(&to, &fact).await,
            Output::Command { ticket, node, command, credentials, not_after, limit_ms } => {
                let order = Order { ticket, node, command, credentials, not_after, limit_ms };
                self.errands.send(order);
            }
            Output::Retain(record) => self.retainer.retain(record),
        }
    }

    /// The machine cannot know how the durable lane is: what it says of itself is completed here.
    fn complete(&self, fact: &mut Fact) {
        if let Fact::Heartbeat(heartbeat) = fact
            && heartbeat.health == Health::Well
        {
            heartbeat.health = self.retainer.health();
        }
    }
}

impl<M: Machine<Input = Input, Output = Output>> Effects<M> for Shell {
    async fn perform(&mut self, outputs: Vec<Output>) -> Vec<Input> {
        for output in outputs {
            self.fault.before(&self.bus, &output).await;
            let passed = self.fault.after(&output);
            self.carry_out(output).await;
            self.fault.done(&self.bus, passed).await;
        }
        Vec::new()
    }
}
