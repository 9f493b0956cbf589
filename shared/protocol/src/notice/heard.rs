//! What was heard on the bus and may be in the stream, or not.
//!
//! ```text
//!  heard ─► waits ─┬─ the stream has it ──► nothing: whoever holds the sink gets it from there
//!                  ├─ it has it not, yet ─► told at once
//!                  └─ no stream ──────────► told at once
//! ```

use super::seen::Seen;
use super::{HEARD_LIMIT, STORED_WITHIN};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use vedette_model::{Event, Instant};

#[derive(Debug, Default)]
pub(super) struct Heard {
    /// What waits, by id; at most [`HEARD_LIMIT`].
    waiting: BTreeMap<String, (Instant, u64, Event)>,
    /// The same in order: until when, and the number of the arrival.
    order: BTreeSet<(Instant, u64, String)>,
    /// What the stream has.
    stored: Seen,
    arrivals: u64,
    /// Whether there is a stream, once that is known.
    reached: Option<bool>,
}

impl Heard {
    /// An event from the bus. What is to be told now, since the stream will not bring it.
    pub(super) fn hear(&mut self, event: &Event, now: Instant) -> Vec<Event> {
        if self.stored.contains(&event.id) || self.waiting.contains_key(&event.id) {
            return Vec::new();
        }
        if self.reached == Some(false) {
            return Vec::from([event.clone()]);
        }
        self.arrivals += 1;
        let until = now + STORED_WITHIN;
        self.order.insert((until, self.arrivals, event.id.clone()));
        self.waiting.insert(event.id.clone(), (until, self.arrivals, event.clone()));
        if self.order.len() > HEARD_LIMIT {
            return self.first().into_iter().collect();
        }
        Vec::new()
    }

    /// Whether it is known that there is no stream.
    pub(super) fn is_without(&self) -> bool {
        self.reached == Some(false)
    }

    pub(super) fn is_waiting(&self, id: &str) -> bool {
        self.waiting.contains_key(id)
    }

    /// The stream has it.
    pub(super) fn stored(&mut self, id: &str) {
        self.stored.insert(id);
        if let Some((until, arrival, event)) = self.waiting.remove(id) {
            self.order.remove(&(until, arrival, event.id));
        }
    }

    /// There is a stream, or none any more. What is to be told now.
    pub(super) fn reach(&mut self, reached: bool) -> Vec<Event> {
        self.reached = Some(reached);
        if reached {
            return Vec::new();
        }
        core::iter::from_fn(|| self.first()).collect()
    }

    /// What the stream should have by now and has not.
    pub(super) fn overdue(&mut self, now: Instant) -> Vec<Event> {
        let mut overdue = Vec::new();
        while self.next().is_some_and(|at| at <= now) {
            overdue.extend(self.first());
        }
        overdue
    }

    /// When something will be overdue.
    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _, _)| *at)
    }

    fn first(&mut self) -> Option<Event> {
        let (_, _, id) = self.order.pop_first()?;
        self.waiting.remove(&id).map(|(_, _, event)| event)
    }
}
