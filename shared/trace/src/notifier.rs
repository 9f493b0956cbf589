//! What a notifier told.

use crate::names;
use crate::{Heard, Kind, Notes, Span, Witness};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use vedette_model::{Event, Fact, TraceId};
use vedette_protocol::notice::Outcome;

/// Incidents remembered: what is told of them may come hours later.
const INCIDENTS_KEPT: usize = 4_096;
/// Tries at one message that are recorded; of more, only the last one.
const TRIES_TOLD: u32 = 32;

/// A notifier's witness: records each message about an incident. What is told in quiet times leaves
/// no trace.
#[derive(Debug, Default)]
pub struct Notifiers {
    incidents: BTreeSet<TraceId>,
    order: VecDeque<TraceId>,
    notes: Notes,
}

/// A try to hand events to a sink in one message.
#[derive(Debug, Clone, Copy)]
pub struct Try<'a> {
    /// The sink's name.
    pub sink: &'a str,
    /// What it was told.
    pub events: &'a [Event],
    /// 1 for the first.
    pub attempt: u32,
    /// When it began, in microseconds since 1970.
    pub from_us: u64,
}

impl Notifiers {
    /// An event of this trace was said while its incident was under way.
    pub fn knows(&mut self, trace: TraceId) {
        if !self.incidents.insert(trace) {
            return;
        }
        self.order.push_back(trace);
        if self.order.len() > INCIDENTS_KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.incidents.remove(&oldest);
        }
    }

    /// What came of a try.
    pub fn handed(&mut self, told: &Try<'_>, outcome: &Outcome, at_us: u64) {
        let (word, why) = match outcome {
            Outcome::Delivered => ("delivered", None),
            Outcome::Retry(_) if told.attempt > TRIES_TOLD => return,
            Outcome::Retry(why) => ("retry", Some(why.clone())),
            Outcome::Refused(why) => ("refused", Some(why.clone())),
        };
        let mut incidents: BTreeMap<TraceId, Vec<&Event>> = BTreeMap::new();
        for event in told.events.iter().filter(|event| self.incidents.contains(&event.trace_id)) {
            incidents.entry(event.trace_id).or_default().push(event);
        }
        for (trace, events) in incidents {
            let Some(first) = events.first() else { continue };
            let who = format!("{}/{}/{}", told.sink, first.id, told.from_us);
            let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
            let span = Span::new(trace, names::NOTIFY, &who, told.from_us, at_us)
                .with(names::GROUP, first.group.as_str())
                .with(names::SINK, told.sink)
                .with(names::EVENTS, names.join(" "))
                .with(names::TRY, u64::from(told.attempt))
                .with(names::OUTCOME, word)
                .failed(why.clone());
            self.notes.span(Span { kind: Kind::Producer, ..span });
        }
    }
}

impl Witness for Notifiers {
    fn heard(&mut self, heard: &Heard<'_>) {
        if let Fact::Event(event) = heard.fact
            && heard.live().is_some_and(|context| context.trace == event.trace_id)
        {
            self.knows(event.trace_id);
        }
    }

    fn says(&mut self, _: &Fact, _: u64) {}

    fn take(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }
}
