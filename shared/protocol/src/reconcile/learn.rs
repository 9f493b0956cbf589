//! What the views teach: processes, histories, new and gone members, other addresses.

use super::{Fit, Reconciler, VIEW_EXPIRY};
use alloc::collections::BTreeMap;
use core::time::Duration;
use vedette_model::{GroupRecord, Instant, Member, NodeAddr, NodeView, Role};

impl Reconciler {
    /// The record with what the views teach. None if nothing, and while the group is paused or a
    /// failover is under way.
    pub fn learned(&self, record: &GroupRecord, now: Instant) -> Option<GroupRecord> {
        if record.pause.is_some() || record.failover.is_some() {
            return None;
        }
        let mut next = record.clone();
        for (addr, (view, at)) in &self.views {
            // Who loads does not know yet what it will hold.
            if !is_fresh(*at, now) || view.loading {
                continue;
            }
            let fit = self.fit(record, addr, view, now);
            if *addr == record.master {
                self.learn_master(record, &mut next, view, fit, now);
                continue;
            }
            match next.members.iter_mut().find(|m| m.addr == *addr) {
                Some(member) if fit == Fit::InLine => {
                    member.learn(view);
                    member.gone = false;
                    next.branches.retain(|branch| branch.node != *addr);
                }
                Some(_) => {}
                None if fit == Fit::InLine && record.lineage.knows(view) => {
                    self.admit(record, &mut next, addr, view, now);
                }
                None => {}
            }
        }
        self.merge(&mut next, now);
        self.bury(&mut next, now);
        let members = &next.members;
        next.branches.retain(|branch| members.iter().any(|m| m.addr == branch.node));
        next.members.sort_by(|a, b| a.addr.cmp(&b.addr));
        if next == *record {
            return None;
        }
        next.revision = record.revision.next();
        Some(next)
    }

    /// The recorded master's history is the group's if it goes on from what is known, or if all
    /// that is left of the group shares it. A master that came back without the data is believed
    /// only when no replica has kept any.
    fn learn_master(
        &self,
        record: &GroupRecord,
        next: &mut GroupRecord,
        view: &NodeView,
        fit: Fit,
        now: Instant,
    ) {
        let Some(member) = next.members.iter_mut().find(|m| m.addr == record.master) else {
            return;
        };
        let outdated = record.is_outdated(&record.master, view);
        let goes_on = record.lineage.is_empty()
            || record.lineage.knows(view)
            || member.run_id.as_ref() == Some(&view.run_id)
            || (record.settings.trust_recorded_address && !view.empty && !outdated);
        let alone = record.members.iter().all(|m| m.gone || m.addr == record.master);
        let believed = fit == Fit::InLine && goes_on || alone && (fit == Fit::InLine || outdated);
        if !believed && !self.is_shared(record, view, now) {
            return;
        }
        next.lineage.add(&view.replid);
        if fit == Fit::InLine {
            member.learn(view);
        }
    }

    /// Whether all that is seen of the group's replicas holds the history that the recorded master
    /// shows, and at least one of them is a known process: then it is the group's, wherever it
    /// came from (a master that restarted empty, faster than anybody could act, is copied by its
    /// replicas before we can say a word). A replica with another history still has the data.
    fn is_shared(&self, record: &GroupRecord, master: &NodeView, now: Instant) -> bool {
        if master.role != Role::Master {
            return false;
        }
        let mut shared = false;
        for member in record.members.iter().filter(|m| m.addr != record.master) {
            let Some(view) = self.fresh(&member.addr, now) else { continue };
            let known = member.run_id.as_ref() == Some(&view.run_id);
            let linked = view.upstream.as_ref().is_some_and(|up| up.link_up);
            let same = linked && view.replid == master.replid;
            if !same && (known || record.lineage.knows(view)) {
                return false;
            }
            shared |= same && known;
        }
        shared
    }

    /// A replica of the group that is not recorded: a new member, or one by another address.
    fn admit(
        &self,
        record: &GroupRecord,
        next: &mut GroupRecord,
        addr: &NodeAddr,
        view: &NodeView,
        now: Instant,
    ) {
        let run_id = Some(&view.run_id);
        if let Some(known) = next.members.iter_mut().find(|m| m.run_id.as_ref() == run_id) {
            let silent = self.silent_for(&known.addr, now) >= VIEW_EXPIRY;
            if silent && known.addr != record.master {
                known.addr = addr.clone();
                known.gone = false;
            }
            return;
        }
        let shown = |m: &Member| self.fresh(&m.addr, now).map(|view| &view.run_id) == run_id;
        if next.members.iter().any(shown) {
            return;
        }
        if next.members.len() < GroupRecord::MEMBER_LIMIT || self.forget_one(next) {
            let mut member = Member::new(addr.clone(), None);
            member.learn(view);
            next.members.push(member);
        }
    }

