//! Sees what a service hears, says and asks, and hands on the spans that its witness makes of it.
//! Nobody waits for it.

use crate::bus::{Bus, Received};
use crate::telemetry;
use std::sync::{Arc, Mutex, PoisonError};
use vedette_model::Fact;
use vedette_trace::{Context, Heard, Notes, Witness};

/// A service's witness between its bus and the exporter. Clones share it.
pub struct Observer<W> {
    witness: Arc<Mutex<W>>,
    bus: Bus,
    source: Arc<str>,
}

impl<W> Clone for Observer<W> {
    fn clone(&self) -> Self {
        let (witness, bus) = (Arc::clone(&self.witness), self.bus.clone());
        Self { witness, bus, source: Arc::clone(&self.source) }
    }
}

impl<W: Witness> Observer<W> {
    /// An observer of whoever speaks on this bus.
    pub fn new(bus: &Bus, witness: W) -> Self {
        let witness = Arc::new(Mutex::new(witness));
        Self { witness, bus: bus.clone(), source: bus.sender().to_string().into() }
    }

    /// A message came.
    pub fn heard(&self, received: &Received) {
        let context = received.context();
        self.with(|witness, at_us| {
            witness.heard(&Heard { fact: &received.fact, context, at_us });
        });
    }

    /// A message is about to be sent.
    pub fn says(&self, fact: &Fact) {
        self.with(|witness, at_us| witness.says(fact, at_us));
    }

    /// Something else happened, now by the wall clock, in microseconds since 1970.
    pub fn with<T>(&self, see: impl FnOnce(&mut W, u64) -> T) -> T {
        let at_us = self.bus.clock().unix_us();
        let mut witness = self.witness.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = see(&mut witness, at_us);
        let Notes { spans, contexts } = witness.take();
        // In the order in which they came to be.
        for (group, context) in contexts {
            self.bus.set_context(group, context);
        }
        drop(witness);
        telemetry::record(spans, &self.source);
        seen
    }
}

impl Received {
    /// What its headers say of the incident that it belongs to.
    pub fn context(&self) -> Option<Context> {
        let header = self.header.as_ref()?;
        let (trace, live) = vedette_wire::read_traceparent(header.traceparent.as_ref()?)?;
        let began_us = header.tracestate.as_deref().and_then(vedette_wire::read_tracestate);
        Some(Context { trace, live, began_us })
    }
}
