//! One sink's queue: what waits, what is in flight, what rests before a retry.

use super::route::Way;
use super::seen::Seen;
use super::{GATHER_LIMIT, Outcome, Output, PARALLEL_LIMIT, Sink, WAITING_LIMIT, WORDS_LIMIT};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{Event, EventName, GroupName, Instant};

/// What keeps its order: one delivery of it is in flight at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    /// The events of a group.
    Group(GroupName),
    /// What is gathered by a row of the routes.
    Gathered(usize),
    /// An event that failed and holds back nobody, by its arrival.
    Alone(u64),
}

/// One message on its way.
#[derive(Debug)]
struct Parcel {
    key: Key,
    /// What it tells; several if they were gathered.
    events: Vec<Event>,
    /// Its number in order of arrival.
    arrival: u64,
    /// How often it was tried.
    tries: u32,
    /// When it was tried first.
    first_try: Option<Instant>,
    /// When it may be tried next.
    not_before: Instant,
}

/// Where an event came from that is not settled.
#[derive(Debug, Default)]
struct Held {
    /// Its places in the stream.
    seqs: BTreeSet<u64>,
    /// Whether it is ours to tell whoever holds the sink.
    live: bool,
}

#[derive(Debug)]
pub(super) struct Lane {
    sink: Sink,
    /// What waits, by key and in order; at most [`WAITING_LIMIT`] in all. No empty queues.
    queues: BTreeMap<Key, VecDeque<Parcel>>,
    /// The same, by age.
    ages: BTreeMap<u64, Key>,
    /// Whose turn it is: the first of each queue whose key has nothing in flight.
    turns: BTreeSet<(Instant, u64, Key)>,
    /// What is in flight, by ticket; at most [`PARALLEL_LIMIT`].
    flying: BTreeMap<u64, Parcel>,
    /// The keys of these.
    busy: BTreeSet<Key>,
    /// Keys whose first event failed and will be tried again.
    retrying: BTreeSet<Key>,
    /// What waits or is in flight, by id.
    held: BTreeMap<String, Held>,
    /// What was delivered.
    done: Seen,
    /// The last failure, until a delivery succeeds and none is to be repeated.
    trouble: Option<String>,
    /// Events lost since the trouble began.
    lost: u64,
}

impl Lane {
    pub(super) fn new(sink: Sink) -> Self {
        Self {
            sink,
            queues: BTreeMap::new(),
            ages: BTreeMap::new(),
            turns: BTreeSet::new(),
            flying: BTreeMap::new(),
            busy: BTreeSet::new(),
            retrying: BTreeSet::new(),
            held: BTreeMap::new(),
            done: Seen::default(),
            trouble: None,
            lost: 0,
        }
    }

    pub(super) const fn sink(&self) -> &Sink {
        &self.sink
    }

    pub(super) fn wants(&self, name: EventName) -> bool {
        self.sink.only.as_ref().is_none_or(|only| only.contains(&name))
    }

    pub(super) fn flies(&self, ticket: u64) -> bool {
        self.flying.contains_key(&ticket)
    }

    /// Events that would be lost if this process ended now.
    pub(super) fn unsettled(&self) -> usize {
        self.held.values().filter(|held| held.seqs.is_empty()).count()
    }

    /// What an operator should know of this sink now.
    pub(super) fn trouble(&self) -> Option<String> {
        let why = self.trouble.as_ref()?;
        Some(format!(
            "sink {} fails: {why} ({} events wait, {} were lost)",
            self.sink.name,
            self.waiting(),
            self.lost
        ))
    }

    /// Events that are not settled and not in flight.
    fn waiting(&self) -> usize {
        let flying: usize = self.flying.values().map(|parcel| parcel.events.len()).sum();
        self.held.len().saturating_sub(flying)
    }

    /// When the next may depart; nothing departs while all places are taken.
    pub(super) fn next_departure(&self) -> Option<Instant> {
        if self.flying.len() >= PARALLEL_LIMIT {
            return None;
        }
        self.turns.first().map(|(at, _, _)| *at)
    }

