//! The durable lane of the masters: each group's newest [`MasterRecord`], kept by JetStream for
//! those who come late. Nothing waits for it.

mod bucket;
mod copies;
mod fault;
pub mod founding;

pub(crate) use bucket::Bucket;
pub(crate) use copies::{REPLICAS, context, copies, is_no_room, make_stream};
pub(crate) use fault::{code, sorted};

use crate::Clock;
use crate::bus::Bus;
use bucket::Stored;
use futures::future::join_all;
use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use vedette_model::{GroupName, Health, Instant, MasterRecord};
use vedette_wire::{DecodeError, MESSAGE_LIMIT};

/// Groups written at the same time.
const AT_ONCE: usize = 16;
/// The first pause after a failure; it doubles up to the cap.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_CAP: Duration = Duration::from_secs(5);
/// Failing for longer than this is worth a warning: an ordinary reconnect takes less.
const TROUBLE_LIMIT: Duration = Duration::from_secs(2);

/// Keeps each group's newest master record. Clones share one task, which ends with the last clone.
#[derive(Debug, Clone)]
pub struct Retainer {
    desk: Arc<Desk>,
    _task: Arc<Task>,
}

/// What waits to be written: at most one record per group.
#[derive(Debug)]
struct Desk {
    pending: Mutex<BTreeMap<GroupName, MasterRecord>>,
    arrived: Notify,
    left: watch::Sender<usize>,
    health: watch::Sender<Health>,
}

#[derive(Debug)]
struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Retainer {
    /// Starts the task that writes, and looks at once whether JetStream is there.
    pub fn spawn(bus: &Bus) -> Self {
        let desk = Arc::new(Desk {
            pending: Mutex::default(),
            arrived: Notify::new(),
            left: watch::Sender::new(0),
            health: watch::Sender::new(Health::Well),
        });
        let task = tokio::spawn(write_all(bus.clone(), Arc::clone(&desk), Clock::start()));
        Self { desk, _task: Arc::new(Task(task.abort_handle())) }
    }

    /// Keeps the record for late subscribers, unless a newer one of its group is kept or waits
    /// already. Never waits, never fails: it is tried until JetStream has acknowledged it.
    pub fn retain(&self, record: MasterRecord) {
        let mut pending = self.desk.pending();
        let stale = pending.get(&record.group).is_some_and(|other| !newer(&record, other));
        if !stale {
            pending.insert(record.group.clone(), record);
            self.desk.left.send_replace(pending.len());
        }
        drop(pending);
        self.desk.arrived.notify_one();
    }

    /// How the durable lane is; impaired says what is missing and what to do.
    pub fn health(&self) -> Health {
        self.desk.health.borrow().clone()
    }

    /// The same, for waiting for a change.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.desk.health.subscribe()
    }

    /// How many records wait for JetStream, for looking at it and waiting for a change.
    pub fn watch_left(&self) -> watch::Receiver<usize> {
        self.desk.left.subscribe()
    }

    /// Waits until everything is written, up to the limit; says whether it is.
    pub async fn drain(&self, limit: Duration) -> bool {
        let mut left = self.desk.left.subscribe();
        let written = left.wait_for(|count| *count == 0);
        matches!(tokio::time::timeout(limit, written).await, Ok(Ok(_)))
    }
}

impl Desk {
    fn pending(&self) -> MutexGuard<'_, BTreeMap<GroupName, MasterRecord>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Vec<MasterRecord> {
        self.pending().values().take(AT_ONCE).cloned().collect()
    }

    /// Takes a record off, unless a newer one has replaced it meanwhile.
    fn done(&self, record: &MasterRecord) {
        let mut pending = self.pending();
        if pending.get(&record.group) == Some(record) {
            pending.remove(&record.group);
        }
        self.left.send_replace(pending.len());
    }
}

/// Whether `one` replaces `other` of the same group: a higher epoch, or in the same epoch a higher
/// revision.
fn newer(one: &MasterRecord, other: &MasterRecord) -> bool {
    (one.epoch, one.revision) > (other.epoch, other.revision)
}

