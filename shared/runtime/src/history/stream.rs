//! The stream itself.

use super::Gap;
use crate::bus::Bus;
use crate::config::HistoryConfig;
use crate::retained::{self, RetainedError};
use async_nats::jetstream::stream::{Config, DiscardPolicy};
use async_nats::jetstream::{Context, ErrorCode};
use std::time::Duration;
use vedette_wire::Subjects;

/// One group's happening of one name that is said without end must not wash out all others.
const MOST_OF_ONE_SUBJECT: i64 = 10_000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIB: u64 = 1024 * 1024;

/// How the stream was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opened {
    /// It was there.
    Found,
    /// It is new.
    Made,
}

#[derive(Debug)]
pub(super) struct Shelf {
    jetstream: Context,
    subjects: Subjects,
    clustered: bool,
    config: HistoryConfig,
}

impl Shelf {
    pub(super) fn new(bus: &Bus, config: &HistoryConfig) -> Self {
        let client = bus.client().clone();
        let clustered = client.server_info().cluster.is_some();
        let jetstream = retained::context(client);
        Self { jetstream, subjects: bus.subjects().clone(), clustered, config: config.clone() }
    }

    /// Whether it is there.
    pub(super) async fn look(&self) -> Result<Opened, RetainedError> {
        match self.jetstream.get_stream(self.subjects.history_stream()).await {
            Ok(_) => Ok(Opened::Found),
            Err(error) => Err(retained::sorted(error)),
        }
    }

    /// Finds it, and has it as it is configured, or makes it.
    pub(super) async fn open(&self) -> Result<Opened, RetainedError> {
        let name = self.subjects.history_stream();
        match self.jetstream.get_stream(&name).await {
            Ok(stream) => {
                let known = &stream.cached_info().config;
                self.adapt(known).await;
                Ok(Opened::Found)
            }
            Err(error) if retained::code(&error) == Some(ErrorCode::STREAM_NOT_FOUND) => {
                self.make(&name).await
            }
            Err(error) => Err(retained::sorted(error)),
        }
    }

    async fn make(&self, name: &str) -> Result<Opened, RetainedError> {
        let wanted = |copies| self.wanted(copies);
        if retained::make_stream(&self.jetstream, self.clustered, wanted).await? {
            tracing::info!(stream = name, days = self.config.days, "the history was begun");
            return Ok(Opened::Made);
        }
        self.look().await
    }

    /// What was said by whoever could not reach it.
    pub(super) async fn mark(&self, gap: &Gap) -> Result<(), RetainedError> {
        let payload = serde_json::to_vec(gap).unwrap_or_default();
        let sent = self.jetstream.publish(self.subjects.history_gap(), payload.into()).await;
        sent.map_err(retained::sorted)?.await.map(drop).map_err(retained::sorted)
    }

    /// A stream with other limits works as well: the next start tries again.
    async fn adapt(&self, known: &Config) {
        let most = if self.clustered { retained::REPLICAS } else { 1 };
        let wanted = self.wanted(known.num_replicas.max(most));
        let same = known.max_age == wanted.max_age
            && known.max_bytes == wanted.max_bytes
            && known.subjects == wanted.subjects
            && known.num_replicas == wanted.num_replicas;
        if same {
            return;
        }
        for copies in [wanted.num_replicas, known.num_replicas] {
            match self.jetstream.update_stream(self.wanted(copies)).await {
                Ok(_) => return,
                Err(error) => tracing::debug!(copies, %error, "the history stays as it is"),
            }
        }
    }

    /// What is said, and what is to be told again.
    fn subjects(&self) -> Vec<String> {
        let mut subjects = self.subjects.history();
        subjects.push(self.subjects.again("*"));
        subjects
    }

    fn wanted(&self, num_replicas: usize) -> Config {
        let days = u32::try_from(self.config.days).unwrap_or(u32::MAX);
        Config {
            name: self.subjects.history_stream(),
            description: Some("What led to each decision".into()),
            subjects: self.subjects(),
            max_age: DAY * days,
            max_bytes: i64::try_from(self.config.max_mib.saturating_mul(MIB)).unwrap_or(i64::MAX),
            max_messages_per_subject: MOST_OF_ONE_SUBJECT,
            discard: DiscardPolicy::Old,
            num_replicas,
            // Nobody who says something waits for an answer, and none must come to them.
            ..Config::default()
        }
    }
}
