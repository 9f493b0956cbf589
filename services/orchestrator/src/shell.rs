//! Carries out what the machine decides. Nothing is decided here.

use crate::errands::{Errands, Order};
use crate::events;
use crate::fault::FaultPoint;
use crate::metrics::Metrics;
use std::sync::Arc;
use vedette_model::{Fact, Health};
use vedette_protocol::Machine;
use vedette_protocol::orchestrator::{Input, Output};
use vedette_runtime::{Bus, Effects, Observer, Retainer};
use vedette_trace::Orchestrators;

/// The orchestrator's hands: the bus, the errands to nodes and the shelf of retained masters.
pub struct Shell {
    bus: Bus,
    errands: Errands,
    retainer: Retainer,
    fault: Arc<FaultPoint>,
    metrics: Arc<Metrics>,
    observer: Observer<Orchestrators>,
}

impl Shell {
    /// A shell that has done nothing yet.
    pub fn new(
        bus: Bus,
        errands: Errands,
        retainer: Retainer,
        fault: Arc<FaultPoint>,
        (metrics, observer): (Arc<Metrics>, Observer<Orchestrators>),
    ) -> Self {
        Self { bus, errands, retainer, fault, metrics, observer }
    }

    async fn carry_out(&self, output: Output) {
        match output {
            Output::Publish(mut fact) => {
                self.complete(&mut fact);
                self.observer.says(&fact);
                events::emit(&fact);
                self.metrics.told(&fact);
                self.bus.publish(&fact).await;
                self.published(&fact);
            }
            Output::Reply { to, fact } => {
                self.observer.says(&fact);
                self.bus.reply(&to, &fact).await;
            }
            Output::Command { ticket, group, node, command, credentials, not_after, limit_ms } => {
                let see = |witness: &mut Orchestrators, at_us| {
                    witness.sends(&group, &node, &command, at_us)
                };
                let seen = self.observer.with(see);
                let order = Order { ticket, node, command, credentials, not_after, limit_ms, seen };
                self.errands.send(order);
            }
            Output::Retain(record) => self.retainer.retain(record),
        }
    }

    fn published(&self, fact: &Fact) {
        if let Fact::MasterRecord(master) = fact {
            let subject = self.bus.subjects().master(&master.group);
            self.observer.with(|witness, at_us| witness.said(fact, &subject, at_us));
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
