//! Which replica becomes master.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Reverse;
use vedette_model::{
    GroupRecord, LossBound, NodeAddr, NodeFault, NodeView, RejectReason, Rejection, Role,
};

/// Sentinel's freshness limit: so many times `down_after` on top of the outage itself.
const LINK_DOWN_FACTOR: u64 = 10;

/// What is known at the moment of choice.
#[derive(Debug, Clone)]
pub struct Evidence<'a> {
    /// The record.
    pub record: &'a GroupRecord,
    /// What each replica answered just now; nodes that are missing have not answered.
    pub answers: &'a BTreeMap<NodeAddr, Result<NodeView, NodeFault>>,
    /// Nodes that failed in earlier attempts of this incident.
    pub excluded: &'a BTreeSet<NodeAddr>,
    /// The failed master's last known offset in bytes and its age in milliseconds.
    pub master_offset: Option<(u64, u64)>,
    /// How long the master has been down, in milliseconds.
    pub down_for_ms: u64,
    /// Whether patience is over, so that the freshness limit no longer counts.
    pub relaxed: bool,
}

/// The choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Whom to promote.
    pub target: NodeAddr,
    /// Why not the others.
    pub rejected: Vec<Rejection>,
    /// What may be lost at most.
    pub loss: LossBound,
}

/// Chooses, or says why nobody can be chosen.
///
/// # Errors
/// The reason for each node if none is eligible.
pub fn select(evidence: &Evidence<'_>) -> Result<Selection, Vec<Rejection>> {
    let mut rejected = Vec::new();
    let mut eligible = Vec::new();
    for member in &evidence.record.members {
        match check(evidence, &member.addr) {
            Ok(view) => eligible.push((&member.addr, view)),
            Err(reason) => rejected.push(Rejection { node: member.addr.clone(), reason }),
        }
    }
    let Some(furthest) = eligible.iter().map(|(_, view)| view.offset).max() else {
        return Err(rejected);
    };
    let max_lag = evidence.record.settings.max_lag_bytes;
    eligible.retain(|(addr, view)| {
        let bytes = furthest - view.offset;
        let near = bytes <= max_lag;
        if !near {
            let reason = RejectReason::TooFarBehind { bytes };
            rejected.push(Rejection { node: (*addr).clone(), reason });
        }
        near
    });
    eligible.sort_by_key(|(_, v)| (v.priority, Reverse(v.offset), v.run_id.clone()));
    let mut ranked = eligible.into_iter();
    let Some((target, view)) = ranked.next() else { return Err(rejected) };
    rejected.extend(
        ranked.map(|(addr, _)| Rejection { node: addr.clone(), reason: RejectReason::RanksLower }),
    );
    rejected.sort_by(|a, b| a.node.cmp(&b.node));
    let loss = LossBound {
        bytes: evidence.master_offset.map(|(offset, _)| offset.saturating_sub(view.offset)),
        as_of_ms: evidence.master_offset.map(|(_, age)| age),
    };
    Ok(Selection { target: target.clone(), rejected, loss })
}

fn check<'a>(evidence: &'a Evidence<'_>, addr: &NodeAddr) -> Result<&'a NodeView, RejectReason> {
    if *addr == evidence.record.master {
        return Err(RejectReason::FailedMaster);
    }
    if evidence.excluded.contains(addr) {
        return Err(RejectReason::FailedBefore);
    }
    let view = match evidence.answers.get(addr) {
        Some(Ok(view)) => view,
        Some(Err(fault)) => return Err(RejectReason::NoAnswer(fault.to_string())),
        None => return Err(RejectReason::NoAnswer(NodeFault::TimedOut.to_string())),
    };
    let Some(upstream) = view.upstream.as_ref().filter(|_| view.role == Role::Replica) else {
        return Err(RejectReason::NotAReplica);
    };
    if view.loading {
        return Err(RejectReason::Loading);
    }
    if view.priority == 0 {
        return Err(RejectReason::PriorityZero);
    }
    if !evidence.record.lineage.knows(view) {
        let never = view.offset == 0 && !upstream.link_up;
        return Err(if never { RejectReason::NeverSynced } else { RejectReason::Stranger });
    }
    if upstream.syncing {
        return Err(RejectReason::NeverSynced);
    }
    let limit_ms = evidence
        .down_for_ms
        .saturating_add(evidence.record.settings.down_after_ms.saturating_mul(LINK_DOWN_FACTOR));
    match upstream.down_for_ms {
        Some(for_ms) if for_ms > limit_ms && !evidence.relaxed => {
            Err(RejectReason::LinkDown { for_ms, limit_ms })
        }
        Some(_) | None => Ok(view),
    }
}

#[cfg(test)]
mod tests;
