//! What a notifier counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use vedette_protocol::notice::Outcome;
use vedette_runtime::metrics::{Counters, Labels, Meter, Times, label, number, single, took};

/// The notifier's counters.
#[derive(Debug, Clone)]
pub struct Metrics {
    messages: Counters,
    deliveries: Times,
    lost: Counters,
}

impl Metrics {
    /// Nothing is counted yet; `unsettled` is how many events wait.
    pub fn new(meter: &Meter, unsettled: Arc<AtomicUsize>) -> Self {
        let help = "Events heard that a sink has not taken yet and no stream keeps";
        meter.look("notifier_waiting", help, move || {
            single(number(u64::try_from(unsettled.load(Ordering::Relaxed)).unwrap_or(u64::MAX)))
        });
        Self {
            messages: meter
                .counts("notifier_messages", "Messages handed to sinks, by sink and outcome"),
            deliveries: meter.times("notifier_delivery_seconds", "To hand over one, by sink"),
            lost: meter.counts(
                "notifier_lost",
                "Events that will not reach a sink by themselves, by sink and reason",
            ),
        }
    }

    /// A message was handed to a sink, or not.
    pub fn handed(&self, sink: &str, outcome: &Outcome, after: Duration) {
        let word = match outcome {
            Outcome::Delivered => "delivered",
            Outcome::Retry(_) => "retry",
            Outcome::Refused(_) => "refused",
        };
        let mut labels: Labels = label("sink", sink);
        took(&self.deliveries, &labels, after);
        labels.push(("outcome", word.into()));
        self.messages.get_or_create(&labels).inc();
    }

    /// It is a dead letter now, or dropped.
    pub fn lost(&self, sink: &str, reason: &str) {
        let labels = vec![("sink", sink.into()), ("reason", reason.into())];
        self.lost.get_or_create(&labels).inc();
    }
}
