//! Looks at what the stream gets, for those who heard the same on the bus.

use super::News;
use super::feed::event_of;
use crate::Clock;
use crate::bus::Bus;
use crate::retained::{self, RetainedError};
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures::StreamExt;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_model::FactKind;

/// How often it is looked whether the stream is there.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Looks in a row that must fail: one may be an election of the stream's leader.
const LOOKS: u32 = 2;
/// The same before it has ever been there.
const LOOKS_FIRST: u32 = 3;
/// Before it is looked for again once it is away.
const AGAIN: Duration = Duration::from_secs(1);
/// How far back it begins: what was said just before must not seem to be missing.
const BACK: u64 = 1_000;

/// Until nobody listens.
pub(super) async fn watch(bus: Bus, tell: mpsc::Sender<News>) {
    let clock = Clock::start();
    let mut was = None;
    let mut failures = 0_u32;
    loop {
        match follow(&bus, &tell, &clock, &mut was).await {
            Ok(never) => match never {},
            Err(None) => return,
            Err(Some(error)) => {
                failures = failures.saturating_add(1);
                // At the start it may still be made.
                let is_away = was == Some(true) || was.is_none() && failures > LOOKS_FIRST;
                if is_away && was.replace(false) != Some(false) {
                    tracing::warn!(
                        from = "kept", to = "heard", cause = %error,
                        "the history in jetstream is away: sinks are told what is heard on the bus"
                    );
                    if tell.send(News::Reached(false)).await.is_err() {
                        return;
                    }
                }
            }
        }
        clock.sleep(AGAIN).await;
    }
}

/// Reads along until it fails; without an error if nobody listens any more.
async fn follow(
    bus: &Bus,
    tell: &mpsc::Sender<News>,
    clock: &Clock,
    was: &mut Option<bool>,
) -> Result<Infallible, Option<RetainedError>> {
    let subjects = bus.subjects();
    let jetstream = retained::context(bus.client().clone());
    let stream = jetstream.get_stream(subjects.history_stream()).await.map_err(failed)?;
    let last = stream.cached_info().state.last_sequence;
    let start_sequence = last.saturating_sub(BACK).max(1);
    let config = OrderedConfig {
        filter_subjects: subjects.pattern(FactKind::Event).into_iter().collect(),
        deliver_policy: DeliverPolicy::ByStartSequence { start_sequence },
        ..OrderedConfig::default()
    };
    let consumer = stream.create_consumer(config).await.map_err(failed)?;
    let mut messages = consumer.messages().await.map_err(failed)?;
    if was.replace(true) == Some(false) {
        tracing::info!(from = "heard", to = "kept", "the history is there: sinks are told from it");
    }
    tell.send(News::Reached(true)).await.map_err(|_| None)?;
    let mut misses = 0;
    let mut look_at = clock.now() + LOOK_EVERY;
    loop {
        tokio::select! {
            () = tell.closed() => return Err(None),
            () = clock.sleep_until(look_at) => {
                match stream.get_info().await {
                    Ok(_) => misses = 0,
                    Err(error) => {
                        misses += 1;
                        if misses >= LOOKS {
                            return Err(failed(error));
                        }
                    }
                }
                look_at = clock.now() + LOOK_EVERY;
            }
            message = messages.next() => {
                let Some(message) = message else { return Err(Some(RetainedError::Silent)) };
                let message = message.map_err(failed)?;
                if let Some((event, _)) = event_of(subjects, &message) {
                    tell.send(News::Stored { id: event.id }).await.map_err(|_| None)?;
                }
            }
        }
    }
}

fn failed<E: std::error::Error + Send + Sync + 'static>(error: E) -> Option<RetainedError> {
    Some(retained::sorted(error))
}
