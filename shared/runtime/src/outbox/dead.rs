//! Events that a sink did not take: kept in a stream of their own, until a person has them told
//! again.

use crate::bus::Bus;
use crate::retained::{self, RetainedError};
use async_nats::jetstream::consumer::pull::OrderedConfig;
use async_nats::jetstream::stream::{Config, DiscardPolicy, Stream};
use async_nats::jetstream::{Context, ErrorCode};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use vedette_model::Event;
use vedette_wire::Subjects;

/// How long they are kept.
const KEPT: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Room for all of them in bytes; when that is full, the oldest goes.
const ROOM: i64 = 64 * 1024 * 1024;
/// For reading all of them.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// An event that a sink did not take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The sink.
    pub sink: String,
    /// How often it was tried.
    pub tries: u32,
    /// The sink's last words.
    pub why: String,
    /// Who gave up, as `service/id`.
    pub by: String,
    /// When, in milliseconds since 1970 by that process's clock.
    pub at_ms: u64,
    /// The event.
    pub event: Event,
}

/// One that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Kept {
    /// Its number.
    pub seq: u64,
    /// What it says.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

/// The stream of them.
#[derive(Debug, Clone)]
pub struct DeadLetters {
    jetstream: Context,
    subjects: Subjects,
    clustered: bool,
}

impl DeadLetters {
    /// Those of a bus.
    pub fn new(bus: &Bus) -> Self {
        let client = bus.client().clone();
        let clustered = client.server_info().cluster.is_some();
        let jetstream = retained::context(client);
        Self { jetstream, subjects: bus.subjects().clone(), clustered }
    }

    /// Keeps one. When it returns, it is kept.
    ///
    /// # Errors
    /// [`RetainedError`].
    pub async fn keep(&self, letter: &DeadLetter) -> Result<(), RetainedError> {
        if self.find().await?.is_none() {
            let wanted = |copies| self.wanted(copies);
            retained::make_stream(&self.jetstream, self.clustered, wanted).await?;
        }
        let subject = self.subjects.dead(&letter.sink);
        self.publish(subject, &letter).await
    }

    /// All that are kept, the oldest first.
    ///
    /// # Errors
    /// [`RetainedError`]. Where no stream is, nothing is kept.
    pub async fn list(&self) -> Result<Vec<Kept>, RetainedError> {
        let read = tokio::time::timeout(READ_LIMIT, self.read()).await;
        read.unwrap_or(Err(RetainedError::Silent))
    }

    /// Has one told to its sink again, behind what waits there, and forgets it here.
    ///
    /// # Errors
    /// [`RetainedError`].
    pub async fn tell_again(&self, kept: &Kept) -> Result<(), RetainedError> {
        self.publish(self.subjects.again(&kept.letter.sink), &kept.letter.event).await?;
        self.forget(kept.seq).await
    }

    /// Forgets one.
    ///
    /// # Errors
    /// [`RetainedError`].
    pub async fn forget(&self, seq: u64) -> Result<(), RetainedError> {
        if let Some(stream) = self.find().await? {
            stream.delete_message(seq).await.map_err(retained::sorted)?;
        }
        Ok(())
    }

    async fn publish(&self, subject: String, what: &impl Serialize) -> Result<(), RetainedError> {
        let payload = serde_json::to_vec(what).map_err(|e| RetainedError::Refused(Box::new(e)))?;
        let sent = self.jetstream.publish(subject, payload.into()).await;
        sent.map_err(retained::sorted)?.await.map(drop).map_err(retained::sorted)
    }

    async fn find(&self) -> Result<Option<Stream>, RetainedError> {
        match self.jetstream.get_stream(self.subjects.dead_stream()).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) if retained::code(&error) == Some(ErrorCode::STREAM_NOT_FOUND) => Ok(None),
            Err(error) => Err(retained::sorted(error)),
        }
    }

    async fn read(&self) -> Result<Vec<Kept>, RetainedError> {
        let mut all = Vec::new();
        let Some(stream) = self.find().await? else { return Ok(all) };
        let consumer =
            stream.create_consumer(OrderedConfig::default()).await.map_err(retained::sorted)?;
        if consumer.cached_info().num_pending == 0 {
            return Ok(all);
        }
        let mut messages = consumer.messages().await.map_err(retained::sorted)?;
        while let Some(message) = messages.next().await {
            let message = message.map_err(retained::sorted)?;
            let Ok(info) = message.info() else { continue };
            let (seq, pending) = (info.stream_sequence, info.pending);
            match serde_json::from_slice(&message.payload) {
                Ok(letter) => all.push(Kept { seq, letter }),
                Err(error) => tracing::warn!(seq, %error, "not a dead letter"),
            }
            if pending == 0 {
                break;
            }
        }
        Ok(all)
    }

    fn wanted(&self, num_replicas: usize) -> Config {
        Config {
            name: self.subjects.dead_stream(),
            description: Some("Events that a sink did not take".into()),
            subjects: vec![self.subjects.dead("*")],
            max_age: KEPT,
            max_bytes: ROOM,
            discard: DiscardPolicy::Old,
            num_replicas,
            ..Config::default()
        }
    }
}
