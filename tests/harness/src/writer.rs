//! An application: writes without a pause, follows the master, remembers what was acknowledged.

use crate::wait::{now, rest, within};
use crate::{Node, nats, node};
use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use vedette_model::{Epoch, Fact, FactKind, GroupName, MasterQuery, NodeAddr};
use vedette_wire::{Subjects, decode};

/// An application's patience with one command; then it asks for the master again.
const PATIENCE: Duration = Duration::from_millis(250);
/// Without an acknowledgement for so long the writer asks who is master.
const ASK_AFTER: Duration = Duration::from_millis(500);
/// Between two writes, and between two attempts to connect.
const REST: Duration = Duration::from_millis(1);
/// After so many writes the writer asks whether a replica has them.
const CONFIRM_EVERY: u64 = 10;

/// No two writers of one process write the same numbers.
const NUMBERS_APART: u64 = 1_000_000_000;
/// Writers started so far.
static STARTED: AtomicU64 = AtomicU64::new(0);

/// One acknowledged write, `SET seq:<number> <number>`.
#[derive(Debug, Clone)]
pub struct Write {
    /// Its number.
    pub number: u64,
    /// When the application wanted it: of what failed and was tried again, the first attempt.
    pub wanted: Instant,
    /// When the acknowledgement came.
    pub at: Instant,
    /// Who acknowledged.
    pub node: NodeAddr,
    /// The epoch in which the writer took it for the master; none before the first announcement.
    pub epoch: Option<Epoch>,
    /// Whether a replica is known to have received it (`WAIT`).
    pub received: bool,
    /// Which of the writer's connections.
    connection: u64,
}

/// Writes until it is stopped.
pub struct Writer {
    acknowledged: Arc<Mutex<Vec<Write>>>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    follower: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts writing to `master` and follows the public subject from then on.
    ///
    /// # Errors
    /// If NATS cannot be reached.
    pub async fn start(
        urls: &[String],
        prefix: &str,
        group: &GroupName,
        master: &NodeAddr,
        password: Option<&str>,
    ) -> Result<Self> {
        let subjects = Subjects::parse(prefix)?;
        let pattern = subjects.pattern(FactKind::MasterRecord).context("masters are published")?;
        let question = subjects.of(&Fact::MasterQuery(MasterQuery { group: group.clone() }));
        let question = question.context("an application may ask")?;
        let client = nats::connect(urls).await?;
        let mut messages = client.subscribe(pattern).await?;
        client.flush().await?;
        let (tell, follow) = watch::channel((master.clone(), None));
        let wrote = Arc::new(AtomicBool::new(true));
        let (group, fruitful) = (group.clone(), Arc::clone(&wrote));
        let follower = tokio::spawn(async move {
            loop {
                let heard = tokio::select! {
                    message = messages.next() => message,
                    () = rest(ASK_AFTER) => {
                        if fruitful.swap(false, Ordering::Relaxed) {
                            continue;
                        }
                        // Announcements are said once, and NATS may have lost one.
                        let asked = client.request(question.clone(), "".into());
                        tokio::time::timeout(ASK_AFTER, asked).await.ok().and_then(Result::ok)
                    }
                };
                let Some(message) = heard else { continue };
                if let Ok(Fact::MasterRecord(record)) =
                    decode(FactKind::MasterRecord, &message.payload)
                    && record.group == group
                {
                    // The rule that every application follows: never back to an older epoch.
                    tell.send_if_modified(|known| {
                        let newer = known.1.is_none_or(|epoch| record.epoch > epoch);
                        if newer {
                            *known = (record.master, Some(record.epoch));
                        }
                        newer
                    });
                }
            }
        });
        Ok(Self::moved_by(follow, wrote, password, Some(follower)))
    }

    /// Starts writing to whoever it is told is master. Whoever tells must not end before the writer
    /// does.
    pub fn told(follow: watch::Receiver<Target>) -> Self {
        Self::moved_by(follow, Arc::default(), None, None)
    }

    fn moved_by(
        follow: watch::Receiver<Target>,
        wrote: Arc<AtomicBool>,
        password: Option<&str>,
        follower: Option<JoinHandle<()>>,
    ) -> Self {
        let acknowledged = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = watch::channel(false);
        let task = Task {
            follow,
            wrote,
            password: password.map(Into::into),
            acknowledged: acknowledged.clone(),
            connections: 0,
            wanted: None,
            number: STARTED.fetch_add(1, Ordering::Relaxed) * NUMBERS_APART,
        };
        let task = tokio::spawn(task.run(stopped));
        Self { acknowledged, stop, task, follower }
    }

    /// What has been acknowledged so far.
    pub fn acknowledged(&self) -> Vec<Write> {
        lock(&self.acknowledged).clone()
    }

    /// What was acknowledged after this moment. All of them may be a hundred thousand, and the
    /// writer waits while they are copied.
    pub fn since(&self, moment: Instant) -> Vec<Write> {
        let writes = lock(&self.acknowledged);
        writes[writes.partition_point(|write| write.at <= moment)..].to_vec()
    }

    /// The last one.
    pub fn last(&self) -> Option<Write> {
        lock(&self.acknowledged).last().cloned()
    }

    /// Waits for the first acknowledged write on this node after `since`.
    ///
    /// # Errors
    /// If there is none within the limit.
    pub async fn write_on(
        &self,
        node: &NodeAddr,
        since: Instant,
        limit: Duration,
    ) -> Result<Write> {
        let what = format!("a write acknowledged by {node}");
        within(limit, &what, async || {
            self.since(since).into_iter().find(|write| write.node == *node)
        })
        .await
    }

