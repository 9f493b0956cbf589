//! What a notifier says in its log.

use vedette_model::{Event, EventName};
use vedette_runtime::outbox::DeadLetter;
use vedette_runtime::retained::RetainedError;

/// An event, told by the log as a sink.
pub fn happened(event: &Event) {
    let Event { id, group, name, payload, cause, epoch, source, trace_id } = event;
    if wants_a_person(*name) {
        tracing::warn!(%group, event = %name, payload, cause, %epoch, source, %trace_id, id, "happened");
    } else {
        tracing::info!(%group, event = %name, payload, cause, %epoch, source, %trace_id, id, "happened");
    }
}

/// A try begins.
pub fn delivering(sink: &str, events: &[Event], attempt: u32) {
    let first = events.first().map(|event| event.id.as_str());
    tracing::debug!(sink, id = first, events = events.len(), attempt, "delivering");
}

/// A sink stopped working.
pub fn failing(sink: &str, why: &str) {
    tracing::warn!(
        sink,
        from = "working",
        to = "failing",
        cause = why,
        "events wait and are tried again: repair the sink"
    );
}

/// A sink works again.
pub fn recovered(sink: &str) {
    tracing::info!(sink, from = "failing", to = "working", cause = "it took an event", "recovered");
}

/// A sink did not take an event. Where it can be kept, `vedette notify dead` has it.
pub fn gave_up(sink: &str, event: &Event, tries: u32, why: &str) {
    tracing::warn!(
        sink, group = %event.group, event = %event.name, payload = event.payload, id = event.id,
        tries, cause = why, "gave up: the sink did not get this event"
    );
}

/// An event that a sink did not take is not kept either.
pub fn not_buried(letter: &DeadLetter, is_lost: bool, error: &RetainedError) {
    let DeadLetter { sink, event, .. } = letter;
    if is_lost {
        tracing::warn!(
            sink, group = %event.group, event = %event.name, payload = event.payload, id = event.id,
            cause = %error, "lost: the sink did not take this event, and it is kept nowhere"
        );
    } else {
        tracing::debug!(sink, id = event.id, %error, "no dead letter yet: it is tried again");
    }
}

/// A sink will not get an event because too many wait. `count` is how many were dropped so far:
/// drops come in floods, so only the 1st, 2nd, 4th, 8th … is said.
pub fn dropped(sink: &str, event: &Event, why: &str, count: u64) {
    if !count.is_power_of_two() {
        return;
    }
    tracing::warn!(
        sink, group = %event.group, event = %event.name, payload = event.payload, id = event.id,
        count, cause = why, "dropped: the sink did not get this event and will not"
    );
}

/// Events that the end overtook, counted once per sink.
pub fn left_behind(count: usize) {
    tracing::warn!(count, "stopped with events that have not reached their sinks and will not");
}

/// Whether a person should look soon: something is broken that does not mend itself, or data may
/// be at stake. All other happenings are steps of the system's own work.
const fn wants_a_person(name: EventName) -> bool {
    match name {
        EventName::AbortNoGoodSlave
        | EventName::AbortSlaveTimeout
        | EventName::AbortMasterTimeout
        | EventName::FailoverEndForTimeout
        | EventName::AuthError
        | EventName::DnsError
        | EventName::WriteImpaired
        | EventName::DataLossRisk
        | EventName::ExternalChange
        | EventName::Held
        | EventName::IdentityConflict
        | EventName::ConfigConflict
        | EventName::RewriteFailed => true,
        EventName::Monitor
        | EventName::Slave
        | EventName::Sdown
        | EventName::SdownOver
        | EventName::Odown
        | EventName::OdownOver
        | EventName::TryFailover
        | EventName::ElectedLeader
        | EventName::TakeOver
        | EventName::SelectedSlave
        | EventName::SendSlaveofNoOne
        | EventName::PromotedSlave
        | EventName::SwitchMaster
        | EventName::ReconfSlaves
        | EventName::SlaveReconfSent
        | EventName::SlaveReconfDone
        | EventName::FailoverEnd
        | EventName::ConvertToSlave
        | EventName::FixSlaveConfig
        | EventName::Reboot
        | EventName::Busy
        | EventName::Loading
        | EventName::AddressChanged
        | EventName::SlaveGone
        | EventName::Released
        | EventName::Paused
        | EventName::Resumed
        | EventName::Set
        | EventName::CredentialRotated
        | EventName::Removed
        | EventName::Reset
        | EventName::TroubleOver
        | EventName::SelfSuspect
        | EventName::SelfSuspectOver
        | EventName::NotifyTest => false,
    }
}
