//! Which notifier serves a sink: one entry in a bucket, compared and swapped.
//!
//! ```text
//!            free ──────────────► mine ◄── renewed every 2 s
//!  another's ─┬─ silent for 6 s ──►│
//!             ├─ left to me ──────►│
//!             └─ I am the nearer one: wish ─► it is left to me
//! ```
//!
//! Sinks are shared out by rendezvous hashing between the notifiers that are there. Nobody compares
//! clocks: an entry is silent if this process has not seen it change for so long.

use crate::Clock;
use crate::bus::Bus;
use crate::retained::{Bucket, RetainedError};
use async_nats::jetstream::Context;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use vedette_model::Instant;
use vedette_protocol::rank::weight;

/// How often whoever serves says so.
const RENEW: Duration = Duration::from_secs(2);
/// How long it may fail to say so before it stops serving.
const KEEP: Duration = Duration::from_secs(5);
/// How long another must be silent before it is replaced. Longer than [`KEEP`].
const SILENT: Duration = Duration::from_secs(6);
/// How often somebody who waits looks.
const LOOK: Duration = Duration::from_millis(500);
/// For one question to JetStream.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// What is written of a sink.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// The id of the notifier that serves it; empty for nobody.
    by: String,
    /// That process's incarnation; 0 if it is left to the id, whichever life it is in.
    life: u64,
    /// Who would like to.
    wish: Option<String>,
    /// Counts renewals, so that each is a change.
    beat: u64,
}

/// What to do about an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// It is ours, or may be: write this, and serve.
    Serve(Entry),
    /// It is another's: write this, and wait.
    Ask(Entry),
    /// It is ours, and another is nearer: write this, and stop.
    Leave(Entry),
    /// It is another's.
    Wait,
}

/// One process's view of one entry.
#[derive(Debug)]
struct View {
    sink: String,
    me: String,
    life: u64,
    /// The revision last seen, and since when.
    seen: Option<(u64, Instant)>,
}

impl View {
    fn decide(&mut self, entry: Option<&Entry>, revision: u64, now: Instant) -> Step {
        let mine = |beat| Entry { by: self.me.clone(), life: self.life, wish: None, beat };
        let Some(entry) = entry.filter(|entry| !entry.by.is_empty()) else {
            return Step::Serve(mine(0));
        };
        if entry.by == self.me {
            return match &entry.wish {
                Some(other) if entry.life == self.life && self.is_nearer(other, &self.me) => {
                    let by = other.clone();
                    Step::Leave(Entry { by, life: 0, wish: None, beat: entry.beat + 1 })
                }
                Some(_) | None => Step::Serve(mine(entry.beat + 1)),
            };
        }
        let since = match self.seen {
            Some((seen, since)) if seen == revision => since,
            Some(_) | None => now,
        };
        self.seen = Some((revision, since));
        if now.since(since) >= SILENT {
            return Step::Serve(mine(0));
        }
        if entry.wish.as_ref() != Some(&self.me) && self.is_nearer(&self.me, &entry.by) {
            return Step::Ask(Entry { wish: Some(self.me.clone()), ..entry.clone() });
        }
        Step::Wait
    }

    fn is_nearer(&self, one: &str, other: &str) -> bool {
        let consumer = format!("{}{}", super::line::PREFIX, self.sink);
        weight(&consumer, one) > weight(&consumer, other)
    }
}

/// Who serves a sink, as far as it is written down.
pub(super) async fn server_of(bus: &Bus, jetstream: &Context, sink: &str) -> Option<String> {
    let bucket = jetstream.get_key_value(bus.subjects().notifiers_bucket()).await.ok()?;
    let value = bucket.get(sink).await.ok()??;
    let entry: Entry = serde_json::from_slice(&value).ok()?;
    Some(entry.by).filter(|by| !by.is_empty())
}

/// The right to serve a sink.
pub(super) struct Lease {
    bucket: Bucket,
    view: View,
    clock: Clock,
}

impl Lease {
    pub(super) fn new(bus: &Bus, sink: &str) -> Self {
        let name = bus.subjects().notifiers_bucket();
        let bucket = Bucket::named(bus, name, "Which notifier serves which sink");
        let me = bus.sender();
        let view = View { sink: sink.into(), me: me.id.clone(), life: me.incarnation, seen: None };
        Self { bucket, view, clock: Clock::start() }
    }

    /// Waits until the sink is ours.
    pub(super) async fn take(&mut self) {
        loop {
            match self.step().await {
                Ok(Some(Step::Serve(_))) => return,
                Ok(Some(Step::Ask(_) | Step::Leave(_) | Step::Wait) | None) => {}
                Err(error) => tracing::debug!(sink = self.view.sink, %error, "no lease"),
            }
            self.clock.sleep(LOOK).await;
        }
    }

