//! What a process counts of its bus and of itself.

use super::{Bus, Counts};
use crate::http::{Basic, Site};
use crate::metrics::{Labels, Meter, flag, number, single, took};
use crate::{Clock, telemetry};
use async_nats::Client;
use async_nats::connection::State;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use vedette_model::Place;

/// Between two looks at how late this process is.
const LOOK_EVERY: Duration = Duration::from_millis(200);

pub(super) fn count(meter: &Meter, client: &Client, counts: &Arc<Counts>) {
    let nats = client.clone();
    meter.look("nats_connected", "1 while there is a connection to NATS", move || {
        single(flag(nats.connection_state() == State::Connected))
    });
    let said = client.statistics();
    let seen = Arc::clone(&said);
    meter.look_count(
        "nats_connections",
        "Connections made to NATS, the first one too",
        move || single(number(seen.connects.load(Relaxed))),
    );
    let seen = Arc::clone(&said);
    meter.look_count("nats_messages", "Messages of NATS, by direction", move || {
        both(seen.in_messages.load(Relaxed), seen.out_messages.load(Relaxed))
    });
    meter.look_count("nats_bytes", "Bytes of messages of NATS, by direction", move || {
        both(said.in_bytes.load(Relaxed), said.out_bytes.load(Relaxed))
    });
    let lost = Arc::clone(counts);
    meter.look_count("facts_dropped", "Messages lost here, by reason", move || {
        let of = |reason: &str, count: u64| (vec![("reason", reason.into())], number(count));
        vec![
            of("unsent", lost.unsent.load(Relaxed)),
            of("garbage", lost.garbage.load(Relaxed)),
            of("slow", lost.dropped.load(Relaxed)),
        ]
    });
    meter.look_count("spans", "Spans of traces, by what became of them", || {
        let of = |outcome: &str, count: u64| (vec![("outcome", outcome.into())], number(count));
        let (sent, lost) = telemetry::spans();
        vec![of("sent", sent), of("lost", lost)]
    });
}

fn both(received: u64, sent: u64) -> Vec<(Labels, f64)> {
    let of = |way: &str, count: u64| (vec![("direction", way.into())], number(count));
    vec![of("in", received), of("out", sent)]
}

impl Bus {
    /// The second port of a service that is ready while it has NATS and `well` complains of
    /// nothing.
    pub fn site<W>(&self, well: W) -> impl Site + use<W>
    where
        W: Fn() -> Result<(), String> + Send + Sync + 'static,
    {
        let bus = self.clone();
        let ready = move || if bus.is_connected() { well() } else { Err("without nats".into()) };
        Basic { meter: self.meter().clone(), ready }
    }

    /// Counts who this is, and how late it is served by its machine, until it ends.
    pub(crate) fn count_process(&self, place: &Place) {
        let sender = self.sender();
        let labels: Labels = vec![
            ("service", sender.service.to_string()),
            ("id", sender.id.clone()),
            ("place", place.to_string()),
            ("version", env!("CARGO_PKG_VERSION").into()),
        ];
        let known = move || vec![(labels.clone(), 1.0)];
        self.meter().look("service_info", "Who this is", known);
        let help = "How much later than asked for this process was woken";
        let late = self.meter().times("scheduling_delay_seconds", help);
        let (bus, clock) = (Arc::downgrade(&self.inner), Clock::start());
        drop(tokio::spawn(async move {
            while bus.strong_count() > 0 {
                let wanted = clock.now() + LOOK_EVERY;
                clock.sleep_until(wanted).await;
                took(&late, &Labels::new(), clock.now().since(wanted));
            }
        }));
    }
}
