//! Listens to everything that is said on the bus.

use crate::{describe, nats, now, pick};
use anyhow::{Context, Result, bail};
use async_nats::Message;
use futures::StreamExt;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;
use vedette_model::{Fact, FactKind, GroupName, MasterRecord, NodeAddr, Sender};
use vedette_wire::{Header, KIND, Subjects, decode_message};

/// A fact as it came by.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When, on the tests' clock.
    pub at: Instant,
    /// On which subject.
    pub subject: String,
    /// Who sent it; absent for what applications ask without our headers.
    pub sender: Option<Sender>,
    /// The sender's count of its messages.
    pub sequence: Option<u64>,
    /// What it says.
    pub fact: Fact,
}

/// Records facts under one prefix, from its start on.
pub struct Watcher {
    record: Arc<Record>,
    changed: watch::Receiver<usize>,
    // Ends with the watcher.
    _tasks: JoinSet<()>,
}

struct Record {
    log: Mutex<Log>,
}

#[derive(Default)]
struct Log {
    seen: Vec<Seen>,
    bad: Vec<String>,
    /// Each message comes once from each server: nothing, if there is only one.
    known: Option<HashSet<(Sender, u64, String)>>,
}

impl Record {
    fn with<T>(&self, act: impl FnOnce(&mut Log) -> T) -> T {
        // A panic elsewhere does not spoil a log that is only ever added to.
        act(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Watcher {
    /// Listens to everything on each of these servers, so that the death of one loses nothing.
    ///
    /// # Errors
    /// If one cannot be reached.
    pub async fn start(urls: &[String], prefix: &str) -> Result<Self> {
        let subjects = Subjects::parse(prefix)?;
        let all = vec![subjects.everything()];
        Self::listen(urls, subjects, all).await
    }

    /// Listens to facts of these kinds only, where all of them would be too much.
    ///
    /// # Errors
    /// If a server cannot be reached.
    pub async fn start_for(urls: &[String], prefix: &str, kinds: &[FactKind]) -> Result<Self> {
        let subjects = Subjects::parse(prefix)?;
        let patterns = kinds.iter().filter_map(|kind| subjects.pattern(*kind)).collect();
        Self::listen(urls, subjects, patterns).await
    }

    async fn listen(urls: &[String], subjects: Subjects, patterns: Vec<String>) -> Result<Self> {
        let known = (urls.len() > 1).then(HashSet::new);
        let log = Log { known, ..Log::default() };
        let record = Arc::new(Record { log: Mutex::new(log) });
        let (tell, changed) = watch::channel(0);
        let mut tasks = JoinSet::new();
        for url in urls {
            let client = nats::connect(std::slice::from_ref(url)).await?;
            let mut heard = Vec::new();
            for pattern in &patterns {
                heard.push(client.subscribe(pattern.clone()).await?);
            }
            let mut messages = futures::stream::select_all(heard);
            client.flush().await?;
            let (record, subjects, tell) = (record.clone(), subjects.clone(), tell.clone());
            tasks.spawn(async move {
                // Holds the connection.
                let _client = client;
                while let Some(message) = messages.next().await {
                    let count = record.with(|log| {
                        log.add(&subjects, &message);
                        log.seen.len()
                    });
                    tell.send_replace(count);
                }
            });
        }
        Ok(Self { record, changed, _tasks: tasks })
    }

    /// How many facts have come: the place to look from, later.
    pub fn mark(&self) -> usize {
        self.record.with(|log| log.seen.len())
    }

    /// All facts since a mark.
    pub fn since(&self, mark: usize) -> Vec<Seen> {
        self.record.with(|log| log.seen.get(mark..).unwrap_or_default().to_vec())
    }

    /// All facts since it was asked last. They are kept no longer, and marks from before are of no
    /// more use: for those who hear so much that it would fill the memory.
    pub fn take(&self) -> Vec<Seen> {
        self.record.with(|log| std::mem::take(&mut log.seen))
    }

    /// What could not be understood.
    pub fn undecodable(&self) -> Vec<String> {
        self.record.with(|log| log.bad.clone())
    }

    /// The first fact since a mark that `pick` takes, if there is one by now.
    pub fn first<T>(
        &self,
        mark: usize,
        mut pick: impl FnMut(&Fact) -> Option<T>,
    ) -> Option<(Instant, T)> {
        self.record.with(|log| {
            let mut since = log.seen.iter().skip(mark);
            since.find_map(|seen| pick(&seen.fact).map(|value| (seen.at, value)))
        })
    }

    /// Waits for the first fact since a mark that `pick` takes.
    ///
    /// # Errors
    /// If none comes within the limit; the error names what was waited for.
    pub async fn wait<T>(
        &self,
        mark: usize,
        limit: Duration,
        what: &str,
        mut pick: impl FnMut(&Fact) -> Option<T>,
    ) -> Result<(Instant, T)> {
        let mut changed = self.changed.clone();
        let found = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = self.first(mark, &mut pick) {
                    return Ok(found);
                }
                if changed.changed().await.is_err() {
                    bail!("the watcher's connections are closed");
                }
            }
        };
        tokio::time::timeout(limit, found)
            .await
            .with_context(|| format!("not on the bus within {limit:?}: {what}"))?
    }

    /// Waits for the announcement of another master than this one.
    ///
    /// # Errors
    /// If none comes within the limit.
    pub async fn new_master(
        &self,
        mark: usize,
        limit: Duration,
        group: &GroupName,
        old: &NodeAddr,
    ) -> Result<(Instant, MasterRecord)> {
        let what = format!("another master of {group} than {old}");
        self.wait(mark, limit, &what, |fact| {
            let record = pick::master(fact)?;
            (record.group == *group && record.master != *old).then(|| record.clone())
        })
        .await
    }

    /// Everything of interest since a mark, one line each, in milliseconds from `zero`. What a
    /// sender only repeats is left out.
    pub fn timeline(&self, mark: usize, zero: Instant) -> String {
        let mut text = String::new();
        let mut last = HashMap::new();
        for seen in self.since(mark) {
            let Some(words) = describe(&seen.fact) else { continue };
            let ms = signed_ms(seen.at, zero);
            let sender = seen.sender.map_or_else(|| "?".into(), |sender| sender.to_string());
            if last.insert(sender.clone(), words.clone()).as_ref() == Some(&words) {
                continue;
            }
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{ms:>10.1}  {sender:<18} {words}");
        }
        text
    }
}

impl Log {
    fn add(&mut self, subjects: &Subjects, message: &Message) {
        let at = now();
        let subject = message.subject.to_string();
        let header = |name: &str| {
            let value = message.headers.as_ref()?.get(name)?;
            Some(value.as_str().to_string())
        };
        match decode_message(subjects, &subject, header, &message.payload) {
            Ok((header, fact)) => {
                if self.is_new(header.as_ref(), &subject) {
                    let sequence = header.as_ref().map(|header| header.sequence);
                    let sender = header.map(|header| header.sender);
                    self.seen.push(Seen { at, subject, sender, sequence, fact });
                }
            }
            // By an empty message to itself a process sees that its subscriptions stand.
            Err(_) if message.payload.is_empty() && header(KIND).is_none() => {}
            Err(error) => self.bad.push(format!("{subject}: {error}")),
        }
    }

    fn is_new(&mut self, header: Option<&Header>, subject: &str) -> bool {
        let (Some(header), Some(known)) = (header, &mut self.known) else { return true };
        known.insert((header.sender.clone(), header.sequence, subject.into()))
    }
}

/// Milliseconds from `zero` to `at`, negative if `at` came first.
pub fn signed_ms(at: Instant, zero: Instant) -> f64 {
    let after = at.saturating_duration_since(zero).as_secs_f64();
    let before = zero.saturating_duration_since(at).as_secs_f64();
    (after - before) * 1e3
}
