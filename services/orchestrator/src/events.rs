//! What an orchestrator's happenings look like in its log.

use tracing::{error, info, warn};
use vedette_model::{Event, EventName, Fact};
use vedette_runtime::telemetry;

/// Writes a happening down once, as it is told to the bus. Facts that repeat are no happenings.
pub fn emit(fact: &Fact) {
    let Fact::Event(event) = fact else { return };
    let _inside = telemetry::happening(event).entered();
    let Event { name, payload, cause, .. } = event;
    if needs_a_person_now(event.name) {
        error!(payload, cause, "{name}");
    } else if needs_a_person_soon(event.name) {
        warn!(payload, cause, "{name}");
    } else {
        info!(payload, cause, "{name}");
    }
}

/// The master is down and nobody can take its place, or nobody would if it were.
const fn needs_a_person_now(name: EventName) -> bool {
    matches!(name, EventName::AbortNoGoodSlave | EventName::Held)
}

/// What stays until somebody mends it.
const fn needs_a_person_soon(name: EventName) -> bool {
    matches!(
        name,
        EventName::AbortSlaveTimeout
            | EventName::AbortMasterTimeout
            | EventName::FailoverEndForTimeout
            | EventName::AuthError
            | EventName::IdentityConflict
            | EventName::ConfigConflict
            | EventName::RewriteFailed
    )
}
