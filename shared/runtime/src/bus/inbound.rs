//! Messages from NATS, understood and handed on.

use super::{Bus, BusError, Inner};
use async_nats::{HeaderMap, Message, Subscriber};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{SelectAll, select_all};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::mpsc;
use vedette_model::{Fact, FactKind};
use vedette_wire::{DecodeError, Header, is_handed_over};

/// Messages understood and not yet taken. When it is full the forwarder waits and NATS's own
/// bounded buffer fills.
const QUEUE_LIMIT: usize = 1_024;
/// Header of the messages by which a process sees that its subscriptions are there.
const MARKER: &str = "Vedette-Marker";
/// For a marker to come back, and how many are tried.
const MARKER_LIMIT: Duration = Duration::from_secs(1);
const MARKERS: u32 = 5;
/// Messages kept while a marker is on its way.
const EARLY_LIMIT: usize = 4_096;

/// A message that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// Who sent it; absent only for an application's bare question for a master.
    pub header: Option<Header>,
    /// What it says.
    pub fact: Fact,
    /// Where its answer goes, if it wants one and names a mailbox.
    pub reply_to: Option<String>,
}

/// Any message under the prefix, for showing it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Where it was published.
    pub subject: String,
    /// Its payload's length in bytes.
    pub bytes: usize,
    /// What it says, or why nobody can tell.
    pub received: Result<Received, DecodeError>,
}

impl Bus {
    /// Receives the facts of these kinds and all answers to this process, its own facts included.
    /// Messages that cannot be understood are counted, logged now and then, and dropped.
    /// Dropping the receiver ends the subscription. When it returns, the server knows.
    ///
    /// # Errors
    /// [`BusError`] if the server does not take the subscription within five seconds.
    pub async fn subscribe(
        &self,
        kinds: &[FactKind],
    ) -> Result<mpsc::Receiver<Received>, BusError> {
        let (sender, receiver) = mpsc::channel(QUEUE_LIMIT);
        self.subscribe_into(kinds, sender, Some).await?;
        Ok(receiver)
    }

    /// Like [`Bus::subscribe`], into a machine's queue: `map` makes an input of a message, or
    /// nothing. While the queue is full, it waits.
    ///
    /// # Errors
    /// [`BusError`] if the server does not take the subscription within five seconds.
    pub async fn subscribe_into<T: Send + 'static>(
        &self,
        kinds: &[FactKind],
        queue: mpsc::Sender<T>,
        map: impl Fn(Received) -> Option<T> + Send + 'static,
    ) -> Result<(), BusError> {
        let subjects = self.subjects();
        let mut patterns: Vec<_> =
            kinds.iter().filter_map(|kind| subjects.pattern(*kind)).collect();
        patterns.push(subjects.reply(self.sender()));
        patterns.sort_unstable();
        patterns.dedup();
        let messages = self.open(patterns).await?;
        let inner = Arc::clone(&self.inner);
        let understand = move |message: Message| match understood(&inner, &message) {
            Ok(received) => map(received),
            Err(error) => {
                inner.garbled(&message.subject, &error);
                None
            }
        };
        tokio::spawn(forward(messages, queue, understand));
        Ok(())
    }

    /// Receives everything under the prefix, whatever it is, also what cannot be understood.
    ///
    /// # Errors
    /// [`BusError`] if the server does not take the subscription within five seconds.
    pub async fn everything(&self) -> Result<mpsc::Receiver<Seen>, BusError> {
        let messages = self.open(vec![self.subjects().everything()]).await?;
        let (sender, receiver) = mpsc::channel(QUEUE_LIMIT);
        let inner = Arc::clone(&self.inner);
        let see = move |message: Message| {
            let received = understood(&inner, &message);
            let bytes = message.payload.len();
            Some(Seen { subject: message.subject.to_string(), bytes, received })
        };
        tokio::spawn(forward(messages, sender, see));
        Ok(receiver)
    }

    /// Subscribes, and proves that the server knows it: a marker sent to ourselves on the same
    /// connection comes back only after the subscriptions were taken.
    async fn open(&self, patterns: Vec<String>) -> Result<Messages, BusError> {
        let mut subscribers = Vec::with_capacity(patterns.len());
        for pattern in patterns {
            let subscriber = self.client().subscribe(pattern).await;
            subscribers.push(subscriber.map_err(|error| BusError::Client(error.to_string()))?);
        }
        let mut messages = Messages { early: VecDeque::new(), live: select_all(subscribers) };
        let marker = format!("{:016x}", super::new_incarnation());
        for _ in 0..MARKERS {
            let mut headers = HeaderMap::new();
            headers.insert(MARKER, marker.as_str());
            let to = self.inner.reply_to.clone();
            let publishing = self.client().publish_with_headers(to, headers, Bytes::new());
            let round = async {
                publishing.await.map_err(|error| BusError::Client(error.to_string()))?;
                messages.until(&marker).await
            };
            match tokio::time::timeout(MARKER_LIMIT, round).await {
                Ok(outcome) => return outcome.map(|()| messages),
                // It may have been lost with a connection: send another.
                Err(_) => continue,
            }
        }
        Err(BusError::TimedOut { limit_ms: (MARKER_LIMIT * MARKERS).as_millis() })
    }
}

