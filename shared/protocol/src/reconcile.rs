//! Bringing every node in line with the record.
//!
//! ```text
//!  NodeReport (views) ──►┌─────────────────────────────────────────┐
//!  record             ──►│ compare: in line · syncing · stray      │──► has_work, learned record
//!                        │   · wrong upstream · foreign            │
//!  begin (ballot held)──►│ round: Inspect ─► Follow ─► Inspect …   │──► Inspect, Follow, Event
//!  Answer             ──►│   parallel_syncs at a time, the first   │──► Repaired, Finished
//!  time               ──►│   confirmed before the rest             │
//!                        └─────────────────────────────────────────┘
//! ```
//!
//! Reports only raise suspicion; a correction is decided by the node's own fresh `INFO`, under a
//! ballot. A node whose history is not the group's is never touched.

use crate::failover::rewrite_failed;
use crate::happening::Happening;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use vedette_model::{
    Answer, EventName, GroupRecord, Instant, Member, NodeAddr, NodeFault, NodeView, Role,
};

/// A node is corrected at most this often under one master.
pub const CORRECT_EVERY: Duration = Duration::from_secs(5);
/// During a round nodes are looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A view older than this says nothing any more.
const VIEW_EXPIRY: Duration = Duration::from_secs(15);
/// A node that was told to follow and whose link is not up by then gives its slot to the next.
const SYNC_SLOT: Duration = Duration::from_secs(10);
/// A quiet round is over by then.
const QUIET_ROUND: Duration = Duration::from_secs(2);

/// How a node compares with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// As recorded.
    InLine,
    /// Follows the right master; its link is not up yet.
    Syncing,
    /// Says it is a master and is not the recorded one.
    Stray,
    /// Follows somebody else.
    WrongUpstream,
    /// Its history is not the group's: not ours to touch.
    Foreign,
    /// The recorded master says it is a replica.
    MasterIsReplica,
}

/// Compares a node with the record.
pub fn compare(record: &GroupRecord, addr: &NodeAddr, view: &NodeView) -> Fit {
    let member = record.member(addr);
    let known_process = member.is_some_and(|m| m.run_id.as_ref() == Some(&view.run_id));
    let trusted = member.is_some() && record.settings.trust_recorded_address;
    let nothing_to_lose = member.is_some() && view.empty;
    let no_history_yet = record.lineage.is_empty();
    let ours = record.lineage.knows(view)
        || known_process
        || trusted
        || nothing_to_lose
        || (no_history_yet && member.is_some());
    let upstream = view.upstream.as_ref();
    if record.master == *addr {
        return match view.role {
            _ if !ours => Fit::Foreign,
            Role::Master => Fit::InLine,
            Role::Replica => Fit::MasterIsReplica,
        };
    }
    match (view.role, upstream) {
        (Role::Replica, Some(up)) if up.addr == record.master => {
            if up.link_up {
                Fit::InLine
            } else {
                Fit::Syncing
            }
        }
        // Linked to our history, by another name of the master: no other member listens there.
        (Role::Replica, Some(up))
            if up.link_up
                && record.lineage.is_current(&view.replid)
                && record.member(&up.addr).is_none() =>
        {
            Fit::InLine
        }
        _ if !ours => Fit::Foreign,
        (Role::Replica, _) => Fit::WrongUpstream,
        (Role::Master, _) => Fit::Stray,
    }
}

/// What a round of corrections asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ask a node for `INFO`.
    Inspect(NodeAddr),
    /// Make a node follow the master.
    Follow {
        /// The node.
        node: NodeAddr,
        /// Whether its clients are closed.
        cut_clients: bool,
        /// What to tell people once it is sent.
        told: Happening,
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

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// Nothing known in this round.
    Unknown,
    /// Wrong, waiting for a slot or for its five seconds.
    Wrong { stray: bool },
    /// Told to follow; holds a slot.
    Moving { since: Instant },
    /// As recorded.
    Done,
    /// Cannot be reached, or is not ours.
    Skipped,
}