    /// Those of the writes so far that the node does not hold.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn missing_on(&self, node: &Node) -> Result<Vec<Write>> {
        Writes { acknowledged: self.acknowledged() }.missing_on(node).await
    }

    /// Stops writing.
    ///
    /// # Errors
    /// If the writer's task failed.
    pub async fn stop(mut self) -> Result<Writes> {
        self.stop.send_replace(true);
        (&mut self.task).await.context("the writer")?;
        Ok(Writes { acknowledged: self.acknowledged() })
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(follower) = &self.follower {
            follower.abort();
        }
    }
}

/// Everything a writer had acknowledged.
pub struct Writes {
    /// In order.
    pub acknowledged: Vec<Write>,
}

impl Writes {
    /// Those that the node does not hold.
    ///
    /// # Errors
    /// If the node does not answer.
    pub async fn missing_on(&self, node: &Node) -> Result<Vec<Write>> {
        let mut missing = Vec::new();
        for part in self.acknowledged.chunks(500) {
            let keys: Vec<String> =
                part.iter().map(|write| format!("seq:{}", write.number)).collect();
            let mut words = vec!["MGET"];
            words.extend(keys.iter().map(String::as_str));
            let values: Vec<Option<u64>> = node.command(&words).await?;
            ensure!(values.len() == part.len(), "MGET answers as many values as it got keys");
            let pairs = part.iter().zip(values);
            missing.extend(
                pairs
                    .filter(|(write, value)| *value != Some(write.number))
                    .map(|(write, _)| write.clone()),
            );
        }
        Ok(missing)
    }

    /// Fails if the node lacks a write that a replica had received before it was acknowledged as
    /// such. Returns how many acknowledged writes it holds.
    ///
    /// # Errors
    /// Names the lost writes.
    pub async fn nothing_received_is_missing_on(&self, node: &Node) -> Result<usize> {
        let missing = self.missing_on(node).await?;
        let lost: Vec<u64> = missing.iter().filter(|w| w.received).map(|w| w.number).collect();
        ensure!(
            lost.is_empty(),
            "a replica had received writes that {} lacks: {lost:?}",
            node.name()
        );
        Ok(self.acknowledged.len() - missing.len())
    }
}

/// Who is master, and since which epoch if that is known.
pub type Target = (NodeAddr, Option<Epoch>);

struct Task {
    follow: watch::Receiver<Target>,
    /// Whether anything was acknowledged since somebody last looked.
    wrote: Arc<AtomicBool>,
    password: Option<String>,
    acknowledged: Arc<Mutex<Vec<Write>>>,
    connections: u64,
    number: u64,
    /// Since when a write is wanted that nobody has acknowledged.
    wanted: Option<Instant>,
}

impl Task {
    async fn run(mut self, mut stopped: watch::Receiver<bool>) {
        tokio::select! {
            // Closed or true: either way the end.
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.write() => {}
        }
    }

    async fn write(&mut self) {
        loop {
            let master = self.follow.borrow_and_update().clone();
            let mut follow = self.follow.clone();
            tokio::select! {
                // At once, also when the old master hangs.
                _ = follow.changed() => continue,
                () = self.visit(&master) => {}
            }
            rest(REST).await;
        }
    }

    async fn visit(&mut self, master: &Target) {
        if let Ok(mut connection) = connect(&master.0, self.password.as_deref()).await {
            self.connections += 1;
            self.write_to(master, &mut connection).await;
        }
    }

    /// Until the first trouble.
    async fn write_to(&mut self, (node, epoch): &Target, connection: &mut MultiplexedConnection) {
        loop {
            self.number += 1;
            let number = self.number;
            let wanted = *self.wanted.get_or_insert_with(now);
            let mut set = redis::cmd("SET");
            set.arg(format!("seq:{number}")).arg(number);
            if set.query_async::<()>(connection).await.is_err() {
                return;
            }
            self.wanted = None;
            let write = Write {
                number,
                wanted,
                at: now(),
                node: node.clone(),
                epoch: *epoch,
                received: false,
                connection: self.connections,
            };
            lock(&self.acknowledged).push(write);
            self.wrote.store(true, Ordering::Relaxed);
            if number.is_multiple_of(CONFIRM_EVERY) {
                let mut wait = redis::cmd("WAIT");
                wait.arg(1).arg(20);
                match wait.query_async::<u64>(connection).await {
                    Ok(0) => {}
                    Ok(_) => self.confirm(),
                    Err(_) => return,
                }
            }
            rest(REST).await;
        }
    }

    /// A replica has all that this connection wrote.
    fn confirm(&self) {
        let mut writes = lock(&self.acknowledged);
        let own = writes.iter_mut().rev().take_while(|w| w.connection == self.connections);
        own.take_while(|write| !write.received).for_each(|write| write.received = true);
    }
}

async fn connect(master: &NodeAddr, password: Option<&str>) -> Result<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(PATIENCE))
        .set_response_timeout(Some(PATIENCE));
    let client = node::client(master, password)?;
    Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
}

fn lock(writes: &Mutex<Vec<Write>>) -> std::sync::MutexGuard<'_, Vec<Write>> {
    // A list that is only added to is whole after a panic elsewhere.
    writes.lock().unwrap_or_else(PoisonError::into_inner)
}