/// What comes from the server, in order.
struct Messages {
    /// What came while we waited for the marker, at most [`EARLY_LIMIT`].
    early: VecDeque<Message>,
    live: SelectAll<Subscriber>,
}

impl Messages {
    async fn next(&mut self) -> Option<Message> {
        match self.early.pop_front() {
            Some(message) => Some(message),
            None => self.live.next().await,
        }
    }

    async fn until(&mut self, marker: &str) -> Result<(), BusError> {
        while let Some(message) = self.live.next().await {
            match header(message.headers.as_ref(), MARKER) {
                Some(found) if found == marker => return Ok(()),
                Some(_) => {}
                None if self.early.len() < EARLY_LIMIT => self.early.push_back(message),
                None => tracing::debug!("dropped: too much came before the subscription stood"),
            }
        }
        Err(BusError::Client("the connection is closed".into()))
    }
}

async fn forward<T: Send>(
    mut messages: Messages,
    queue: mpsc::Sender<T>,
    understand: impl Fn(Message) -> Option<T> + Send,
) {
    loop {
        let message = tokio::select! {
            biased;
            () = queue.closed() => return,
            message = messages.next() => message,
        };
        let Some(message) = message else { return };
        // NATS itself answers on the reply subject when nobody listens to a question.
        let is_status = message.status.is_some();
        let lookup = |name: &str| header(message.headers.as_ref(), name);
        let reply = message.reply.as_deref();
        if is_status || lookup(MARKER).is_some() || is_handed_over(reply, lookup) {
            continue;
        }
        let Some(item) = understand(message) else { continue };
        if queue.send(item).await.is_err() {
            return;
        }
    }
}

fn understood(inner: &Inner, message: &Message) -> Result<Received, DecodeError> {
    let headers = message.headers.as_ref();
    let lookup = |name: &str| header(headers, name);
    let (header, fact) =
        vedette_wire::decode_message(&inner.subjects, &message.subject, lookup, &message.payload)?;
    let reply_to = message.reply.as_ref().map(ToString::to_string);
    let reply_to = reply_to.filter(|to| inner.subjects.is_mailbox(to));
    Ok(Received { header, fact, reply_to })
}

fn header(headers: Option<&HeaderMap>, name: &str) -> Option<String> {
    headers?.get(name).map(|value| value.as_str().to_owned())
}

impl Inner {
    fn garbled(&self, subject: &str, error: &DecodeError) {
        self.counts.garbage.fetch_add(1, Ordering::Relaxed);
        if let Some(times) = self.counts.garbage_said.pass(self.clock.now()) {
            let reason = error.reason();
            tracing::warn!(
                subject, times, reason, %error,
                "messages were not understood and dropped: look for a foreign sender or another \
                 version under our prefix"
            );
        }
    }
}