#[derive(Debug, Clone)]
struct Round {
    /// Whether the round lasts until links are up.
    wait: bool,
    deadline: Instant,
    next_look: Instant,
    /// Corrections wait for this; none once it has come.
    act_after: Option<Instant>,
    nodes: BTreeMap<NodeAddr, Progress>,
    asked: BTreeSet<NodeAddr>,
    moved: BTreeSet<NodeAddr>,
    confirmed: bool,
}

/// One group's nodes as seen, and the corrections under way.
#[derive(Debug, Clone, Default)]
pub struct Reconciler {
    views: BTreeMap<NodeAddr, (NodeView, Instant)>,
    corrected: BTreeMap<NodeAddr, Instant>,
    foreign_told: BTreeMap<NodeAddr, vedette_model::RunId>,
    round: Option<Round>,
    permitted: bool,
    acts: VecDeque<Act>,
}

impl Reconciler {
    /// Takes what a prober saw, or an own inspection. At most
    /// [`GroupRecord::MEMBER_LIMIT`] nodes are remembered.
    pub fn view(&mut self, record: &GroupRecord, addr: &NodeAddr, view: NodeView, now: Instant) {
        let room = self.views.len() < GroupRecord::MEMBER_LIMIT;
        if !room && !self.views.contains_key(addr) {
            return;
        }
        if compare(record, addr, &view) == Fit::Foreign
            && record.member(addr).is_some()
            && self.foreign_told.get(addr) != Some(&view.run_id)
        {
            self.foreign_told.insert(addr.clone(), view.run_id.clone());
            let cause = format!(
                "a {} with a history that is not the group's ({}) answers there; it is left \
                 alone. If it is yours and its data may be replaced, send it REPLICAOF {} {}",
                view.role,
                view.replid,
                record.master.host(),
                record.master.port()
            );
            self.acts.push_back(Act::Event(Happening::of(
                EventName::IdentityConflict,
                addr,
                cause,
            )));
        }
        self.views.insert(addr.clone(), (view, now));
    }

    /// A new reign began: what was seen before it says nothing any more, and whoever was moved in
    /// the one before is moved again at once.
    pub fn new_reign(&mut self) {
        self.views.clear();
        self.corrected.clear();
    }

    /// Whether the last views ask for a round.
    pub fn has_work(&self, record: &GroupRecord, now: Instant) -> bool {
        if record.pause.is_some() {
            return false;
        }
        let fresh = self.views.iter().filter(|(_, (_, at))| now.since(*at) < VIEW_EXPIRY);
        let wrong = fresh.filter(|(addr, (view, _))| {
            record.member(addr).is_some()
                && matches!(compare(record, addr, view), Fit::Stray | Fit::WrongUpstream)
        });
        wrong.into_iter().any(|(addr, _)| self.may_correct(addr, now))
            || self.learned(record, now).is_some()
    }

    /// What is wrong and not ours to mend, in words; empty if nothing is.
    pub fn trouble(&self, record: &GroupRecord) -> String {
        let tell = |(addr, (view, _)): (&NodeAddr, &(NodeView, Instant))| {
            record.member(addr)?;
            match compare(record, addr, view) {
                Fit::Foreign => Some(format!(
                    "{addr} hosts a {} of another history; if it is yours and its data may be \
                     replaced, send it REPLICAOF {} {}",
                    view.role,
                    record.master.host(),
                    record.master.port()
                )),
                Fit::MasterIsReplica => Some(format!(
                    "the recorded master {addr} is a replica now: send it REPLICAOF NO ONE"
                )),
                Fit::InLine | Fit::Syncing | Fit::Stray | Fit::WrongUpstream => None,
            }
        };
        let each: alloc::vec::Vec<_> = self.views.iter().filter_map(tell).collect();
        each.join("; ")
    }

    /// When [`Reconciler::has_work`] may become true by time alone.
    pub fn work_due(&self, now: Instant) -> Option<Instant> {
        self.corrected.values().map(|at| *at + CORRECT_EVERY).filter(|at| *at > now).min()
    }

    fn may_correct(&self, addr: &NodeAddr, now: Instant) -> bool {
        self.corrected.get(addr).is_none_or(|at| now.since(*at) >= CORRECT_EVERY)
    }

