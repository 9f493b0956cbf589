//! What a prober's happenings look like in its log and its traces.

use tracing::{info, info_span, warn};
use vedette_model::{Event, EventName, Fact};
use vedette_runtime::telemetry;

/// Writes a happening down once, as it is told to the bus. Facts that repeat are no happenings.
pub fn emit(fact: &Fact) {
    let Fact::Event(event) = fact else { return };
    let name = event.name.as_str();
    let span = info_span!("event", otel.name = name, group = %event.group, epoch = event.epoch.0);
    telemetry::attach(&span, event.trace_id);
    let _inside = span.enter();
    let Event { payload, cause, .. } = event;
    if needs_a_person(event.name) {
        warn!(payload, cause, "{name}");
    } else {
        info!(payload, cause, "{name}");
    }
}

/// The trouble that stays until somebody mends it.
const fn needs_a_person(name: EventName) -> bool {
    matches!(
        name,
        EventName::AuthError
            | EventName::DnsError
            | EventName::WriteImpaired
            | EventName::IdentityConflict
    )
}
