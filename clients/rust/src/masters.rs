//! Who is master, now and at each change.

use crate::bucket::Bucket;
use crate::newest::replace;
use crate::{Error, Master};
use async_nats::{Client, Message, Subscriber};
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;
use tokio::time::{interval, timeout};
use vedette_model::{Fact, FactKind, GroupName};
use vedette_wire::{Subjects, decode, is_handed_over};

/// For an orchestrator to answer, and for JetStream.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Asked again although nothing seems wrong: NATS says each announcement once, and may lose it.
const ASK_EVERY: Duration = Duration::from_secs(5);
/// The least pause after a question. It doubles up to the cap while nobody answers or somebody
/// doubts the answers.
const PAUSE_FIRST: Duration = Duration::from_millis(100);
const PAUSE_CAP: Duration = Duration::from_secs(1);
/// How often NATS is looked at for a new connection.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A stream of the masters of one group, each newer than the one before: the present master
/// first, then the new one after each change. A reader that is slow misses what was replaced
/// meanwhile and gets the newest.
///
/// It ends when the NATS client is closed, and never because of an error. While nobody knows who
/// is master, nothing comes.
///
/// Who is master is asked at the start, after each reconnect to NATS, every 5 s, and at each
/// [`Masters::doubt`]. If no orchestrator answers within 1 s, the last master that JetStream
/// retained counts until one does; it may be out of date. A question that nobody answered is asked
/// again after 100 ms, doubling to 1 s.
///
/// # What never happens
///
/// A record with a lower epoch, or with a lower revision of the same epoch, never follows a higher
/// one. This also holds where operators threw the voters' files away and the epochs begin anew:
/// watch again then (restart the application).
///
/// What a stream of JetStream hands over on the subject of the announcements, or as an answer, is
/// not taken: whoever may read a stream chooses where its messages go.
pub struct Masters {
    changes: BoxStream<'static, Master>,
    newest: watch::Receiver<Option<Master>>,
    doubt: Arc<Notify>,
    _task: Task,
}

/// Ends when this goes.
pub(crate) struct Task(pub(crate) AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Masters {
    /// Begins to watch a group. `prefix` is the word at the beginning of all subjects, `vedette`
    /// unless `nats.prefix` says otherwise; `group` is the plain name, without escapes. The client
    /// needs the right to subscribe to `<prefix>.v1.master.<group>` and to its inbox, to publish
    /// to `<prefix>.v1.ask.master.<group>`, and to read the bucket `<prefix>-masters`, from the
    /// JetStream domain `<prefix>` if there is one.
    ///
    /// Starts one task on the present tokio runtime; it ends with the returned value.
    ///
    /// # Errors
    /// [`Error::Prefix`] and [`Error::Group`] for words that cannot be used, [`Error::Subscribe`]
    /// if the client is closed. That NATS or the orchestrators cannot be reached is no error.
    pub async fn watch(nats: Client, prefix: &str, group: &str) -> Result<Self, Error> {
        let subjects = Subjects::parse(prefix)?;
        let group = GroupName::parse(group)?;
        let question = subjects.ask_master(&group);
        // Before the first question, so that no change between the two is missed.
        let announcements = nats.subscribe(subjects.master(&group)).await?;
        let (tell, newest) = watch::channel(None);
        let doubt = Arc::new(Notify::new());
        let bucket = Bucket::new(&nats, prefix, &subjects, &group);
        let watcher = Watcher { nats, group, question, bucket, tell, doubt: Arc::clone(&doubt) };
        let task = tokio::spawn(watcher.run(announcements));
        let changes = stream::unfold(newest.clone(), next).boxed();
        Ok(Self { changes, newest, doubt, _task: Task(task.abort_handle()) })
    }

    /// The newest master that is known at this moment; none before the first answer.
    pub fn present(&self) -> Option<Master> {
        self.newest.borrow().clone()
    }

    /// Has the master asked for again: at once, and while the doubts go on after 100 ms, doubling to
    /// 1 s. For applications that learned from the node itself (`READONLY`, a broken connection)
    /// that it may not be master any more.
    pub fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// For those who wait for a change beside the stream.
    pub(crate) fn newest(&self) -> watch::Receiver<Option<Master>> {
        self.newest.clone()
    }
}

impl Stream for Masters {
    type Item = Master;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Master>> {
        self.changes.poll_next_unpin(context)
    }
}

async fn next(
    mut newest: watch::Receiver<Option<Master>>,
) -> Option<(Master, watch::Receiver<Option<Master>>)> {
    loop {
        newest.changed().await.ok()?;
        let master = newest.borrow_and_update().clone();
        if let Some(master) = master {
            return Some((master, newest));
        }
    }
}

struct Watcher {
    nats: Client,
    group: GroupName,
    question: String,
    bucket: Bucket,
    tell: watch::Sender<Option<Master>>,
    doubt: Arc<Notify>,
}

impl Watcher {
    /// Until the client is closed.
    async fn run(self, announcements: Subscriber) {
        tokio::select! {
            () = self.hear(announcements) => {}
            () = self.ask_for_ever() => {}
        }
    }

    async fn hear(&self, mut announcements: Subscriber) {
        while let Some(message) = announcements.next().await {
            self.hears(&message);
        }
    }

    async fn ask_for_ever(&self) {
        let mut pause = PAUSE_FIRST;
        loop {
            let connects = self.connects();
            let answered = self.ask().await;
            if !answered {
                self.look_up().await;
            }
            // Whoever doubts, the orchestrators are asked by many.
            let mut reconnected = timeout(pause, self.reconnected(connects)).await.is_ok();
            let mut calm = answered;
            if answered && !reconnected {
                let hurry = async {
                    tokio::select! {
                        () = self.doubt.notified() => false,
                        () = self.reconnected(connects) => true,
                    }
                };
                let hurried = timeout(ASK_EVERY, hurry).await;
                calm = hurried.is_err();
                reconnected = hurried == Ok(true);
            }
            pause = if calm || reconnected { PAUSE_FIRST } else { (pause * 2).min(PAUSE_CAP) };
        }
    }

    /// Asks the orchestrators; says whether one answered.
    async fn ask(&self) -> bool {
        let request = self.nats.request(self.question.clone(), "".into());
        match timeout(ANSWER_LIMIT, request).await {
            Ok(Ok(answer)) => self.hears(&answer),
            Ok(Err(_)) | Err(_) => false,
        }
    }

    async fn look_up(&self) {
        if let Ok(Some(kept)) = timeout(ANSWER_LIMIT, self.bucket.read()).await {
            self.consider(&kept);
        }
    }

    /// Considers what somebody says; what a stream says again is nobody's word.
    fn hears(&self, message: &Message) -> bool {
        let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.to_string());
        !is_handed_over(message.reply.as_deref(), header) && self.consider(&message.payload)
    }

    /// Takes a record over if it is newer; says whether it was one of this group.
    fn consider(&self, payload: &[u8]) -> bool {
        let Ok(Fact::MasterRecord(record)) = decode(FactKind::MasterRecord, payload) else {
            return false;
        };
        if record.group != self.group {
            return false;
        }
        self.tell.send_if_modified(|known| replace(known, record));
        true
    }

    /// How often the connection to NATS was made.
    fn connects(&self) -> u64 {
        self.nats.statistics().connects.load(Ordering::Relaxed)
    }

    /// What was announced while there was no connection has been missed.
    async fn reconnected(&self, before: u64) {
        let mut look = interval(LOOK_EVERY);
        while self.connects() == before {
            look.tick().await;
        }
    }
}