    /// The record with what the views teach: new replicas, run ids, histories. None if nothing.
    pub fn learned(&self, record: &GroupRecord, now: Instant) -> Option<GroupRecord> {
        let mut next = record.clone();
        for (addr, (view, at)) in &self.views {
            if now.since(*at) >= VIEW_EXPIRY {
                continue;
            }
            let fit = compare(record, addr, view);
            if *addr == record.master && (fit == Fit::InLine || self.is_shared(record, view)) {
                next.lineage.add(&view.replid);
            }
            let room = next.members.len() < GroupRecord::MEMBER_LIMIT;
            match next.members.iter_mut().find(|m| m.addr == *addr) {
                Some(member) if fit == Fit::InLine => member.run_id = Some(view.run_id.clone()),
                Some(_) => {}
                None if fit == Fit::InLine && record.lineage.knows(view) && room => {
                    let run_id = Some(view.run_id.clone());
                    next.members.push(Member { addr: addr.clone(), run_id, gone: false });
                }
                None => {}
            }
        }
        next.members.sort_by(|a, b| a.addr.cmp(&b.addr));
        if next == *record {
            return None;
        }
        next.revision = record.revision.next();
        Some(next)
    }

    /// Whether a known process of the group already holds the history that the recorded master
    /// shows: then it is the group's, wherever it came from (a master that restarted empty, faster
    /// than anybody could act, is copied by its replicas before we can say a word).
    fn is_shared(&self, record: &GroupRecord, master: &NodeView) -> bool {
        let known = |addr: &NodeAddr, view: &NodeView| {
            record.member(addr).is_some_and(|m| m.run_id.as_ref() == Some(&view.run_id))
        };
        master.role == Role::Master
            && self.views.iter().any(|(addr, (view, _))| {
                let linked = view.upstream.as_ref().is_some_and(|up| up.link_up);
                linked && view.replid == master.replid && known(addr, view)
            })
    }

    /// Starts a round: after a failover (`wait`: until links are up), or in quiet times.
    pub fn begin(&mut self, record: &GroupRecord, wait: bool, act_after: Instant, now: Instant) {
        let limit = Duration::from_millis(record.settings.failover_timeout_ms);
        let others = record.members.iter().map(|m| m.addr.clone());
        let nodes = others.filter(|a| *a != record.master).map(|a| (a, Progress::Unknown));
        self.round = Some(Round {
            wait,
            deadline: now + if wait { limit } else { QUIET_ROUND },
            next_look: now,
            act_after: Some(act_after),
            nodes: nodes.collect(),
            asked: BTreeSet::new(),
            moved: BTreeSet::new(),
            confirmed: false,
        });
        self.tick(record, now);
    }

    /// Gives the round up: the ballot is gone.
    pub fn stop(&mut self) {
        self.round = None;
    }

    /// Whether commands may be sent: the lease lasts.
    pub const fn permit(&mut self, permitted: bool) {
        self.permitted = permitted;
    }

    /// Whether a round is under way.
    pub const fn in_round(&self) -> bool {
        self.round.is_some()
    }

    /// A node answered an inspection or a correction of this round.
    pub fn answer(&mut self, record: &GroupRecord, addr: &NodeAddr, answer: Answer, now: Instant) {
        let Some(round) = &mut self.round else { return };
        round.asked.remove(addr);
        match answer {
            Answer::Done { view, rewrite_error, .. } => {
                if let Some(error) = rewrite_error {
                    self.acts.push_back(Act::Event(rewrite_failed(addr, &error)));
                }
                self.settle(record, addr, compare(record, addr, &view), now);
                self.view(record, addr, view, now);
            }
            Answer::Failed(fault) => self.unanswered(addr, &fault),
        }
    }

    fn unanswered(&mut self, addr: &NodeAddr, fault: &NodeFault) {
        let Some(round) = &mut self.round else { return };
        let Some(progress) = round.nodes.get_mut(addr) else { return };
        match (fault, *progress) {
            // Not sent, or sent without a word back: look again before deciding anything.
            (NodeFault::Expired, _) => {
                *progress = Progress::Unknown;
                self.corrected.remove(addr);
                round.moved.remove(addr);
            }
            (_, Progress::Done) => {}
            (_, Progress::Unknown | Progress::Wrong { .. } | Progress::Moving { .. })
            | (_, Progress::Skipped) => *progress = Progress::Skipped,
        }
    }

