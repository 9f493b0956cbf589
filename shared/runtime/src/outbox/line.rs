//! How the sinks stand, for people.

use super::lease::server_of;
use crate::bus::Bus;
use crate::retained::{self, RetainedError};
use async_nats::jetstream::stream::{LastRawMessageErrorKind, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use futures::StreamExt;
use serde::Serialize;
use vedette_model::{Event, Fact};

/// What the consumers are called.
pub(super) const PREFIX: &str = "notifier-";

/// One sink's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// The sink.
    pub sink: String,
    /// The id of the notifier that serves it, if one does.
    pub by: Option<String>,
    /// Events of the history that it has still to be told.
    pub waiting: u64,
    /// Up to this place of the history everything is settled.
    pub settled: u64,
}

/// All sinks that the history has a durable consumer for. Without a history, none.
///
/// # Errors
/// [`RetainedError`].
pub async fn lines(bus: &Bus) -> Result<Vec<Line>, RetainedError> {
    let jetstream = retained::context(bus.client().clone());
    let Some(stream) = history(bus, &jetstream).await? else { return Ok(Vec::new()) };
    let mut lines = Vec::new();
    let mut consumers = stream.consumers();
    while let Some(info) = consumers.next().await {
        let info = info.map_err(retained::sorted)?;
        let Some(sink) = info.name.strip_prefix(PREFIX) else { continue };
        let unsettled = u64::try_from(info.num_ack_pending).unwrap_or(u64::MAX);
        lines.push(Line {
            sink: sink.into(),
            by: server_of(bus, &jetstream, sink).await,
            waiting: info.num_pending.saturating_add(unsettled),
            settled: info.ack_floor.stream_sequence,
        });
    }
    lines.sort_by(|one, other| one.sink.cmp(&other.sink));
    Ok(lines)
}

/// The place that an event has in the history; nothing if it is not (or no longer) the last of its
/// name and group there.
///
/// # Errors
/// [`RetainedError`].
pub async fn place_of(bus: &Bus, event: &Event) -> Result<Option<u64>, RetainedError> {
    let jetstream = retained::context(bus.client().clone());
    let Some(stream) = history(bus, &jetstream).await? else { return Ok(None) };
    let Some(subject) = bus.subjects().of(&Fact::Event(event.clone())) else { return Ok(None) };
    match stream.get_last_raw_message_by_subject(&subject).await {
        Ok(message) => {
            let kept: Option<Event> = serde_json::from_slice(&message.payload).ok();
            Ok(kept.filter(|kept| kept.id == event.id).map(|_| message.sequence))
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(None),
        Err(error) => Err(retained::sorted(error)),
    }
}

async fn history(bus: &Bus, jetstream: &Context) -> Result<Option<Stream>, RetainedError> {
    match jetstream.get_stream(bus.subjects().history_stream()).await {
        Ok(stream) => Ok(Some(stream)),
        Err(error) if retained::code(&error) == Some(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
        Err(error) => Err(retained::sorted(error)),
    }
}
