//! What probers and voters say of one group's nodes.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use vedette_model::{
    Epoch, EventName, GroupRecord, Instant, NodeAddr, NodeState, NodeView, OdownVerdict, ProberId,
    Roster, SdownReport, SwitchReason, VoterId,
};

/// A report or verdict counts for so long, as for the voters and orchestrators.
const REPORT_EXPIRY: Duration = Duration::from_secs(3);
/// The report of a node that is not the recorded master, which is repeated less often.
const OTHERS_EXPIRY: Duration = Duration::from_secs(12);
/// Nodes remembered: members, and others that were seen lately.
const VIEW_LIMIT: usize = 2 * GroupRecord::MEMBER_LIMIT;

/// For how long a node is down, and by how many words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Down {
    /// Since when this gateway counts it as down.
    pub since: Instant,
    /// Probers, or voters, that say so.
    pub by: usize,
}

/// What is known of one node.
#[derive(Debug, Clone, Copy, Default)]
pub struct Look<'a> {
    /// What it said last, and when that came.
    pub view: Option<(&'a NodeView, Instant)>,
    /// Whether a quorum of probers calls it down.
    pub down: Option<Down>,
    /// Since when clients are told that it is down because it must not be read from: a replica's
    /// only, see [`Config::unreadable_is_down`](super::Config::unreadable_is_down).
    pub unreadable: Option<Instant>,
    /// When it last gave a good answer, as far as is known.
    pub good: Option<Instant>,
    /// Since when it has said what its role is.
    pub role_since: Option<Instant>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    view: Option<(NodeView, Instant)>,
    role_since: Option<Instant>,
    /// Who calls it down, and until when that counts.
    down: BTreeMap<ProberId, Instant>,
    good: Option<Instant>,
    down_since: Option<Instant>,
    unreadable_since: Option<Instant>,
}

/// One group's nodes as seen, and what the voters make of the master.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupSeen {
    nodes: BTreeMap<NodeAddr, Seen>,
    verdicts: BTreeMap<VoterId, (OdownVerdict, Instant)>,
    odown_since: Option<Instant>,
    /// The replicas of the record told last.
    pub(super) replicas: BTreeSet<NodeAddr>,
    /// What was told of each node, and of the master's ODOWN.
    pub(super) told_down: BTreeMap<NodeAddr, bool>,
    pub(super) told_odown: bool,
    /// The highest epoch told.
    pub(super) told_epoch: Option<Epoch>,
    /// Since when somebody asks for votes, without an end of it that was heard.
    pub(super) attempt: Option<Instant>,
    /// When the present epoch was heard of.
    reign_since: Option<Instant>,
}

impl GroupSeen {
    /// Takes what a node said; whether its role was another one before.
    pub(super) fn report(&mut self, node: NodeAddr, view: NodeView, now: Instant) -> bool {
        if self.nodes.len() >= VIEW_LIMIT && !self.nodes.contains_key(&node) {
            return false;
        }
        let seen = self.nodes.entry(node).or_default();
        let before = seen.view.as_ref().map(|(before, _)| before.role);
        if before != Some(view.role) {
            seen.role_since = Some(now);
        }
        let turned = before.is_some_and(|before| before != view.role);
        seen.good = Some(now);
        seen.view = Some((view, now));
        turned
    }

    /// Notes that votes are asked for, or how that ended.
    pub(super) fn attempted(&mut self, name: EventName, now: Instant) {
        if name == EventName::TryFailover {
            self.attempt = Some(now);
        }
        if [EventName::ElectedLeader, EventName::AbortNoGoodSlave].contains(&name) {
            self.attempt = None;
        }
    }

    /// Takes a prober's opinion; of another reign it says nothing.
    pub(super) fn opinion(&mut self, record: &GroupRecord, report: SdownReport, now: Instant) {
        if report.epoch != record.epoch || record.member(&report.node).is_none() {
            return;
        }
        let is_master = report.node == record.master;
        let seen = self.nodes.entry(report.node).or_default();
        match report.state {
            NodeState::Up => {
                seen.down.remove(&report.prober);
                seen.good = Some(now);
            }
            NodeState::Down(_) => {
                let lasts = if is_master { REPORT_EXPIRY } else { OTHERS_EXPIRY };
                seen.down.insert(report.prober, now + lasts);
            }
        }
    }

    pub(super) fn verdict(&mut self, verdict: OdownVerdict, now: Instant) {
        self.verdicts.insert(verdict.voter.clone(), (verdict, now));
    }

