//! What a prober's happenings look like in its log.

use tracing::{info, warn};
use vedette_model::{Event, EventName, Fact};
use vedette_runtime::telemetry;

/// Writes a happening down once, as it is told to the bus. Facts that repeat are no happenings.
pub fn emit(fact: &Fact) {
    let Fact::Event(event) = fact else { return };
    let _inside = telemetry::happening(event).entered();
    let Event { name, payload, cause, .. } = event;
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
