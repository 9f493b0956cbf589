//! One sink's queue: what waits, what is in flight, what rests before a retry.

use super::{
    FIRST_REST, LONGEST_REST, Outcome, Output, PARALLEL_LIMIT, Sink, TRIES_LIMIT, WAITING_LIMIT,
    WORDS_LIMIT,
};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use vedette_model::{Event, EventName, GroupName, Instant};

/// An event on its way.
#[derive(Debug)]
struct Parcel {
    event: Event,
    /// Its number in order of arrival.
    arrival: u64,
    /// How often it was tried.
    tries: u32,
    /// When it may be tried next.
    not_before: Instant,
}

#[derive(Debug)]
pub(super) struct Lane {
    sink: Sink,
    /// What waits, by group and in order; at most [`WAITING_LIMIT`] in all. No empty queues.
    queues: BTreeMap<GroupName, VecDeque<Parcel>>,
    /// The same, by age.
    ages: BTreeMap<u64, GroupName>,
    /// Whose turn it is: the first of each queue whose group has nothing in flight.
    turns: BTreeSet<(Instant, u64, GroupName)>,
    /// What is in flight, by ticket; at most [`PARALLEL_LIMIT`].
    flying: BTreeMap<u64, Parcel>,
    /// The groups of these.
    busy: BTreeSet<GroupName>,
    /// Groups whose first event failed and will be tried again.
    retrying: BTreeSet<GroupName>,
    /// The last failure, until a delivery succeeds and none is to be repeated.
    trouble: Option<String>,
    /// Events lost since the trouble began.
    lost: u64,
}

impl Lane {
    pub(super) const fn new(sink: Sink) -> Self {
        Self {
            sink,
            queues: BTreeMap::new(),
            ages: BTreeMap::new(),
            turns: BTreeSet::new(),
            flying: BTreeMap::new(),
            busy: BTreeSet::new(),
            retrying: BTreeSet::new(),
            trouble: None,
            lost: 0,
        }
    }

    pub(super) fn wants(&self, name: EventName) -> bool {
        self.sink.only.as_ref().is_none_or(|only| only.contains(&name))
    }

    pub(super) fn flies(&self, ticket: u64) -> bool {
        self.flying.contains_key(&ticket)
    }

    pub(super) fn unsettled(&self) -> usize {
        self.ages.len() + self.flying.len()
    }

    /// What an operator should know of this sink now.
    pub(super) fn trouble(&self) -> Option<String> {
        let why = self.trouble.as_ref()?;
        Some(format!(
            "sink {} fails: {why} ({} events wait, {} were lost)",
            self.sink.name,
            self.ages.len(),
            self.lost
        ))
    }

    /// When the next may depart; nothing departs while all places are taken.
    pub(super) fn next_departure(&self) -> Option<Instant> {
        if self.flying.len() >= PARALLEL_LIMIT {
            return None;
        }
        self.turns.first().map(|(at, _, _)| *at)
    }

    pub(super) fn push(
        &mut self,
        event: Event,
        arrival: u64,
        now: Instant,
        out: &mut VecDeque<Output>,
    ) {
        let group = event.group.clone();
        self.ages.insert(arrival, group.clone());
        let queue = self.queues.entry(group.clone()).or_default();
        queue.push_back(Parcel { event, arrival, tries: 0, not_before: now });
        if queue.len() == 1 && !self.busy.contains(&group) {
            self.turns.insert((now, arrival, group));
        }
        self.trim(out);
    }

    /// Sends off the next event whose turn it is, if any.
    pub(super) fn depart(&mut self, ticket: u64, now: Instant, out: &mut VecDeque<Output>) -> bool {
        if self.next_departure().is_none_or(|at| at > now) {
            return false;
        }
        let Some((_, _, group)) = self.turns.pop_first() else { return false };
        let Some(mut parcel) = self.take_first(&group) else { return false };
        parcel.tries += 1;
        out.push_back(Output::Deliver {
            ticket,
            sink: self.sink.name.clone(),
            event: parcel.event.clone(),
            attempt: parcel.tries,
        });
        self.busy.insert(group);
        self.flying.insert(ticket, parcel);
        assert!(self.flying.len() == self.busy.len(), "one delivery per group is in flight");
        true
    }

