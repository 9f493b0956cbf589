//! What a gateway told its clients.

use crate::names;
use crate::{Heard, Kind, Notes, Span, Witness};
use std::collections::BTreeMap;
use vedette_model::{Fact, GroupName, NodeAddr, TraceId};

/// A gateway's witness: records that clients were told of another master.
#[derive(Debug, Default)]
pub struct Gateways {
    switched: BTreeMap<GroupName, Switched>,
    notes: Notes,
}

/// A change of master that clients are not told of yet.
#[derive(Debug)]
struct Switched {
    trace: TraceId,
    master: NodeAddr,
    heard_us: u64,
}

impl Gateways {
    /// So many subscribers were sent `+switch-master` with this payload, which begins with the
    /// group's name.
    pub fn told_of_switch(&mut self, payload: &str, subscribers: u64, at_us: u64) {
        let is_of = |group: &GroupName| {
            payload.strip_prefix(group.as_str()).is_some_and(|rest| rest.starts_with(' '))
        };
        let Some(group) = self.switched.keys().find(|group| is_of(group)).cloned() else { return };
        let Some(switched) = self.switched.remove(&group) else { return };
        let who = format!("{}/{at_us}", switched.master);
        let span = Span::new(switched.trace, names::TELL, &who, switched.heard_us, at_us)
            .with(names::GROUP, group.as_str())
            .with(names::NEW_MASTER, switched.master.to_string())
            .with(names::SUBSCRIBERS, subscribers);
        self.notes.span(Span { kind: Kind::Producer, ..span });
    }
}

impl Witness for Gateways {
    fn heard(&mut self, heard: &Heard<'_>) {
        let Fact::RecordCommitted(committed) = heard.fact else { return };
        let record = &committed.record;
        match heard.live().filter(|_| record.is_switched()) {
            Some(context) => {
                let switched = Switched {
                    trace: context.trace,
                    master: record.master.clone(),
                    heard_us: heard.at_us,
                };
                self.switched.entry(record.group.clone()).or_insert(switched);
            }
            // It was told by then, or never will be.
            None => drop(self.switched.remove(&record.group)),
        }
    }

    fn says(&mut self, _: &Fact, _: u64) {}

    fn take(&mut self) -> Notes {
        std::mem::take(&mut self.notes)
    }
}