    /// Takes an event in, heard live or from this place of the stream, unless it has it or had it.
    /// Whether it is new.
    pub(super) fn offer(
        &mut self,
        event: &Event,
        seq: Option<u64>,
        way: Way,
        (arrival, now): (u64, Instant),
        out: &mut VecDeque<Output>,
    ) -> bool {
        if self.done.contains(&event.id) {
            self.settled(seq, out);
            return false;
        }
        if let Some(held) = self.held.get_mut(&event.id) {
            held.seqs.extend(seq);
            held.live |= seq.is_none();
            return false;
        }
        let held = Held { seqs: seq.into_iter().collect(), live: seq.is_none() };
        self.held.insert(event.id.clone(), held);
        let gathered = way.gathered.filter(|_| self.sink.gathers).map(Key::Gathered);
        let waits = gathered.is_some() || way.is_quiet;
        let not_before = now + if waits { way.rest } else { Duration::ZERO };
        let key = gathered.unwrap_or_else(|| Key::Group(event.group.clone()));
        if let Some(open) = self.open_parcel(&key) {
            open.events.push(event.clone());
        } else {
            let events = Vec::from([event.clone()]);
            self.line_up(Parcel { key, events, arrival, tries: 0, first_try: None, not_before });
        }
        self.trim(out);
        true
    }

    /// What is gathered and may take one more.
    fn open_parcel(&mut self, key: &Key) -> Option<&mut Parcel> {
        let last = match key {
            Key::Gathered(_) => self.queues.get_mut(key)?.back_mut()?,
            Key::Group(_) | Key::Alone(_) => return None,
        };
        (last.tries == 0 && last.events.len() < GATHER_LIMIT).then_some(last)
    }

    /// Somebody else tells what the stream brings: what only came from there is forgotten.
    pub(super) fn forget_stored(&mut self) {
        for held in self.held.values_mut() {
            held.seqs.clear();
        }
        let parcels: Vec<Parcel> =
            core::mem::take(&mut self.queues).into_values().flatten().collect();
        self.ages.clear();
        self.turns.clear();
        self.retrying.clear();
        let ours = |mut parcel: Parcel| {
            parcel.events.retain(|event| self.is_ours(event));
            (!parcel.events.is_empty()).then_some(parcel)
        };
        let mut parcels: Vec<_> = parcels.into_iter().filter_map(ours).collect();
        parcels.sort_by_key(|parcel| parcel.arrival);
        for parcel in parcels {
            if parcel.tries > 0 {
                self.retrying.insert(parcel.key.clone());
            }
            self.line_up(parcel);
        }
        let flying = self.flying.values().flat_map(|parcel| &parcel.events);
        let flying: BTreeSet<&String> = flying.map(|event| &event.id).collect();
        self.held.retain(|id, held| held.live || flying.contains(id));
    }

    /// The place in the stream needs nothing more.
    pub(super) fn settled(&self, seqs: impl IntoIterator<Item = u64>, out: &mut VecDeque<Output>) {
        let sink = &self.sink.name;
        out.extend(seqs.into_iter().map(|seq| Output::Settled { sink: sink.clone(), seq }));
    }

    fn places(&self, events: &[Event]) -> Vec<u64> {
        let held = events.iter().filter_map(|event| self.held.get(&event.id));
        held.flat_map(|held| held.seqs.iter().copied()).collect()
    }

    /// Whether the event is still ours to tell.
    fn is_ours(&self, event: &Event) -> bool {
        self.held.get(&event.id).is_some_and(|held| held.live || !held.seqs.is_empty())
    }

    /// Puts a parcel behind those of its key.
    fn line_up(&mut self, parcel: Parcel) {
        let (key, arrival, not_before) = (parcel.key.clone(), parcel.arrival, parcel.not_before);
        self.ages.insert(arrival, key.clone());
        let queue = self.queues.entry(key.clone()).or_default();
        queue.push_back(parcel);
        if queue.len() == 1 && !self.busy.contains(&key) {
            self.turns.insert((not_before, arrival, key));
        }
    }

    /// Sends off the next message whose turn it is, if any.
    pub(super) fn depart(&mut self, ticket: u64, now: Instant, out: &mut VecDeque<Output>) -> bool {
        if self.next_departure().is_none_or(|at| at > now) {
            return false;
        }
        let Some((_, _, key)) = self.turns.pop_first() else { return false };
        let Some(mut parcel) = self.take_first(&key) else { return false };
        parcel.tries += 1;
        parcel.first_try.get_or_insert(now);
        out.push_back(Output::Deliver {
            ticket,
            sink: self.sink.name.clone(),
            events: parcel.events.clone(),
            attempt: parcel.tries,
            seqs: self.places(&parcel.events),
        });
        self.busy.insert(key);
        self.flying.insert(ticket, parcel);
        assert!(self.flying.len() == self.busy.len(), "one delivery per key is in flight");
        true
    }

