//! What is listed, in the order in which it happened.

use crate::incident::{Incident, Told, sorted};
use crate::reason::Outcome;
use crate::when;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use vedette_model::{Event, Fact};
use vedette_runtime::history::{Gap, Kept, Past, What};

/// The same event from several who saw it counts as one for so long, in microseconds.
const TOGETHER_US: u64 = 10_000_000;

/// Everything that is listed.
#[derive(Debug)]
pub struct Entries(pub Vec<Entry>);

/// One line.
#[derive(Debug)]
pub enum Entry {
    /// A failover, or none.
    Incident(Box<Incident>),
    /// What belongs to no incident.
    Event {
        /// When it was told first, in microseconds since 1970.
        at_us: u64,
        /// The event.
        event: Box<Event>,
        /// Who told it.
        by: BTreeSet<String>,
    },
    /// Somebody could not reach the history.
    Gap {
        /// When it was over, in microseconds since 1970.
        at_us: u64,
        /// The gap.
        gap: Gap,
    },
    /// What nobody can read.
    Unreadable {
        /// When it was kept, in microseconds since 1970.
        at_us: u64,
        /// Why.
        why: String,
    },
}

impl Entries {
    /// Of all that is kept.
    pub fn of(past: &Past) -> Self {
        let (incidents, loose) = sorted(&past.kept);
        let mut all: Vec<Entry> =
            incidents.into_iter().map(|incident| Entry::Incident(Box::new(incident))).collect();
        all.extend(together(loose));
        all.extend(past.kept.iter().filter_map(unsaid));
        all.sort_by_key(Entry::at_us);
        Self(all)
    }

    /// Whether there is nothing to list.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each as one object.
    ///
    /// # Errors
    /// The library's.
    pub fn json(&self) -> serde_json::Result<Vec<Value>> {
        self.0.iter().map(Entry::json).collect()
    }
}

impl Entry {
    /// When it began, in microseconds since 1970.
    pub fn at_us(&self) -> u64 {
        match self {
            Self::Incident(incident) => incident.began_us(),
            Self::Event { at_us, .. }
            | Self::Gap { at_us, .. }
            | Self::Unreadable { at_us, .. } => *at_us,
        }
    }

    fn json(&self) -> serde_json::Result<Value> {
        let at = when::utc(self.at_us());
        Ok(match self {
            Self::Incident(incident) => {
                let outcome = Outcome::of(incident);
                json!({
                    "at": at,
                    "kind": "incident",
                    "group": incident.group,
                    "id": incident.id,
                    "ended": incident.ended_us.map(when::utc),
                    "outcome": outcome.word(),
                    "text": outcome.text(incident),
                })
            }
            Self::Event { event, by, .. } => {
                json!({ "at": at, "kind": "event", "group": event.group, "by": by, "event": event })
            }
            Self::Gap { gap, .. } => json!({ "at": at, "kind": "gap", "gap": gap }),
            Self::Unreadable { why, .. } => json!({ "at": at, "kind": "unreadable", "why": why }),
        })
    }
}

fn together(loose: Vec<Told>) -> Vec<Entry> {
    let mut all: Vec<Entry> = Vec::new();
    for told in loose {
        let Fact::Event(said) = told.fact else { continue };
        // They are in order: behind one that is too old there are only older ones.
        let near = |entry: &&mut Entry| told.at_us.saturating_sub(entry.at_us()) <= TOGETHER_US;
        let same = all.iter_mut().rev().take_while(near).find_map(|entry| match entry {
            Entry::Event { event, by, .. } => {
                let same = (&event.group, event.name, &event.payload)
                    == (&said.group, said.name, &said.payload);
                same.then_some(by)
            }
            Entry::Incident(_) | Entry::Gap { .. } | Entry::Unreadable { .. } => None,
        });
        match same {
            Some(by) => drop(by.insert(told.sender)),
            None => all.push(Entry::Event {
                at_us: told.at_us,
                event: Box::new(said),
                by: BTreeSet::from([told.sender]),
            }),
        }
    }
    all
}

fn unsaid(kept: &Kept) -> Option<Entry> {
    match &kept.what {
        What::Said { .. } => None,
        What::Gap(gap) => Some(Entry::Gap { at_us: kept.at_us, gap: gap.clone() }),
        What::Unreadable(why) => Some(Entry::Unreadable { at_us: kept.at_us, why: why.clone() }),
    }
}
