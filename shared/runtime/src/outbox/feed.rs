//! One sink's durable consumer of the history.

use super::News;
use crate::bus::Bus;
use crate::retained::{self, RetainedError};
use async_nats::HeaderMap;
use async_nats::jetstream::consumer::pull::{Config, OrderedConfig};
use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy};
use async_nats::jetstream::message::Acker;
use async_nats::jetstream::stream::Stream;
use async_nats::jetstream::{Context, Message};
use futures::StreamExt;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_model::{Event, Fact, FactKind};
use vedette_wire::{Subjects, decode_message};

/// Events given and not settled. While there are so many, no other is given.
const UNSETTLED_LIMIT: i64 = 1_000;
/// After which an event that is not settled is given again.
const GIVEN_AGAIN: Duration = Duration::from_secs(30);
/// A consumer that nobody has asked for so long is gone, and its sink begins anew.
const FORGOTTEN: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Events asked for at once.
const BATCH: usize = 100;

pub(super) struct Feed {
    jetstream: Context,
    subjects: Subjects,
    sink: String,
    /// How to acknowledge what was given and is not settled.
    ackers: BTreeMap<u64, Acker>,
}

impl Feed {
    pub(super) fn new(bus: &Bus, sink: &str) -> Self {
        let jetstream = retained::context(bus.client().clone());
        let subjects = bus.subjects().clone();
        Self { jetstream, subjects, sink: sink.into(), ackers: BTreeMap::new() }
    }

    /// Makes the consumer if there is none: it begins with what comes from now on. Whether it is
    /// there.
    pub(super) async fn prepare(&self) -> bool {
        let opened = self.open().await;
        if let Err(error) = &opened {
            tracing::debug!(sink = self.sink, %error, "no consumer yet");
        }
        opened.is_ok()
    }

    /// Gives what is not settled, in order, and takes what is; until it fails. Why.
    pub(super) async fn run(
        &mut self,
        tell: &mpsc::Sender<News>,
        settled: &mut mpsc::Receiver<u64>,
    ) -> RetainedError {
        self.ackers.clear();
        match self.follow(tell, settled).await {
            Ok(()) => RetainedError::Silent,
            Err(error) => error,
        }
    }

    /// Acknowledges what was settled in the last moment.
    pub(super) async fn settle_all(&mut self, settled: &mut mpsc::Receiver<u64>) {
        while let Ok(seq) = settled.try_recv() {
            self.acknowledge(seq).await;
        }
    }