/// Why the durable lane could not be used.
#[derive(Debug, Error)]
pub enum RetainedError {
    /// No server with JetStream answers.
    #[error(
        "jetstream is not there: enable it in the nats servers' configuration (jetstream {{}})"
    )]
    Absent,
    /// JetStream does not answer in time.
    #[error(
        "jetstream does not answer: its leader is gone or a majority of its servers is down; \
         start the missing nats servers"
    )]
    Silent,
    /// JetStream refuses.
    #[error("jetstream refuses: {0}")]
    Refused(#[source] Box<dyn StdError + Send + Sync>),
    /// What is kept was not written by this version.
    #[error("what is kept of the group cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// The record cannot be encoded.
    #[error("the record does not fit into {MESSAGE_LIMIT} bytes: {0}")]
    Encode(#[from] vedette_wire::EncodeError),
}

/// Reads what is kept of a group, within the limit.
///
/// # Errors
/// [`RetainedError`]; a group of which nothing is kept is no error.
pub async fn retained(
    bus: &Bus,
    group: &GroupName,
    limit: Duration,
) -> Result<Option<MasterRecord>, RetainedError> {
    let bucket = Bucket::new(bus);
    tokio::time::timeout(limit, bucket.read(group)).await.unwrap_or(Err(RetainedError::Silent))
}

async fn write_all(bus: Bus, desk: Arc<Desk>, clock: Clock) {
    let mut bucket = Bucket::new(&bus);
    let mut trouble = Trouble::default();
    // Announced while JetStream was away, so that its history has none of them.
    let mut missed = BTreeMap::new();
    let mut pause = RETRY_FIRST;
    loop {
        let (written, outcome) = match bucket.open().await {
            Ok(()) => write_some(&bucket, &desk).await,
            Err(error) => (Vec::new(), Err(error)),
        };
        if trouble.since.is_some() {
            missed.extend(written.into_iter().map(|record| (record.group.clone(), record)));
        }
        match outcome {
            Ok(()) => {
                pause = RETRY_FIRST;
                trouble.over(&desk, clock.now());
                say_again(&bus, &mut missed).await;
                if desk.pending().is_empty() {
                    tokio::select! {
                        () = desk.arrived.notified() => {}
                        () = clock.sleep(RETRY_CAP), if !missed.is_empty() => {}
                    }
                }
            }
            Err(error) => {
                bucket.close();
                trouble.goes_on(&desk, clock.now(), &error);
                clock.sleep(pause).await;
                pause = (pause * 2).min(RETRY_CAP);
            }
        }
    }
}

/// Announces again what the history has missed. Readers pass over what is not newer.
async fn say_again(bus: &Bus, missed: &mut BTreeMap<GroupName, MasterRecord>) {
    while let Some(entry) = missed.first_entry() {
        let (group, epoch) = (entry.key().clone(), entry.get().epoch);
        if let Err(error) = bus.publish_kept(&entry.get().clone().into()).await {
            tracing::debug!(%group, %error, "the history still lacks the master");
            return;
        }
        tracing::info!(%group, %epoch, "announced again: the history had missed this master");
        entry.remove();
    }
}

/// Writes a few records at the same time. Those that were written; the first failure is the answer.
async fn write_some(
    bucket: &Bucket,
    desk: &Desk,
) -> (Vec<MasterRecord>, Result<(), RetainedError>) {
    let records = desk.next();
    let mut written = Vec::new();
    let outcomes = join_all(records.iter().map(|record| bucket.write(record))).await;
    let mut first = Ok(());
    for (record, outcome) in records.iter().zip(outcomes) {
        match outcome {
            Ok(Stored::Written) => {
                tracing::debug!(group = %record.group, epoch = %record.epoch, "master retained");
                desk.done(record);
                written.push(record.clone());
            }
            Ok(Stored::Newer) => {
                tracing::debug!(group = %record.group, epoch = %record.epoch,
                    "not retained: what is kept is as new or newer");
                desk.done(record);
            }
            Err(RetainedError::Encode(error)) => {
                tracing::warn!(group = %record.group, %error, "not retained: too long");
                desk.done(record);
            }
            Err(error) => first = first.and(Err(error)),
        }
    }
    (written, first)
}

/// Says once when the durable lane fails for longer than a moment, and once when it is back.
#[derive(Debug, Default)]
struct Trouble {
    since: Option<Instant>,
    said: bool,
}

impl Trouble {
    fn goes_on(&mut self, desk: &Desk, now: Instant, error: &RetainedError) {
        let since = *self.since.get_or_insert(now);
        if now.since(since) < TROUBLE_LIMIT {
            return;
        }
        let text = format!("masters are not retained for late subscribers: {error}");
        desk.health.send_if_modified(|health| {
            let next = Health::Impaired(text);
            let changed = *health != next;
            *health = next;
            changed
        });
        if !self.said {
            self.said = true;
            let waiting = desk.pending().len();
            tracing::warn!(
                from = "well", to = "impaired", cause = %error, waiting,
                "masters are not retained for late subscribers; failovers go on without"
            );
        }
    }

    fn over(&mut self, desk: &Desk, now: Instant) {
        let Some(since) = self.since.take() else { return };
        if std::mem::take(&mut self.said) {
            desk.health.send_replace(Health::Well);
            let lasted_ms = now.since(since).as_millis();
            tracing::info!(from = "impaired", to = "well", lasted_ms, "masters are retained again");
        }
    }
}
