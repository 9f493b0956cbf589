//! Which facts belong to one incident.
//!
//! ```text
//!  nothing ── somebody calls the master down, or stands ──► open
//!  nothing ── a change of master nobody has spoken of ────► over: nothing else was kept of it
//!  open ── the failover has ended ───────────────────────► over
//!  open ── nobody calls it down any more, no attempt ────► over
//!  open, switched ── the new master is called down ──────► over, and the next one is open
//! ```

use std::collections::{BTreeMap, BTreeSet};
use vedette_model::{Epoch, Event, EventName, Fact, GroupName, Step, SwitchReason};
use vedette_runtime::history::{Kept, What};

/// Characters of an id that must be given.
const SHORTEST_ID: usize = 6;

/// One fact of an incident.
#[derive(Debug, Clone)]
pub struct Told {
    /// When it was kept, in microseconds since 1970.
    pub at_us: u64,
    /// By whom.
    pub sender: String,
    /// What.
    pub fact: Fact,
}

/// From the first doubt about a master, or a person's wish for another, to the end of it.
#[derive(Debug, Clone)]
pub struct Incident {
    /// Whose.
    pub group: GroupName,
    /// The trace id; of several incidents of one reign the later ones have a number behind it.
    pub id: String,
    /// What was told, in order; never empty.
    pub told: Vec<Told>,
    /// The epoch of the new master, if there is one.
    pub switched: Option<Epoch>,
    /// When it ended, in microseconds since 1970.
    pub ended_us: Option<u64>,
    doubters: BTreeSet<String>,
    claimed: bool,
}

/// What a fact means for the bounds of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Doubt(Epoch),
    Trust,
    Begins,
    Claims,
    Switches(Epoch),
    GivesUp,
    Ends,
    GoesOn,
}

/// The incidents among the facts, in the order in which they began.
pub fn incidents(kept: &[Kept]) -> Vec<Incident> {
    sorted(kept).0
}

/// The incidents, and the events that belong to none.
pub fn sorted(kept: &[Kept]) -> (Vec<Incident>, Vec<Told>) {
    let mut cut = Cut::default();
    for kept in kept {
        let What::Said { sender, fact } = &kept.what else { continue };
        let Some(group) = fact.group() else { continue };
        let sender = sender.as_ref().map_or_else(|| "-".into(), ToString::to_string);
        cut.take(group, Told { at_us: kept.at_us, sender, fact: fact.clone() });
    }
    let Cut { open, mut over, loose } = cut;
    over.extend(open.into_values());
    over.sort_by_key(Incident::began_us);
    let mut known: BTreeMap<String, u32> = BTreeMap::new();
    for incident in &mut over {
        let times = known.entry(incident.id.clone()).or_default();
        *times += 1;
        if *times > 1 {
            incident.id = format!("{}-{times}", incident.id);
        }
    }
    (over, loose)
}

#[derive(Debug, Default)]
struct Cut {
    open: BTreeMap<GroupName, Incident>,
    over: Vec<Incident>,
    loose: Vec<Told>,
}

impl Cut {
    fn take(&mut self, group: &GroupName, told: Told) {
        let turn = Turn::of(&told.fact);
        let passed = self.open.get(group).is_some_and(|open| open.is_passed_by(turn));
        if passed && let Some(open) = self.open.remove(group) {
            self.over.push(open);
        }
        let begins = matches!(turn, Turn::Doubt(_) | Turn::Begins | Turn::Claims);
        if begins && !self.open.contains_key(group) {
            self.open.insert(group.clone(), Incident::new(group.clone(), &told.fact));
        }
        if let Some(missed) = self.missed(group, &told) {
            self.over.push(missed);
            return;
        }
        let Some(open) = self.open.get_mut(group) else {
            if matches!(told.fact, Fact::Event(_)) {
                self.loose.push(told);
            }
            return;
        };
        let at_us = told.at_us;
        open.take(turn, told);
        if open.is_settled_by(turn)
            && let Some(mut open) = self.open.remove(group)
        {
            open.ended_us = Some(at_us);
            self.over.push(open);
        }
    }
}

