//! Which nodes are watched, and what their watchers know of one another.

use super::reign::{Nodes, Seen, spares};
use super::{GroupState, Output, Prober, Watch, Watched};
use crate::happening::Happening;
use crate::sdown::{Company, Watcher};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{Epoch, EventName, GroupName, GroupRecord, Instant, NodeState};

/// After a change of master a group counts as troubled for so long.
const AFTERMATH: Duration = Duration::from_secs(10);

impl GroupState {
    fn sees_one_down(&self) -> bool {
        self.nodes.values().any(|watched| *watched.watcher.state() != NodeState::Up)
    }

    fn is_troubled(&self, record: &GroupRecord, now: Instant) -> bool {
        // A node that is found but not admitted yet is looked at often: its first words may come
        // in the middle of its first synchronisation.
        record.failover.is_some()
            || record.lineage.is_empty()
            || !self.discovered.is_empty()
            || record.epoch > Epoch(1) && now.since(self.since) < AFTERMATH
            || self.reign.reborn().is_some()
            || self.nodes.values().any(|watched| watched.watcher.is_troubled())
    }
}

impl Prober {
    /// Which groups are left to others, if somebody of this place has come or left, or `again`?
    pub(super) fn share(&mut self, again: bool, now: Instant) {
        let changed = self.peers.settle(now);
        self.next_share = self.peers.poll_timeout(now);
        if !changed && !again {
            return;
        }
        self.leave_later = false;
        let groups: Vec<_> = self.directory.records().map(|r| r.group.clone()).collect();
        for group in groups {
            self.rewatch(&group, now);
        }
    }

    /// The group's record changed, or its master lists other replicas, or probers came or left.
    pub(super) fn rewatch(&mut self, group: &GroupName, now: Instant) {
        let Some(record) = self.directory.get(group).cloned() else {
            self.unwatch(group);
            return;
        };
        let state = self.groups.entry(group.clone()).or_default();
        if state.epoch != record.epoch {
            state.since = now;
            state.epoch = record.epoch;
            state.discovered.clear();
            state.reign = super::Reign::default();
            for watched in state.nodes.values_mut() {
                watched.watcher.new_reign(now);
                watched.viewed = None;
            }
        }
        let members = record.members.iter().map(|m| (m.addr.clone(), true));
        let found = state.discovered.iter().map(|addr| (addr.clone(), false));
        let mut wanted: BTreeMap<_, _> = found.chain(members).collect();
        if self.peers.leave_us(&record) {
            // Who took over lately may not see yet what this prober has long seen.
            if state.sees_one_down() {
                self.leave_later = true;
            } else {
                state.reign = super::Reign::default();
                state.discovered.clear();
                wanted.clear();
            }
        }
        let gone: Vec<_> =
            state.nodes.keys().filter(|node| !wanted.contains_key(node)).cloned().collect();
        state.nodes.retain(|node, _| wanted.contains_key(node));
        for node in gone {
            self.forget(Watch { group: group.clone(), node });
        }
        for (node, member) in wanted {
            let watch = Watch { group: group.clone(), node };
            self.watch(&watch, member, &record, now);
        }
        self.stale.insert(group.clone());
    }

    /// The group was removed.
    fn unwatch(&mut self, group: &GroupName) {
        let nodes = self.groups.remove(group).map(|state| state.nodes).unwrap_or_default();
        for node in nodes.into_keys() {
            self.forget(Watch { group: group.clone(), node });
        }
    }

    fn forget(&mut self, watch: Watch) {
        self.timers.set(&watch, None);
        self.away.remove(&watch);
        self.crashing.remove(&watch);
        self.outputs.push_back(Output::Forget { watch });
    }

    fn watch(&mut self, watch: &Watch, member: bool, record: &GroupRecord, now: Instant) {
        let Some(state) = self.groups.get_mut(&watch.group) else { return };
        let is_known = state.nodes.contains_key(&watch.node);
        let watched = state.nodes.entry(watch.node.clone()).or_insert_with(|| {
            Box::new(Watched {
                watcher: Watcher::new(&record.settings, now),
                credentials: None,
                member,
                told_down: false,
                view: None,
                viewed: None,
            })
        });
        watched.member = member;
        watched.watcher.set(&record.settings);
        if watched.credentials.as_ref() != record.settings.login() {
            watched.credentials = record.settings.login().cloned();
            // Who was let in with the former ones, or not at all, is to show that these will do.
            if is_known {
                watched.watcher.reconnect(now);
            }
        }
        self.drain(watch, now);
    }

    /// Something new was seen of the group: tells each watcher what it says of its node.
    pub(super) fn refresh(&mut self, group: &GroupName, now: Instant) {
        let Some(record) = self.directory.get(group).cloned() else { return };
        let Some(state) = self.groups.get_mut(group) else { return };
        let seen = |watched: &'_ Watched| watched.watcher.state() != &NodeState::Up;
        let nodes: Nodes<'_> = state
            .nodes
            .iter()
            .map(|(addr, watched)| {
                let view = watched.view.as_ref().map(|(view, at)| (view, *at));
                (addr, Seen { view, down: seen(watched) })
            })
            .collect();
        state.reign.look(&record, &nodes);
        let (spare, writable_spare) = spares(&record, &nodes, now);
        let in_trouble = state.is_troubled(&record, now);
        let reborn = state.reign.reborn().filter(|reborn| reborn.can_be_saved);
        for (addr, watched) in &mut state.nodes {
            let master = *addr == record.master;
            let reborn = reborn.filter(|_| master).map(|reborn| reborn.run_id.clone());
            let company = Company { master, spare, writable_spare, reborn };
            watched.watcher.keep_company(company, now);
            watched.watcher.set_trouble(in_trouble, now);
        }
        let watches: Vec<_> = state.nodes.keys().cloned().collect();
        self.tell_risk(&record);
        for node in watches {
            self.drain(&Watch { group: group.clone(), node }, now);
        }
    }

    /// Tells people, once of each process, that the group's data is at stake.
    fn tell_risk(&mut self, record: &GroupRecord) {
        let Some(state) = self.groups.get_mut(&record.group) else { return };
        let Some(reborn) = state.reign.reborn() else { return };
        let told = state.risk_told.as_ref().filter(|(run_id, _)| *run_id == reborn.run_id);
        if told.is_some_and(|(_, could)| !could || reborn.can_be_saved) {
            return;
        }
        let plan = if reborn.can_be_saved {
            "another node may still hold the group's data: this one is called down, so that it is \
             replaced before it is copied"
        } else {
            "no other node holds more: nothing is voted; if data is missing, restore a backup"
        };
        let (run_id, why) = (&reborn.run_id, reborn.why);
        let cause = format!("another process ({run_id}) is master there, with {why}; {plan}");
        state.risk_told = Some((run_id.clone(), reborn.can_be_saved));
        self.event(Happening::of(EventName::DataLossRisk, &record.master, cause), record);
    }
}
