//! Bringing every node in line with the record.
//!
//! ```text
//!  NodeReport (views) ──►┌─────────────────────────────────────────┐
//!  record             ──►│ compare: in line · syncing · chained    │──► has_work
//!                        │   · stray · wrong upstream · foreign …  │
//!                        │ learn: processes, histories, members    │──► learned record
//!                        │   that come, move, go                   │
//!  begin (ballot held)──►│ round: Inspect ─► Follow ─► Inspect …   │──► Inspect, Follow, Event
//!  Answer             ──►│   parallel_syncs at a time, the first   │──► Repaired, Finished
//!  time               ──►│   confirmed before the rest             │
//!                        └─────────────────────────────────────────┘
//! ```
//!
//! Reports only raise suspicion; a correction is decided by the node's own fresh `INFO`, under a
//! ballot. A node whose history is not the group's is never touched, and a paused group is only
//! looked at. Nobody is made to follow a recorded master that says it is a replica.

mod compare;
mod learn;
mod round;
mod words;

pub use compare::{Fit, compare};

use crate::happening::Happening;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use learn::is_fresh;
use round::Round;
use vedette_model::{GroupRecord, Instant, NodeAddr, NodeView, Role, RunId};

/// A node is corrected at most this often under one master.
pub const CORRECT_EVERY: Duration = Duration::from_secs(5);
/// A view older than this says nothing any more.
const VIEW_EXPIRY: Duration = Duration::from_secs(15);
/// Nodes remembered: members, and others that were seen lately.
const VIEW_LIMIT: usize = 2 * GroupRecord::MEMBER_LIMIT;

/// What a round of corrections asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ask a node for `INFO`.
    Inspect(NodeAddr),
    /// Have the new master write its role down, and ask it for `INFO`.
    Save(NodeAddr),
    /// Make a node follow the master.
    Follow {
        /// The node.
        node: NodeAddr,
        /// Whether its clients are closed.
        cut_clients: bool,
        /// Whether the node is asked who changed it.
        ask_who: bool,
        /// What to tell people once it is sent. What a stray master gives up is told once it answers.
        told: Option<Happening>,
    },
    /// A node is in line.
    Repaired(NodeAddr),
    /// Tell people.
    Event(Happening),
    /// The round is over.
    Finished {
        /// Whether its time was over first.
        timed_out: bool,
    },
}

/// One group's nodes as seen, and the corrections under way.
#[derive(Debug, Clone, Default)]
pub struct Reconciler {
    views: BTreeMap<NodeAddr, (NodeView, Instant)>,
    /// When each member was seen last; not cleared by a new reign.
    seen: BTreeMap<NodeAddr, Instant>,
    /// Since when the master is well, nothing is under way, and the group is ours.
    well_since: Option<Instant>,
    /// Since when this owner knows each tombstone.
    gone_since: BTreeMap<NodeAddr, Instant>,
    owner: bool,
    /// Processes that were in line under the present master, and whom they followed.
    in_line: BTreeMap<NodeAddr, (RunId, Option<NodeAddr>)>,
    corrected: BTreeMap<NodeAddr, Instant>,
    /// Nodes that somebody else had changed are looked at again then: who changed one once may do
    /// it again, and reports come every 10 s only.
    recheck: BTreeMap<NodeAddr, Instant>,
    foreign_told: BTreeMap<NodeAddr, RunId>,
    rewrite_told: BTreeMap<NodeAddr, RunId>,
    round: Option<Round>,
    permitted: bool,
    acts: VecDeque<Act>,
}

impl Reconciler {
    /// Takes what a prober saw, or an own inspection. Of nodes that are no members no more are
    /// remembered than a group may have members.
    pub fn view(&mut self, record: &GroupRecord, addr: &NodeAddr, view: NodeView, now: Instant) {
        let is_member = record.member(addr).is_some();
        if self.views.len() >= VIEW_LIMIT && !self.views.contains_key(addr) {
            self.views.retain(|a, (_, at)| is_fresh(*at, now) && record.member(a).is_some());
        }
        // What happened while the master was out of sight is nobody's silence.
        if *addr == record.master && self.fresh(addr, now).is_none() {
            self.well_since = None;
        }
        let fit = self.fit(record, addr, &view, now);
        match fit {
            // Who loads shows a history of its own until it has read the one on its disk.
            Fit::Foreign if view.loading => {}
            Fit::Foreign => self.tell_foreign(record, addr, &view, is_member),
            Fit::InLine if is_member => {
                let upstream = view.upstream.as_ref().map(|up| up.addr.clone());
                self.in_line.insert(addr.clone(), (view.run_id.clone(), upstream));
            }
            Fit::MasterIsReplica if self.was_changed(addr, &view) => {
                self.in_line.remove(addr);
                if self.owner {
                    self.acts.push_back(Act::Event(words::master_changed(addr, &view)));
                }
            }
            Fit::InLine
            | Fit::MasterIsReplica
            | Fit::Syncing
            | Fit::Chained
            | Fit::Stray
            | Fit::WrongUpstream
            | Fit::Alias => {}
        }
        if is_member && fit != Fit::Foreign {
            self.seen.insert(addr.clone(), now);
        }
        self.views.insert(addr.clone(), (view, now));
    }

