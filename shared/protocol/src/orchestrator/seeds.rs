//! Groups that are declared: seeded where nobody knows them yet, and compared with the record
//! where one has been kept.

use super::{Orchestrator, Output};
use crate::happening::Happening;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{EventName, GroupName, GroupRecord, Instant, NodeAddr, Sender, TraceId};

/// A group that was seeded by somebody else a moment ago may not know its replicas yet.
const PATIENCE: Duration = Duration::from_secs(3);

/// A declaration of a group that has a record, which names another master.
#[derive(Debug, Clone)]
pub(super) struct Doubt {
    declared: NodeAddr,
    since: Instant,
    told: bool,
}

impl Orchestrator {
    /// Seeds what is declared and unknown, once a majority of voters has said what it knows.
    pub(super) fn seed(&mut self, now: Instant) {
        let sure = self.hears_majority(now);
        if self.seeds.is_empty() || !sure {
            return;
        }
        let owners = self.owners();
        let seeds: Vec<_> = self.seeds.iter().map(|(g, s)| (g.clone(), s.clone())).collect();
        for (name, (_, master, settings)) in seeds {
            if let Some(owner) = owners.get(&master).filter(|owner| **owner != name) {
                if self.conflicts_told.insert(name.clone()) {
                    let cause = format!(
                        "it is declared with master {master}, which is a node of {owner}: it is \
                         not watched and nothing is done to it; correct one of the two declarations"
                    );
                    let happening = Happening::new(EventName::ConfigConflict, cause);
                    let event = self.dresser.dress_bare(happening, &name, &master);
                    self.outputs.push_back(Output::Publish(event.into()));
                }
                continue;
            }
            self.conflicts_told.remove(&name);
            self.group(&name, now).seed(master, settings);
            self.pump(&name, now);
        }
    }

    /// The group has a record now, and its declaration no effect any more.
    pub(super) fn seeded(&mut self, name: &GroupName, now: Instant) {
        if let Some((_, declared, _)) = self.seeds.remove(name) {
            self.conflicts_told.remove(name);
            self.doubts.insert(name.clone(), Doubt { declared, since: now, told: false });
        }
    }

    /// Tells people, once, of each declaration whose master is no node of the recorded group. A
    /// former master is one: that is what most declarations name.
    pub(super) fn tell_doubts(&mut self, now: Instant) {
        let directory = &self.directory;
        self.doubts.retain(|name, doubt| {
            let record = directory.any(name);
            record.is_none_or(|r| r.removed || r.members.iter().all(|m| m.addr != doubt.declared))
        });
        for (name, doubt) in &mut self.doubts {
            let due = !doubt.told && now >= doubt.since + PATIENCE;
            let Some(record) = self.directory.any(name).filter(|_| due) else { continue };
            doubt.told = true;
            let cause = if record.removed {
                removed_cause(&self.config.sender, record)
            } else {
                format!(
                    "{} declares it with master {}, which is no node of the group; its recorded master \
                 is {} since epoch {}, and the declaration counts for nothing: correct it in that \
                 orchestrator's groups file, or remove it there",
                    self.config.sender, doubt.declared, record.master, record.epoch
                )
            };
            let happening = Happening::of(EventName::ConfigConflict, &doubt.declared, cause);
            let trace = TraceId::of(name, record.epoch, &doubt.declared, None);
            let event = self.dresser.dress(happening, record, trace);
            self.outputs.push_back(Output::Publish(event.into()));
        }
    }

    /// What is to be said of the group's declaration, if anything.
    pub(super) fn doubt(&self, name: &GroupName) -> Option<String> {
        let doubt = self.doubts.get(name).filter(|doubt| doubt.told)?;
        Some(format!(
            "declared here with master {}, which is no node of it: correct the declaration",
            doubt.declared
        ))
    }

    /// Whose each node is: the group's that has it in its record, or was declared first with it.
    pub(super) fn owners(&self) -> BTreeMap<NodeAddr, GroupName> {
        let mut declared: Vec<_> = self.seeds.iter().map(|(g, (i, m, _))| (i, m, g)).collect();
        declared.sort_unstable();
        let mut owners = BTreeMap::new();
        for record in self.directory.records() {
            for member in &record.members {
                owners.entry(member.addr.clone()).or_insert_with(|| record.group.clone());
            }
        }
        for (_, master, group) in declared {
            owners.entry(master.clone()).or_insert_with(|| group.clone());
        }
        owners
    }
}

fn removed_cause(sender: &Sender, record: &GroupRecord) -> String {
    let group = &record.group;
    format!(
        "{sender} declares it, and it was removed by an operator: it is not watched; remove it \
         from that orchestrator's groups file, or have it watched again with `vedette monitor \
         {group}`"
    )
}
