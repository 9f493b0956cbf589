//! Reading the history.

use super::Gap;
use crate::bus::Bus;
use crate::retained::{self, RetainedError};
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::{ErrorCode, Message};
use futures::StreamExt;
use std::collections::VecDeque;
use std::time::Duration;
use vedette_model::{Fact, GroupName, Sender};
use vedette_wire::{Subjects, decode_message};

/// What is kept.
#[derive(Debug, Clone, Default)]
pub struct Past {
    /// In the order in which it came.
    pub kept: Vec<Kept>,
    /// When the oldest of all that is kept came, in microseconds since 1970; absent if nothing is.
    /// If not all of it was read, the oldest of what was.
    pub oldest_us: Option<u64>,
    /// Whether something older was let go, by age or for want of room, or not read.
    pub shortened: bool,
}

/// One thing that was said.
#[derive(Debug, Clone)]
pub struct Kept {
    /// When it came to the server, in microseconds since 1970.
    pub at_us: u64,
    /// What it was.
    pub what: What,
}

/// What was kept.
#[derive(Debug, Clone)]
#[allow(clippy::large_enum_variant, reason = "nearly all are facts")]
pub enum What {
    /// A fact.
    Said {
        /// By whom; absent if it came without our headers.
        sender: Option<Sender>,
        /// What.
        fact: Fact,
    },
    /// Somebody could not reach the history.
    Gap(Gap),
    /// Nobody can tell.
    Unreadable(String),
}

/// Reads what is kept, of one group or of all, from a moment on (milliseconds since 1970) or from
/// the beginning.
///
/// # Errors
/// [`RetainedError`], also if it takes longer than the limit. Where no stream is, nothing is kept.
pub async fn past(
    bus: &Bus,
    group: Option<&GroupName>,
    since_ms: Option<u64>,
    limit: Duration,
) -> Result<Past, RetainedError> {
    newest(bus, group, since_ms, limit, usize::MAX).await
}

/// Like [`past`], and of all this the newest `most` things: no more is held in memory.
///
/// # Errors
/// Those of [`past`].
pub async fn newest(
    bus: &Bus,
    group: Option<&GroupName>,
    since_ms: Option<u64>,
    limit: Duration,
    most: usize,
) -> Result<Past, RetainedError> {
    let read = read(bus, group, since_ms, most);
    tokio::time::timeout(limit, read).await.unwrap_or(Err(RetainedError::Silent))
}

async fn read(
    bus: &Bus,
    group: Option<&GroupName>,
    since_ms: Option<u64>,
    most: usize,
) -> Result<Past, RetainedError> {
    let subjects = bus.subjects();
    let jetstream = retained::context(bus.client().clone());
    let stream = match jetstream.get_stream(subjects.history_stream()).await {
        Ok(stream) => stream,
        Err(error) if retained::code(&error) == Some(ErrorCode::STREAM_NOT_FOUND) => {
            return Ok(Past::default());
        }
        Err(error) => return Err(retained::sorted(error)),
    };
    let state = &stream.cached_info().state;
    let mut past = Past { shortened: state.first_sequence > 1, ..Past::default() };
    if state.messages == 0 {
        return Ok(past);
    }
    let oldest_us = micros(state.first_timestamp.unix_timestamp_nanos());
    past.oldest_us = Some(oldest_us);
    let later = since_ms.and_then(|ms| ms.saturating_mul(1_000).checked_sub(oldest_us));
    let begin = later.map(|us| state.first_timestamp + Duration::from_micros(us));
    let config = OrderedConfig {
        filter_subjects: group.map_or_else(|| subjects.history(), |g| subjects.history_of(g)),
        deliver_policy: begin
            .map_or(DeliverPolicy::All, |start_time| DeliverPolicy::ByStartTime { start_time }),
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(retained::sorted)?;
    if consumer.cached_info().num_pending == 0 {
        return Ok(past);
    }
    let mut messages = consumer.messages().await.map_err(retained::sorted)?;
    let mut kept: VecDeque<Kept> = VecDeque::new();
    while let Some(message) = messages.next().await {
        let message = message.map_err(retained::sorted)?;
        let Ok(info) = message.info() else { continue };
        let (at_us, left) = (micros(info.published.unix_timestamp_nanos()), info.pending);
        if kept.len() >= most && kept.pop_front().is_some() {
            past.shortened = true;
            past.oldest_us = kept.front().map(|kept| kept.at_us).or(Some(at_us));
        }
        kept.push_back(Kept { at_us, what: understood(subjects, &message) });
        if left == 0 {
            past.kept = kept.into();
            return Ok(past);
        }
    }
    Err(RetainedError::Silent)
}

fn micros(nanos: i128) -> u64 {
    u64::try_from(nanos / 1_000).unwrap_or_default()
}

fn understood(subjects: &Subjects, message: &Message) -> What {
    let subject = message.subject.as_str();
    if subject == subjects.history_gap() {
        return match serde_json::from_slice(&message.payload) {
            Ok(gap) => What::Gap(gap),
            Err(error) => What::Unreadable(format!("{subject}: {error}")),
        };
    }
    let header = |name: &str| {
        let value = message.headers.as_ref()?.get(name)?;
        Some(value.as_str().to_string())
    };
    match decode_message(subjects, subject, header, &message.payload) {
        Ok((header, fact)) => What::Said { sender: header.map(|header| header.sender), fact },
        Err(error) => What::Unreadable(format!("{subject}: {error}")),
    }
}