    /// A stranger at a member's address, once per process.
    fn tell_foreign(
        &mut self,
        record: &GroupRecord,
        addr: &NodeAddr,
        view: &NodeView,
        is_member: bool,
    ) {
        if is_member && self.owner && self.foreign_told.get(addr) != Some(&view.run_id) {
            self.foreign_told.insert(addr.clone(), view.run_id.clone());
            self.acts.push_back(Act::Event(words::foreign(record, addr, view)));
        }
    }

    /// Whether somebody else changed it: it is the process that was in line under this master, and
    /// it follows somebody else now, or nobody.
    fn was_changed(&self, addr: &NodeAddr, view: &NodeView) -> bool {
        let upstream = view.upstream.as_ref().map(|up| &up.addr);
        // That is how we freeze a master that hands over.
        let frozen = upstream == Some(addr);
        let before = self.in_line.get(addr).filter(|_| !frozen);
        before.is_some_and(|(run_id, up)| *run_id == view.run_id && up.as_ref() != upstream)
    }

    /// A new reign began: what was seen before it says nothing any more, and whoever was moved in
    /// the one before is moved again at once.
    pub fn new_reign(&mut self) {
        self.views.clear();
        self.in_line.clear();
        self.corrected.clear();
        self.recheck.clear();
    }

    /// Forgets what it knows of nodes that are no members any more.
    fn forget_strangers(&mut self, record: &GroupRecord) {
        let is_member = |addr: &NodeAddr| record.member(addr).is_some();
        self.seen.retain(|addr, _| is_member(addr));
        self.in_line.retain(|addr, _| is_member(addr));
        self.corrected.retain(|addr, _| is_member(addr));
        self.recheck.retain(|addr, _| is_member(addr));
        self.foreign_told.retain(|addr, _| is_member(addr));
        self.rewrite_told.retain(|addr, _| is_member(addr));
    }

    /// Whether the last views ask for a round.
    pub fn has_work(&self, record: &GroupRecord, now: Instant) -> bool {
        if record.pause.is_some() {
            return false;
        }
        let fresh = self.views.iter().filter(|(_, (_, at))| is_fresh(*at, now));
        let mut wrong = fresh.filter(|(addr, (view, _))| {
            record.member(addr).is_some()
                && matches!(self.fit(record, addr, view, now), Fit::Stray | Fit::WrongUpstream)
        });
        let unfit = self.fresh(&record.master, now).is_some_and(|view| is_unfit(record, view));
        (!unfit && wrong.any(|(addr, _)| self.may_correct(addr, now)))
            || self.recheck.values().any(|at| now >= *at)
            || self.learned(record, now).is_some()
    }

    /// What is wrong and not ours to mend, in words; empty if nothing is.
    pub fn trouble(&self, record: &GroupRecord) -> String {
        let tell = |(addr, (view, _)): (&NodeAddr, &(NodeView, Instant))| {
            record.member(addr)?;
            match compare(record, addr, view) {
                Fit::Foreign if view.loading => None,
                Fit::Foreign => Some(format!(
                    "{addr} hosts a {} of another history; {}",
                    view.role,
                    words::advice(record, addr)
                )),
                Fit::MasterIsReplica => Some(format!(
                    "the recorded master {addr} says it is a replica: nobody is made to follow \
                     it, and it or another is promoted when a quorum of probers agrees"
                )),
                Fit::InLine
                | Fit::Syncing
                | Fit::Chained
                | Fit::Stray
                | Fit::WrongUpstream
                | Fit::Alias => None,
            }
        };
        let each: alloc::vec::Vec<_> = self.views.iter().filter_map(tell).collect();
        each.join("; ")
    }

    /// When [`Reconciler::has_work`] may become true by time alone. What members' silence and
    /// tombstones ask for is found out with the next report.
    pub fn work_due(&self, now: Instant) -> Option<Instant> {
        let corrected = self.corrected.values().map(|at| *at + CORRECT_EVERY);
        corrected.chain(self.recheck.values().copied()).filter(|at| *at > now).min()
    }

    fn may_correct(&self, addr: &NodeAddr, now: Instant) -> bool {
        self.corrected.get(addr).is_none_or(|at| now.since(*at) >= CORRECT_EVERY)
    }

    /// Whether commands may be sent: the lease lasts.
    pub const fn permit(&mut self, permitted: bool) {
        self.permitted = permitted;
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }
}

/// Whether nobody may be made to follow the recorded master as it is.
fn is_unfit(record: &GroupRecord, view: &NodeView) -> bool {
    view.role == Role::Replica || record.is_outdated(&record.master, view)
}

#[cfg(test)]
mod tests;