    /// Whether it has handed over to the present master and nobody has told since what it says.
    pub(super) fn has_handed_over(&self, record: &GroupRecord, node: &NodeAddr) -> bool {
        let said = self.nodes.get(node).and_then(|seen| seen.view.as_ref()).map(|(_, at)| *at);
        record.switch.reason == SwitchReason::Switchover
            && record.switch.previous.as_ref() == Some(node)
            && said.is_some_and(|said| Some(said) <= self.reign_since)
    }

    /// Forgets what this prober said, which lives no more.
    pub(super) fn forget_prober(&mut self, prober: &str) {
        for seen in self.nodes.values_mut() {
            seen.down.retain(|id, _| id.as_str() != prober);
        }
    }

    /// Forgets what is too old, and nodes that are no members any more.
    pub(super) fn expire(&mut self, record: &GroupRecord, now: Instant) {
        for seen in self.nodes.values_mut() {
            seen.down.retain(|_, until| *until > now);
        }
        self.nodes.retain(|addr, _| record.member(addr).is_some());
        self.told_down.retain(|addr, _| record.member(addr).is_some());
        self.verdicts.retain(|_, (_, heard)| now.since(*heard) < REPORT_EXPIRY);
    }

    /// What was said of the reign before is over; who is still down is reported again within a
    /// second.
    pub(super) fn new_reign(&mut self, now: Instant) {
        self.reign_since = Some(now);
        for seen in self.nodes.values_mut() {
            seen.down.clear();
            seen.down_since = None;
        }
        self.verdicts.clear();
        self.odown_since = None;
        self.told_down.clear();
        self.told_odown = false;
        self.attempt = None;
    }

    /// Notes since when a node is down, or must not be read from; whether clients are told so.
    pub(super) fn is_down(
        &mut self,
        node: &NodeAddr,
        needed: usize,
        unreadable: bool,
        now: Instant,
    ) -> bool {
        let Some(seen) = self.nodes.get_mut(node) else { return false };
        let fresh = seen.down.values().filter(|until| **until > now).count();
        if fresh >= needed {
            seen.down_since.get_or_insert(now);
        } else {
            seen.down_since = None;
        }
        if unreadable {
            seen.unreadable_since.get_or_insert(now);
        } else {
            seen.unreadable_since = None;
        }
        seen.down_since.is_some() || unreadable
    }

    /// Notes since when the master is objectively down; whether it is.
    pub(super) fn is_odown(&mut self, record: &GroupRecord, roster: &Roster, now: Instant) -> bool {
        if roster.majority().reached(self.votes(record, roster, now)) {
            self.odown_since.get_or_insert(now);
        } else {
            self.odown_since = None;
        }
        self.odown_since.is_some()
    }

    fn votes(&self, record: &GroupRecord, roster: &Roster, now: Instant) -> usize {
        let fits = |(verdict, heard): &&(OdownVerdict, Instant)| {
            verdict.reached
                && verdict.epoch == record.epoch
                && verdict.master == record.master
                && now.since(*heard) < REPORT_EXPIRY
                && roster.contains(&verdict.voter)
        };
        self.verdicts.values().filter(fits).count()
    }

    /// The probers' words that the voters' verdict rests on.
    pub(super) fn tally(&self) -> usize {
        self.verdicts.values().map(|(verdict, _)| verdict.tally.len()).max().unwrap_or(0)
    }

    pub(super) fn odown(
        &self,
        record: &GroupRecord,
        roster: &Roster,
        now: Instant,
    ) -> Option<Down> {
        let by = self.votes(record, roster, now);
        let since = self.odown_since?;
        roster.majority().reached(by).then_some(Down { since, by })
    }

    pub(super) fn look(
        &self,
        record: &GroupRecord,
        node: &NodeAddr,
        needed: usize,
        now: Instant,
    ) -> Look<'_> {
        let Some(seen) = self.nodes.get(node).filter(|_| record.member(node).is_some()) else {
            return Look::default();
        };
        let by = seen.down.values().filter(|until| **until > now).count();
        Look {
            view: seen.view.as_ref().map(|(view, at)| (view, *at)),
            down: seen.down_since.filter(|_| by >= needed).map(|since| Down { since, by }),
            unreadable: seen.unreadable_since.filter(|_| *node != record.master),
            good: seen.good,
            role_since: seen.role_since,
        }
    }
}