    /// Says again and again that we serve it, until it is ours no longer. Why.
    pub(super) async fn keep(&mut self) -> String {
        let mut said = self.clock.now();
        loop {
            self.clock.sleep(RENEW).await;
            let begun = self.clock.now();
            match self.step().await {
                Ok(Some(Step::Serve(_))) => said = begun,
                Ok(Some(Step::Leave(entry))) => return format!("{} is to serve it", entry.by),
                Ok(Some(Step::Ask(_) | Step::Wait)) => return "another serves it".into(),
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(sink = self.view.sink, %error, "the lease was not renewed");
                    self.bucket.close();
                }
            }
            if self.clock.now().since(said) >= KEEP {
                return "jetstream does not take the renewal".into();
            }
        }
    }

    /// Leaves it to whoever comes first.
    pub(super) async fn leave(&mut self) {
        let left = async {
            self.bucket.open().await?;
            let (entry, revision) = self.entry().await?;
            match entry {
                Some(entry) if entry.by == self.view.me => {
                    let by = entry.wish.unwrap_or_default();
                    self.write(&Entry { by, ..Entry::default() }, revision).await
                }
                Some(_) | None => Ok(true),
            }
        };
        if !matches!(tokio::time::timeout(ANSWER_LIMIT, left).await, Ok(Ok(true))) {
            tracing::debug!(sink = self.view.sink, "not left: others take it over in seconds");
        }
    }

    /// What to do, done; nothing if somebody else was quicker.
    async fn step(&mut self) -> Result<Option<Step>, RetainedError> {
        let step = async {
            self.bucket.open().await?;
            let (entry, revision) = self.entry().await?;
            let step = self.view.decide(entry.as_ref(), revision, self.clock.now());
            let written = match &step {
                Step::Serve(entry) | Step::Ask(entry) | Step::Leave(entry) => {
                    self.write(entry, revision).await?
                }
                Step::Wait => true,
            };
            Ok(written.then_some(step))
        };
        let limited = tokio::time::timeout(ANSWER_LIMIT, step).await;
        limited.unwrap_or(Err(RetainedError::Silent))
    }

    async fn entry(&self) -> Result<(Option<Entry>, u64), RetainedError> {
        let (value, revision) = self.bucket.value(&self.view.sink).await?;
        // What cannot be read is nobody's.
        let entry = value.and_then(|value| serde_json::from_slice(&value).ok());
        Ok((entry, revision))
    }

    async fn write(&self, entry: &Entry, revision: u64) -> Result<bool, RetainedError> {
        let value = serde_json::to_vec(entry).map_err(|e| RetainedError::Refused(Box::new(e)))?;
        self.bucket.swap(&self.view.sink, value.into(), revision).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(me: &str) -> View {
        View { sink: "webhook".into(), me: me.into(), life: 7, seen: None }
    }

    fn entry(by: &str, life: u64) -> Entry {
        Entry { by: by.into(), life, ..Entry::default() }
    }

    fn at(millis: u64) -> Instant {
        Instant::from_millis(millis)
    }

    /// Two ids, the nearer one first.
    fn two() -> (&'static str, &'static str) {
        if view("n1").is_nearer("n1", "n2") { ("n1", "n2") } else { ("n2", "n1") }
    }

    #[test]
    fn a_free_sink_is_taken_and_renewed() {
        let mut view = view("n1");
        assert_eq!(view.decide(None, 0, at(0)), Step::Serve(entry("n1", 7)));
        let renewed = Step::Serve(Entry { beat: 1, ..entry("n1", 7) });
        assert_eq!(view.decide(Some(&entry("n1", 7)), 3, at(2_000)), renewed);
        assert_eq!(view.decide(Some(&Entry::default()), 4, at(9)), Step::Serve(entry("n1", 7)));
    }

    #[test]
    fn a_former_lifes_sink_is_taken_at_once_whatever_was_wished() {
        let old = Entry { wish: Some("n2".into()), ..entry("n1", 6) };
        assert!(matches!(view("n1").decide(Some(&old), 3, at(0)), Step::Serve(_)));
    }

    #[test]
    fn one_that_renews_is_not_replaced_and_one_that_is_silent_is() {
        let (near, far) = two();
        let mut view = view(far);
        for n in 0..10 {
            assert_eq!(view.decide(Some(&entry(near, 1)), n, at(n * 5_000)), Step::Wait);
        }
        assert_eq!(view.decide(Some(&entry(near, 1)), 9, at(50_999)), Step::Wait);
        let step = view.decide(Some(&entry(near, 1)), 9, at(51_000));
        assert_eq!(step, Step::Serve(entry(far, 7)));
    }

    #[test]
    fn the_nearer_one_asks_once_and_is_given_the_sink() {
        let (near, far) = two();
        let mut nearer = view(near);
        let Step::Ask(asked) = nearer.decide(Some(&entry(far, 7)), 1, at(0)) else {
            panic!("it asks")
        };
        assert_eq!(nearer.decide(Some(&asked), 2, at(500)), Step::Wait);
        let Step::Leave(left) = view(far).decide(Some(&asked), 2, at(600)) else {
            panic!("it leaves")
        };
        assert_eq!(left.by, near);
        assert!(matches!(nearer.decide(Some(&left), 3, at(700)), Step::Serve(_)));
        // The one who left goes on waiting.
        assert_eq!(view(far).decide(Some(&left), 3, at(700)), Step::Wait);
    }

    #[test]
    fn a_wish_of_one_that_is_not_nearer_changes_nothing() {
        let (near, far) = two();
        let wished = Entry { wish: Some(far.into()), ..entry(near, 7) };
        assert!(matches!(view(near).decide(Some(&wished), 2, at(0)), Step::Serve(_)));
    }

    #[test]
    fn sinks_are_spread_over_notifiers() {
        let names = ["webhook", "slack", "pagerduty", "email", "alertmanager", "cloudevents"];
        let of = |sink: &&str| View { sink: (*sink).into(), ..view("n1") };
        let first = names.iter().filter(|sink| of(sink).is_nearer("n1", "n2")).count();
        assert!((1..names.len()).contains(&first), "{first} of {}", names.len());
    }
}