    fn settle(&mut self, record: &GroupRecord, addr: &NodeAddr, fit: Fit, now: Instant) {
        let Some(round) = &mut self.round else { return };
        let wait = round.wait;
        let Some(progress) = round.nodes.get_mut(addr) else { return };
        let before = *progress;
        *progress = match (fit, before) {
            (Fit::InLine, _) => Progress::Done,
            (Fit::Syncing, _) if !wait => Progress::Done,
            (Fit::Syncing, Progress::Moving { since }) => Progress::Moving { since },
            (Fit::Syncing, _) => Progress::Moving { since: now },
            (Fit::Stray, _) => Progress::Wrong { stray: true },
            (Fit::WrongUpstream, _) => Progress::Wrong { stray: false },
            (Fit::Foreign | Fit::MasterIsReplica, _) => Progress::Skipped,
        };
        if *progress == Progress::Done && before != Progress::Done && round.moved.contains(addr) {
            round.confirmed = true;
            self.acts.push_back(Act::Repaired(addr.clone()));
            let cause = format!("it follows {} and its link is up", record.master);
            let done = Happening::of(EventName::SlaveReconfDone, addr, cause);
            if fit == Fit::InLine {
                self.acts.push_back(Act::Event(done));
            }
        }
    }

    /// Looks at nodes, hands out slots, ends the round.
    pub fn tick(&mut self, record: &GroupRecord, now: Instant) {
        let Some(mut round) = self.round.take() else { return };
        if now >= round.next_look {
            round.next_look = now + LOOK_EVERY;
            for (addr, progress) in &round.nodes {
                let open = matches!(progress, Progress::Unknown | Progress::Moving { .. });
                if open && round.asked.insert(addr.clone()) {
                    self.acts.push_back(Act::Inspect(addr.clone()));
                }
            }
        }
        round.act_after = round.act_after.filter(|at| now < *at);
        if round.act_after.is_none() && self.permitted {
            self.hand_out(&mut round, record, now);
        }
        let ended = round.nodes.iter().all(|(addr, progress)| match progress {
            Progress::Done | Progress::Skipped => true,
            Progress::Wrong { .. } => !self.may_correct(addr, now) && !round.wait,
            Progress::Unknown | Progress::Moving { .. } => false,
        });
        if ended || now >= round.deadline {
            self.acts.push_back(Act::Finished { timed_out: !ended });
        } else {
            self.round = Some(round);
        }
    }

    fn hand_out(&mut self, round: &mut Round, record: &GroupRecord, now: Instant) {
        let moving =
            |p: &Progress| matches!(p, Progress::Moving { since } if now.since(*since) < SYNC_SLOT);
        let mut taken = round.nodes.values().filter(|p| moving(p)).count();
        let slots = if round.confirmed { record.settings.parallel_syncs as usize } else { 1 };
        for (addr, progress) in &mut round.nodes {
            let Progress::Wrong { stray } = *progress else { continue };
            // A stray master is not made to wait: every moment of it may take writes.
            if (taken >= slots && !stray)
                || round.asked.contains(addr)
                || self.corrected.get(addr).is_some_and(|at| now.since(*at) < CORRECT_EVERY)
            {
                continue;
            }
            taken += 1;
            *progress = Progress::Moving { since: now };
            round.asked.insert(addr.clone());
            round.moved.insert(addr.clone());
            self.corrected.insert(addr.clone(), now);
            let (name, cause): (_, String) = match (stray, round.wait) {
                (true, _) => {
                    let cause = format!("it says master, {} is", record.master);
                    (EventName::ConvertToSlave, cause)
                }
                (false, true) => {
                    (EventName::SlaveReconfSent, format!("{} is master now", record.master))
                }
                (false, false) => {
                    (EventName::FixSlaveConfig, format!("it does not follow {}", record.master))
                }
            };
            let told = Happening::of(name, addr, cause);
            self.acts.push_back(Act::Follow { node: addr.clone(), cut_clients: stray, told });
        }
    }

    /// When the round wants to go on.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let round = self.round.as_ref()?;
        [round.act_after, Some(round.next_look), Some(round.deadline)].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }
}

#[cfg(test)]
mod tests;
