//! How a node compares with the record.

use super::Reconciler;
use alloc::collections::BTreeSet;
use vedette_model::{GroupRecord, Instant, NodeAddr, NodeView, Role};

/// How a node compares with the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fit {
    /// As recorded.
    InLine,
    /// Follows the right master; its link is not up yet.
    Syncing,
    /// Follows another member, as the settings allow, but is not known to hear the master through
    /// it: that is left to the member it follows.
    Chained,
    /// Says it is a master and is not the recorded one, or was frozen when it was master.
    Stray,
    /// Follows somebody else.
    WrongUpstream,
    /// Its history is not the group's: not ours to touch.
    Foreign,
    /// The recorded master says it is a replica.
    MasterIsReplica,
    /// The recorded master by another address: it must never be told to follow itself.
    Alias,
}

/// Compares a node with the record alone. Of a replica behind another member it cannot say whether
/// it is in line: [`Fit::Chained`].
pub fn compare(record: &GroupRecord, addr: &NodeAddr, view: &NodeView) -> Fit {
    let member = record.member(addr);
    let known_process = member.is_some_and(|m| m.run_id.as_ref() == Some(&view.run_id));
    // What an address vouches for is nothing to follow if its disk is known to be behind.
    let behind = record.master == *addr && record.is_outdated(addr, view);
    let trusted = member.is_some() && record.settings.trust_recorded_address && !behind;
    let nothing_to_lose = member.is_some() && view.empty;
    let branched = member.is_some() && record.is_branch(addr, view);
    let no_history_yet = record.lineage.is_empty();
    let ours = record.lineage.knows(view)
        || known_process
        || branched
        || trusted
        || nothing_to_lose
        || (no_history_yet && member.is_some());
    if record.master == *addr {
        return match view.role {
            _ if !ours => Fit::Foreign,
            Role::Master => Fit::InLine,
            Role::Replica => Fit::MasterIsReplica,
        };
    }
    let master = record.member(&record.master);
    if master.is_some_and(|m| m.run_id.as_ref() == Some(&view.run_id)) {
        return Fit::Alias;
    }
    let may_follow = |up: &NodeAddr| {
        let other = record.member(up).is_some_and(|m| !m.gone);
        record.settings.chained_replicas && other && up != addr
    };
    match (view.role, view.upstream.as_ref()) {
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
        // Frozen by a switchover, and its clients are those of a master still.
        (Role::Replica, Some(up)) if up.addr == *addr => Fit::Stray,
        (Role::Replica, Some(up)) if may_follow(&up.addr) => Fit::Chained,
        (Role::Replica, _) => Fit::WrongUpstream,
        (Role::Master, _) => Fit::Stray,
    }
}

impl Reconciler {
    /// Compares a node with the record and, if it follows another member, with what is known of
    /// the nodes between it and the master.
    pub(super) fn fit(
        &self,
        record: &GroupRecord,
        addr: &NodeAddr,
        view: &NodeView,
        now: Instant,
    ) -> Fit {
        let fit = compare(record, addr, view);
        if fit == Fit::Chained { self.chain(record, addr, view, now) } else { fit }
    }

    /// Walks from a chained replica towards the master. Only who is wrong itself is corrected: not
    /// those behind it.
    fn chain(&self, record: &GroupRecord, addr: &NodeAddr, view: &NodeView, now: Instant) -> Fit {
        let Some(upstream) = &view.upstream else { return Fit::WrongUpstream };
        let reached = if upstream.link_up { Fit::InLine } else { Fit::Chained };
        let failed = record.failover.as_ref().map(|plan| &plan.failed);
        let mut passed = BTreeSet::from([addr]);
        let mut at = &upstream.addr;
        loop {
            if !passed.insert(at) {
                return if at == addr { Fit::WrongUpstream } else { Fit::Chained };
            }
            // Nobody waits behind a master that was given up, until it is a replica itself.
            let given_up = failed == Some(at) || record.switch.previous.as_ref() == Some(at);
            let gave_up = if passed.len() == 2 && given_up { Fit::WrongUpstream } else { reached };
            let Some(view) = self.fresh(at, now) else { return gave_up };
            match compare(record, at, view) {
                Fit::InLine | Fit::Alias => return reached,
                Fit::Syncing => return gave_up,
                Fit::Chained => match &view.upstream {
                    Some(next) => at = &next.addr,
                    None => return Fit::WrongUpstream,
                },
                Fit::Stray | Fit::WrongUpstream if gave_up == reached => return Fit::Chained,
                Fit::Stray | Fit::WrongUpstream => return Fit::WrongUpstream,
                Fit::Foreign | Fit::MasterIsReplica => return Fit::WrongUpstream,
            }
        }
    }
}