    pub(super) fn settle(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        now: Instant,
        out: &mut VecDeque<Output>,
    ) {
        let Some(parcel) = self.flying.remove(&ticket) else { return };
        let group = parcel.event.group.clone();
        self.busy.remove(&group);
        self.retrying.remove(&group);
        match outcome {
            Outcome::Delivered => self.succeed(out),
            Outcome::Retry(why) if parcel.tries < TRIES_LIMIT => {
                self.fail(&why, out);
                self.retrying.insert(group.clone());
                self.rest(parcel, now);
            }
            Outcome::Retry(why) | Outcome::Refused(why) => {
                self.fail(&why, out);
                self.lost += 1;
                out.push_back(Output::GaveUp {
                    sink: self.sink.name.clone(),
                    event: parcel.event,
                    tries: parcel.tries,
                    why: shorten(&why),
                });
            }
        }
        self.schedule(&group);
        self.trim(out);
    }

    fn succeed(&mut self, out: &mut VecDeque<Output>) {
        if self.retrying.is_empty() && self.trouble.take().is_some() {
            self.lost = 0;
            out.push_back(Output::Recovered { sink: self.sink.name.clone() });
        }
    }

    fn fail(&mut self, why: &str, out: &mut VecDeque<Output>) {
        let why = shorten(why);
        if self.trouble.is_none() {
            out.push_back(Output::Failing { sink: self.sink.name.clone(), why: why.clone() });
        }
        self.trouble = Some(why);
    }

    /// Puts a parcel back to the head of its queue.
    fn rest(&mut self, mut parcel: Parcel, now: Instant) {
        let group = parcel.event.group.clone();
        parcel.not_before = now + rest_after(parcel.tries);
        self.ages.insert(parcel.arrival, group.clone());
        self.queues.entry(group).or_default().push_front(parcel);
    }

    /// Gives an idle group its turn, if something of it waits.
    fn schedule(&mut self, group: &GroupName) {
        if let Some(first) = self.queues.get(group).and_then(VecDeque::front) {
            self.turns.insert((first.not_before, first.arrival, group.clone()));
        }
    }

    /// Takes the first of a group's queue.
    fn take_first(&mut self, group: &GroupName) -> Option<Parcel> {
        let queue = self.queues.get_mut(group)?;
        let parcel = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(group);
        }
        let parcel = parcel?;
        self.ages.remove(&parcel.arrival);
        Some(parcel)
    }

    /// Drops the oldest while too many wait.
    fn trim(&mut self, out: &mut VecDeque<Output>) {
        while self.ages.len() > WAITING_LIMIT {
            // The oldest of all is also the first of its group.
            let Some(group) = self.ages.first_key_value().map(|(_, group)| group.clone()) else {
                return;
            };
            let Some(parcel) = self.take_first(&group) else { return };
            if self.turns.remove(&(parcel.not_before, parcel.arrival, group.clone())) {
                self.schedule(&group);
            }
            if parcel.tries > 0 {
                self.retrying.remove(&group);
            }
            self.lost += 1;
            let cause = self.trouble.as_deref().unwrap_or("the sink is slower than the events");
            out.push_back(Output::Dropped {
                sink: self.sink.name.clone(),
                event: parcel.event,
                why: format!("{WAITING_LIMIT} events wait already: {cause}"),
            });
        }
    }
}

/// The rest after so many tries: doubles from [`FIRST_REST`] up to [`LONGEST_REST`].
fn rest_after(tries: u32) -> Duration {
    let doublings = tries.saturating_sub(1).min(16);
    (FIRST_REST * (1 << doublings)).min(LONGEST_REST)
}

/// The beginning of a text, cut at a character.
fn shorten(text: &str) -> String {
    let end = (0..=WORDS_LIMIT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().into()
}
