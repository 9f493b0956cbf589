//! What an orchestrator's happenings look like in its log and its traces.

use tracing::{debug, error, info, info_span, warn};
use vedette_model::{Event, EventName, Fact, FailoverStep};
use vedette_runtime::telemetry;

/// Writes a happening down once, as it is told to the bus. Facts that repeat are no happenings.
pub fn emit(fact: &Fact) {
    if let Fact::Event(event) = fact {
        happened(event);
    } else if let Fact::FailoverStep(step) = fact {
        finished(step);
    }
}

fn happened(event: &Event) {
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

/// For the trace above all: what people want to know of a step is an event of its own.
fn finished(FailoverStep { group, ballot, step, elapsed_us, trace_id, .. }: &FailoverStep) {
    let span = info_span!("failover", %group, ?step, elapsed_us);
    telemetry::attach(&span, *trace_id);
    let _inside = span.enter();
    debug!(ballot = ballot.as_ref().map(tracing::field::display), "failover step finished");
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