impl Cut {
    /// The incident of an announced change of master of which nothing else was kept.
    fn missed(&self, group: &GroupName, told: &Told) -> Option<Incident> {
        let Fact::MasterRecord(record) = &told.fact else { return None };
        let Turn::Switches(epoch) = Turn::of(&told.fact) else { return None };
        let id = record.trace_id.to_string();
        let told_of = |over: &Incident| over.group == *group && over.switched == Some(epoch);
        let known = self.over.iter().any(told_of);
        if known || self.open.contains_key(group) || record.reason == SwitchReason::Seeded {
            return None;
        }
        let mut missed = Incident::new(group.clone(), &told.fact);
        (missed.id, missed.ended_us) = (id, Some(told.at_us));
        missed.take(Turn::Switches(epoch), told.clone());
        Some(missed)
    }
}

impl Incident {
    fn new(group: GroupName, first: &Fact) -> Self {
        let mut id = String::new();
        if let Fact::Event(event) = first {
            id = event.trace_id.to_string();
        } else if let Fact::FailoverStep(step) = first {
            id = step.trace_id.to_string();
        }
        Self {
            group,
            id,
            told: Vec::new(),
            switched: None,
            ended_us: None,
            doubters: BTreeSet::new(),
            claimed: false,
        }
    }

    /// When it began, in microseconds since 1970.
    pub fn began_us(&self) -> u64 {
        self.told.first().map_or(0, |told| told.at_us)
    }

    /// Whether nothing more will come of it.
    pub const fn is_over(&self) -> bool {
        self.ended_us.is_some()
    }

    /// Whether this is its id, or the beginning of it.
    pub fn is_called(&self, id: &str) -> bool {
        self.id == id || (id.len() >= SHORTEST_ID && self.id.starts_with(id))
    }

    /// The events of this name.
    pub fn events(&self, name: EventName) -> impl Iterator<Item = (&Told, &Event)> {
        self.told.iter().filter_map(move |told| {
            let Fact::Event(event) = &told.fact else { return None };
            (event.name == name).then_some((told, event))
        })
    }

    fn is_passed_by(&self, turn: Turn) -> bool {
        matches!((turn, self.switched), (Turn::Doubt(now), Some(epoch)) if now >= epoch)
    }

    fn take(&mut self, turn: Turn, told: Told) {
        let source = told.sender.clone();
        match turn {
            Turn::Doubt(_) if self.switched.is_none() => drop(self.doubters.insert(source)),
            Turn::Trust => drop(self.doubters.remove(&source)),
            Turn::Claims => self.claimed = true,
            Turn::GivesUp => self.claimed = false,
            Turn::Switches(epoch) => {
                self.switched = Some(epoch);
                self.doubters.clear();
            }
            Turn::Doubt(_) | Turn::Begins | Turn::Ends | Turn::GoesOn => {}
        }
        self.told.push(told);
    }

    fn is_settled_by(&self, turn: Turn) -> bool {
        let calm = self.doubters.is_empty() && !self.claimed && self.switched.is_none();
        match turn {
            Turn::Ends => true,
            Turn::Trust | Turn::GivesUp => calm,
            Turn::Doubt(_) | Turn::Begins | Turn::Claims | Turn::Switches(_) | Turn::GoesOn => {
                false
            }
        }
    }
}

impl Turn {
    fn of(fact: &Fact) -> Self {
        if let Fact::Event(event) = fact {
            return Self::of_event(event);
        }
        if let Fact::MasterRecord(record) = fact {
            return if record.previous.is_some() {
                Self::Switches(record.epoch)
            } else {
                Self::GoesOn
            };
        }
        let Fact::FailoverStep(step) = fact else { return Self::GoesOn };
        match &step.step {
            Step::Odown | Step::Waiting { .. } => Self::Begins,
            Step::Claimed => Self::Claims,
            Step::Committed { epoch } => Self::Switches(*epoch),
            Step::Aborted { .. } => Self::GivesUp,
            Step::Ended => Self::Ends,
            Step::Surveyed { .. }
            | Step::Selected { .. }
            | Step::Paused
            | Step::Level { .. }
            | Step::Frozen
            | Step::Promoted { .. }
            | Step::Repaired { .. } => Self::GoesOn,
        }
    }

    fn of_event(event: &Event) -> Self {
        // Of a replica the payload says so.
        let master = event.payload.starts_with("master ");
        let name = event.name;
        if name == EventName::Odown || (name == EventName::Sdown && master) {
            Self::Doubt(event.epoch)
        } else if name == EventName::OdownOver || (name == EventName::SdownOver && master) {
            Self::Trust
        } else if name == EventName::TryFailover {
            Self::Begins
        } else if name == EventName::SwitchMaster {
            Self::Switches(event.epoch)
        } else {
            Self::GoesOn
        }
    }
}