    /// Several addresses of one process are one member: the master's, or else the first.
    fn merge(&self, next: &mut GroupRecord, now: Instant) {
        let mut kept = BTreeMap::new();
        let master = next.master.clone();
        if let Some(view) = self.fresh(&master, now) {
            kept.insert(view.run_id.clone(), master);
        }
        next.members.retain(|member| match self.fresh(&member.addr, now) {
            Some(view) => {
                let first = kept.entry(view.run_id.clone()).or_insert_with(|| member.addr.clone());
                *first == member.addr
            }
            None => true,
        });
    }

    /// Members that nobody has seen for long are marked, and forgotten after another while.
    fn bury(&self, next: &mut GroupRecord, now: Instant) {
        if self.well_since.is_none() {
            return;
        }
        let settings = &next.settings;
        let tombstone = Duration::from_millis(settings.tombstone_after_ms).max(VIEW_EXPIRY);
        let prune = Duration::from_millis(settings.prune_after_ms);
        let master = next.master.clone();
        next.members.retain(|member| {
            let gone_for = self.gone_since.get(&member.addr).map(|at| now.since(*at));
            !(member.gone
                && member.addr != master
                && gone_for.is_some_and(|gone| gone >= prune)
                && self.silent_for(&member.addr, now) >= VIEW_EXPIRY)
        });
        for member in next.members.iter_mut().filter(|m| m.addr != master) {
            member.gone |= self.silent_for(&member.addr, now) >= tombstone;
        }
    }

    /// The record with every replica marked as gone that nobody sees any more, of the same
    /// revision; and whether the master is well, for otherwise that is nobody's fault.
    pub fn without_dead(&self, record: &GroupRecord, now: Instant) -> (GroupRecord, bool) {
        let mut next = record.clone();
        let well = self.well_since.is_some() && record.pause.is_none();
        if well {
            for member in next.members.iter_mut().filter(|m| m.addr != record.master) {
                member.gone |= self.silent_for(&member.addr, now) >= VIEW_EXPIRY;
            }
        }
        (next, well)
    }

    /// Makes room by forgetting who has been gone longest.
    fn forget_one(&self, next: &mut GroupRecord) -> bool {
        if self.well_since.is_none() {
            return false;
        }
        let gone = next.members.iter().filter(|m| m.gone);
        let since = |m: &&Member| self.gone_since.get(&m.addr).copied();
        let oldest = gone.min_by_key(|m| (since(m).is_none(), since(m)));
        let Some(oldest) = oldest.map(|m| m.addr.clone()) else { return false };
        next.members.retain(|m| m.addr != oldest);
        true
    }

    /// For how long nobody has seen the member, while the master was well and the group ours.
    pub(crate) fn silent_for(&self, addr: &NodeAddr, now: Instant) -> Duration {
        let Some(well) = self.well_since else { return Duration::ZERO };
        now.since(self.seen.get(addr).copied().map_or(well, |seen| seen.max(well)))
    }

    /// The clock of tombstones: it runs while the group is this orchestrator's in quiet times,
    /// the master is well, and nothing is under way or paused. `calm`: nobody says ODOWN.
    pub fn watch_over(&mut self, record: &GroupRecord, owner: bool, calm: bool, now: Instant) {
        self.owner = owner;
        let quiet = calm && record.pause.is_none() && record.failover.is_none();
        let master = &record.master;
        let well = || {
            let view = self.fresh(master, now);
            view.is_some_and(|view| self.fit(record, master, view, now) == Fit::InLine)
        };
        if owner && quiet && well() {
            self.well_since.get_or_insert(now);
        } else {
            self.well_since = None;
        }
        if !owner {
            self.gone_since.clear();
            self.recheck.clear();
            return;
        }
        self.gone_since.retain(|addr, _| record.member(addr).is_some_and(|m| m.gone));
        for member in record.members.iter().filter(|m| m.gone) {
            self.gone_since.entry(member.addr.clone()).or_insert(now);
        }
    }

    /// What the node said, if that is not too long ago.
    pub(super) fn fresh(&self, addr: &NodeAddr, now: Instant) -> Option<&NodeView> {
        self.views.get(addr).filter(|(_, at)| is_fresh(*at, now)).map(|(view, _)| view)
    }
}

pub(super) fn is_fresh(at: Instant, now: Instant) -> bool {
    now.since(at) < VIEW_EXPIRY
}
