//! The clients that are here, as the others may know them.

use crate::metrics::Left;
use crate::reply::Proto;
use crate::session::Ends;
use crate::users::User;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use vedette_model::Instant;

/// What a client has said of itself, and what it does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// As whom it has logged in, or who it is without.
    pub user: Option<Arc<User>>,
    /// The protocol it asked for.
    pub proto: Proto,
    /// `CLIENT SETNAME`.
    pub name: String,
    /// `CLIENT SETINFO`: the library's name and version.
    pub library: (String, String),
    /// Channels and patterns it listens to.
    pub subscriptions: (usize, usize),
    /// Its last command, and the subcommand.
    pub last: (&'static str, &'static str),
}

/// One client.
#[derive(Debug)]
pub struct Entry {
    /// The number of its connection.
    pub id: i64,
    /// Where it is.
    pub ends: Ends,
    /// When it came.
    pub came: Instant,
    /// Nanoseconds of the clock at its last command.
    active: AtomicU64,
    /// Notified to end it.
    pub killed: Arc<Notify>,
    said: Mutex<Said>,
}

impl Entry {
    /// What it said last.
    pub fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When its last command came.
    pub fn active(&self) -> Instant {
        Instant::from_nanos(self.active.load(Ordering::Relaxed))
    }

    /// A command came.
    pub fn touch(&self, now: Instant) {
        let since = now.since(Instant::ZERO).as_nanos();
        self.active.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Its line in `CLIENT LIST`: the fields of Redis 7.2 in their order. What there is none of here
    /// is 0, or -1 where Redis writes that.
    pub fn line(&self, now: Instant) -> Line<'_> {
        Line { entry: self, now }
    }
}

/// See [`Entry::line`].
pub struct Line<'a> {
    entry: &'a Entry,
    now: Instant,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { id, ends, came, .. } = self.entry;
        let age = self.now.since(*came).as_secs();
        let idle = self.now.since(self.entry.active()).as_secs();
        let said = self.entry.said();
        let Said { user, proto, name, library, subscriptions, last } = &*said;
        let (channels, patterns) = subscriptions;
        let flags = if channels + patterns > 0 { "P" } else { "N" };
        let user = user.as_ref().map_or("", |user| &user.name);
        let (command, sub) = last;
        let bar = if sub.is_empty() { "" } else { "|" };
        writeln!(
            f,
            "id={id} addr={} laddr={} fd=-1 name={name} age={age} idle={idle} flags={flags} db=0 \
             sub={channels} psub={patterns} ssub=0 multi=-1 qbuf=0 qbuf-free=0 argv-mem=0 \
             multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem=0 tot-mem=0 events=r \
             cmd={command}{bar}{sub} user={user} redir=-1 resp={} lib-name={} lib-ver={}",
            ends.from,
            ends.to,
            proto.number(),
            library.0,
            library.1
        )
    }
}

/// The clients that are here.
#[derive(Debug, Default)]
pub struct Registry {
    next: AtomicI64,
    clients: Mutex<BTreeMap<i64, Arc<Entry>>>,
}

impl Registry {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i64, Arc<Entry>>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client came.
    pub fn enter(&self, ends: Ends, user: Option<Arc<User>>, now: Instant) -> Arc<Entry> {
        let said = Said {
            user,
            proto: Proto::Two,
            name: String::new(),
            library: (String::new(), String::new()),
            subscriptions: (0, 0),
            last: ("NULL", ""),
        };
        let entry = Entry {
            id: self.next.fetch_add(1, Ordering::Relaxed) + 1,
            ends,
            came: now,
            active: AtomicU64::new(0),
            killed: Arc::new(Notify::new()),
            said: Mutex::new(said),
        };
        entry.touch(now);
        let entry = Arc::new(entry);
        self.lock().insert(entry.id, Arc::clone(&entry));
        entry
    }

    /// It left.
    pub fn leave(&self, id: i64) {
        self.lock().remove(&id);
    }

    /// All of them, in the order they came.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        self.lock().values().cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lock().len()
    }
}

/// Ends a client from outside.
pub fn kill(entry: &Entry) {
    tracing::debug!(client = entry.id, why = Left::Killed.word(), "a client is to leave");
    entry.killed.notify_one();
}