    async fn follow(
        &mut self,
        tell: &mpsc::Sender<News>,
        settled: &mut mpsc::Receiver<u64>,
    ) -> Result<(), RetainedError> {
        let (stream, consumer) = self.open().await?;
        self.give_left(&stream, &consumer, tell).await?;
        let mut messages = consumer
            .stream()
            .max_messages_per_batch(BATCH)
            .heartbeat(Duration::from_secs(2))
            .expires(Duration::from_secs(30))
            .messages()
            .await
            .map_err(retained::sorted)?;
        loop {
            tokio::select! {
                biased;
                seq = settled.recv() => {
                    let Some(seq) = seq else { return Ok(()) };
                    self.acknowledge(seq).await;
                }
                message = messages.next() => {
                    let Some(message) = message else { return Ok(()) };
                    if !self.give(message.map_err(retained::sorted)?, tell).await {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// What the one before was given and has not settled would come only when its time is over, and
    /// behind newer events: it is read from the stream itself, first. What had been settled among
    /// it comes twice.
    async fn give_left(
        &self,
        stream: &Stream,
        consumer: &Consumer<Config>,
        tell: &mpsc::Sender<News>,
    ) -> Result<(), RetainedError> {
        let info = consumer.get_info().await.map_err(retained::sorted)?;
        let (settled, given) = (info.ack_floor.stream_sequence, info.delivered.stream_sequence);
        if info.num_ack_pending == 0 || given <= settled {
            return Ok(());
        }
        let config = OrderedConfig {
            filter_subjects: self.filter(),
            deliver_policy: DeliverPolicy::ByStartSequence { start_sequence: settled + 1 },
            ..OrderedConfig::default()
        };
        let left = stream.create_consumer(config).await.map_err(retained::sorted)?;
        if left.cached_info().num_pending == 0 {
            return Ok(());
        }
        let mut messages = left.messages().await.map_err(retained::sorted)?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(retained::sorted)?;
            let Ok(info) = message.info() else { continue };
            let (seq, pending) = (info.stream_sequence, info.pending);
            if seq > given {
                break;
            }
            if let Some((event, live)) = event_of(&self.subjects, &message) {
                let news = News::Given { sink: self.sink.clone(), seq, event, live };
                if tell.send(news).await.is_err() {
                    break;
                }
            }
            if seq == given || pending == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Whether somebody listens.
    async fn give(&mut self, message: Message, tell: &mpsc::Sender<News>) -> bool {
        let event = event_of(&self.subjects, &message);
        let Ok(seq) = message.info().map(|info| info.stream_sequence) else { return true };
        let (message, acker) = message.split();
        self.ackers.insert(seq, acker);
        let Some((event, live)) = event else {
            tracing::warn!(subject = %message.subject, seq, "not an event: it is told to nobody");
            self.acknowledge(seq).await;
            return true;
        };
        tell.send(News::Given { sink: self.sink.clone(), seq, event, live }).await.is_ok()
    }

    async fn acknowledge(&mut self, seq: u64) {
        // Without one it was read from the stream itself: when it is given again, it is settled.
        let Some(acker) = self.ackers.remove(&seq) else { return };
        if let Err(error) = acker.ack().await {
            tracing::debug!(sink = self.sink, seq, %error, "not acknowledged: it is given again");
        }
    }

    async fn open(&self) -> Result<(Stream, Consumer<Config>), RetainedError> {
        let name = self.subjects.history_stream();
        let stream = self.jetstream.get_stream(name).await.map_err(retained::sorted)?;
        let durable = format!("{}{}", super::line::PREFIX, self.sink);
        let wanted = Config {
            durable_name: Some(durable.clone()),
            description: Some(format!("What the sink {} is told", self.sink)),
            deliver_policy: DeliverPolicy::New,
            ack_policy: AckPolicy::Explicit,
            ack_wait: GIVEN_AGAIN,
            max_ack_pending: UNSETTLED_LIMIT,
            filter_subjects: self.filter(),
            inactive_threshold: FORGOTTEN,
            ..Config::default()
        };
        let consumer = stream.get_or_create_consumer(&durable, wanted).await;
        Ok((stream, consumer.map_err(retained::sorted)?))
    }

    fn filter(&self) -> Vec<String> {
        let events = self.subjects.pattern(FactKind::Event);
        events.into_iter().chain([self.subjects.again(&self.sink)]).collect()
    }
}

/// The event in a message of the stream, and whether it was said while its incident was under way;
/// nothing if it is none.
pub(super) fn event_of(subjects: &Subjects, message: &Message) -> Option<(Event, bool)> {
    let subject = message.subject.as_str();
    let header = |name: &str| {
        let headers: &HeaderMap = message.headers.as_ref()?;
        Some(headers.get(name)?.as_str().to_string())
    };
    if subject.starts_with(&subjects.again("")) {
        return serde_json::from_slice(&message.payload).ok().map(|event| (event, false));
    }
    match decode_message(subjects, subject, header, &message.payload) {
        Ok((head, Fact::Event(event))) => {
            let parent = head.and_then(|head| head.traceparent);
            let context = parent.as_deref().and_then(vedette_wire::read_traceparent);
            Some((event, context.is_some_and(|(_, live)| live)))
        }
        Ok(_) | Err(_) => None,
    }
}