    pub(super) fn settle(
        &mut self,
        ticket: u64,
        outcome: Outcome,
        now: Instant,
        out: &mut VecDeque<Output>,
    ) {
        let Some(mut parcel) = self.flying.remove(&ticket) else { return };
        let key = parcel.key.clone();
        self.busy.remove(&key);
        self.retrying.remove(&key);
        let since_first = parcel.first_try.map_or_else(Default::default, |at| now.since(at));
        let is_over = self.sink.patience.is_over(parcel.tries, since_first);
        match outcome {
            Outcome::Delivered => {
                for event in &parcel.events {
                    self.done.insert(&event.id);
                    let held = self.held.remove(&event.id).unwrap_or_default();
                    self.settled(held.seqs, out);
                }
                self.succeed(out);
            }
            Outcome::Retry(why) if !is_over => {
                self.fail(&why, out);
                let (ours, others) = parcel.events.drain(..).partition(|event| self.is_ours(event));
                let others: Vec<Event> = others;
                others.iter().for_each(|event| drop(self.held.remove(&event.id)));
                parcel.events = ours;
                if !parcel.events.is_empty() {
                    self.rest(parcel, ticket, now);
                }
            }
            Outcome::Retry(why) | Outcome::Refused(why) => {
                self.fail(&why, out);
                self.give_up(parcel, &why, out);
            }
        }
        self.schedule(&key);
        self.trim(out);
    }

    fn give_up(&mut self, parcel: Parcel, why: &str, out: &mut VecDeque<Output>) {
        for event in parcel.events {
            self.lost += 1;
            let held = self.held.remove(&event.id).unwrap_or_default();
            out.push_back(Output::GaveUp {
                sink: self.sink.name.clone(),
                event,
                tries: parcel.tries,
                why: shorten(why),
                seqs: held.seqs.into_iter().collect(),
            });
        }
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

    /// Puts a parcel back to the head of its queue, or apart if it holds back nobody.
    fn rest(&mut self, mut parcel: Parcel, ticket: u64, now: Instant) {
        parcel.not_before = now + self.sink.patience.rest(parcel.tries, ticket);
        if !self.sink.in_order {
            parcel.key = Key::Alone(parcel.arrival);
        }
        let key = parcel.key.clone();
        self.retrying.insert(key.clone());
        self.ages.insert(parcel.arrival, key.clone());
        self.queues.entry(key.clone()).or_default().push_front(parcel);
        self.schedule(&key);
    }

    /// Gives an idle key its turn, if something of it waits.
    fn schedule(&mut self, key: &Key) {
        if let Some(first) = self.queues.get(key).and_then(VecDeque::front) {
            self.turns.insert((first.not_before, first.arrival, key.clone()));
        }
    }

    /// Takes the first of a key's queue.
    fn take_first(&mut self, key: &Key) -> Option<Parcel> {
        let queue = self.queues.get_mut(key)?;
        let parcel = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(key);
        }
        let parcel = parcel?;
        self.ages.remove(&parcel.arrival);
        Some(parcel)
    }

    /// Drops the oldest while too many wait.
    fn trim(&mut self, out: &mut VecDeque<Output>) {
        while self.waiting() > WAITING_LIMIT {
            // The oldest of all is also the first of its key.
            let Some(key) = self.ages.first_key_value().map(|(_, key)| key.clone()) else {
                return;
            };
            let Some(parcel) = self.take_first(&key) else { return };
            if self.turns.remove(&(parcel.not_before, parcel.arrival, key.clone())) {
                self.schedule(&key);
            }
            if parcel.tries > 0 {
                self.retrying.remove(&key);
            }
            let cause = self.trouble.as_deref().unwrap_or("the sink is slower than the events");
            let why = format!("{WAITING_LIMIT} events wait already: {cause}");
            for event in parcel.events {
                self.lost += 1;
                self.held.remove(&event.id);
                let sink = self.sink.name.clone();
                out.push_back(Output::Dropped { sink, event, why: why.clone() });
            }
        }
    }
}

/// The beginning of a text, cut at a character.
fn shorten(text: &str) -> String {
    let end = (0..=WORDS_LIMIT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or(0)).unwrap_or_default().into()
}
