//! Groups that are declared and that nobody knows yet.

use super::{Orchestrator, Output};
use crate::happening::Happening;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use vedette_model::{EventName, GroupName, Instant, NodeAddr};

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
