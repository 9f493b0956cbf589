//! Which replica becomes master.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::cmp::Reverse;
use vedette_model::{
    GroupRecord, LossBound, Member, NodeAddr, NodeFault, NodeView, RejectReason, Rejection, Role,
    Settings,
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
    /// How long ago the recorded master was promoted, in milliseconds, if a voter remembers it.
    pub reign_ms: Option<u64>,
    /// Whether patience is over: no freshness limit any more, and masters will do as well.
    pub relaxed: bool,
}

/// The choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Whom to promote.
    pub target: NodeAddr,
    /// How many bytes of history it has.
    pub offset: u64,
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
    let mut field = Field { eligible: Vec::new(), rejected: Vec::new() };
    let all_empty = evidence.relaxed && all_are_empty(evidence);
    for member in &evidence.record.members {
        match check(evidence, member, all_empty) {
            Ok((claim, view)) => field.eligible.push((&member.addr, claim, view)),
            Err(reason) => field.reject(&member.addr, reason),
        }
    }
    // Offsets can be compared within one history only.
    let newest = field.eligible.iter().map(|(_, claim, _)| *claim).min();
    field.keep(|claim, _| (Some(claim) != newest).then_some(RejectReason::OlderHistory));
    if field.eligible.iter().any(|(.., view)| view.persistence_ok) {
        field.keep(|_, view| (!view.persistence_ok).then_some(RejectReason::WriteImpaired));
    }
    let furthest = field.eligible.iter().map(|(.., view)| view.offset).max().unwrap_or(0);
    let max_lag = evidence.record.settings.max_lag_bytes;
    field.keep(|_, view| {
        let bytes = furthest - view.offset;
        (bytes > max_lag).then_some(RejectReason::TooFarBehind { bytes })
    });
    let settings = &evidence.record.settings;
    let master = &evidence.record.master;
    let head = head(evidence).or_else(|| heir(evidence.record, newest));
    let followed: BTreeSet<_> = field.eligible.iter().filter_map(|(.., v)| upstream(v)).collect();
    field.eligible.sort_by_key(|(addr, claim, v)| {
        let (switches, moves) = (Some(*addr) != head, *addr != master);
        // What a master's offset counts it may have taken alone, since it was restarted.
        let alone = v.role == Role::Master && !followed.contains(addr);
        let alone = alone && matches!(claim, Claim::History(_));
        let rank = (alone, !is_preferred(settings, addr), v.priority, Reverse(v.offset));
        (switches, rank, moves, v.run_id.clone())
    });
    let first = field.eligible.first().map(|(addr, _, view)| ((*addr).clone(), view.offset));
    let Some((target, offset)) = first else { return Err(field.rejected) };
    for (addr, ..) in field.eligible.split_off(1) {
        field.reject(addr, RejectReason::RanksLower);
    }
    field.rejected.sort_by(|a, b| a.node.cmp(&b.node));
    let loss = LossBound {
        bytes: evidence.master_offset.map(|(known, _)| known.saturating_sub(offset)),
        as_of_ms: evidence.master_offset.map(|(_, age)| age),
    };
    Ok(Selection { target, offset, rejected: field.rejected, loss })
}

/// Who is left, and why the others are not.
struct Field<'a> {
    eligible: Vec<(&'a NodeAddr, Claim, &'a NodeView)>,
    rejected: Vec<Rejection>,
}

impl Field<'_> {
    fn reject(&mut self, addr: &NodeAddr, reason: RejectReason) {
        self.rejected.push(Rejection { node: addr.clone(), reason });
    }

    fn keep(&mut self, objection: impl Fn(Claim, &NodeView) -> Option<RejectReason>) {
        let rejected = &mut self.rejected;
        self.eligible.retain(|(addr, claim, view)| {
            let reason = objection(*claim, view);
            let kept = reason.is_none();
            let rejection = reason.map(|reason| Rejection { node: (*addr).clone(), reason });
            rejected.extend(rejection);
            kept
        });
    }
}

/// What makes a node's data the group's. The first is the strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Claim {
    /// It holds this one of the group's histories; 0 is the newest.
    History(usize),
    /// It is the process that the record knows, or was perhaps promoted without a record of it.
    Process,
    /// It holds something at a member's address, and that is trusted.
    Address,
    /// The same, but its disk is known to have been behind.
    OutdatedAddress,
    /// It holds nothing, and neither does anybody else.
    Empty,
}

fn claim(
    evidence: &Evidence<'_>,
    member: &Member,
    view: &NodeView,
    all_empty: bool,
) -> Option<Claim> {
    if let Some(age) = evidence.record.lineage.age_of(view) {
        return Some(Claim::History(age));
    }
    if !evidence.relaxed {
        return None;
    }
    // A replica may have copied a stranger since it was known; a master copies nobody.
    let known = member.run_id.as_ref() == Some(&view.run_id)
        || evidence.record.is_branch(&member.addr, view);
    let known = known && view.role == Role::Master;
    match (view.empty, known, evidence.record.settings.trust_recorded_address) {
        (true, ..) => all_empty.then_some(Claim::Empty),
        (false, true, _) => Some(Claim::Process),
        (false, false, true) if evidence.record.is_outdated(&member.addr, view) => {
            Some(Claim::OutdatedAddress)
        }
        (false, false, true) => Some(Claim::Address),
        (false, false, false) => None,
    }
}

/// Whether every node that is still expected has answered that it holds nothing.
fn all_are_empty(evidence: &Evidence<'_>) -> bool {
    let failed =
        |m: &Member| m.addr == evidence.record.master && !evidence.answers.contains_key(&m.addr);
    let mut others = evidence.record.members.iter().filter(|m| !failed(m));
    others.all(|member| match evidence.answers.get(&member.addr) {
        Some(Ok(view)) => view.empty,
        Some(Err(_)) | None => member.gone,
    })
}

/// Whom the recorded master follows by now, linked to it, if both are the processes that the record
/// knows and it went on from the newest history: somebody switched by hand, and whatever was
/// written since then is there. After a restart such roles are the claims of old configurations.
fn head<'a>(evidence: &'a Evidence<'_>) -> Option<&'a NodeAddr> {
    let record = evidence.record;
    let known = |addr: &NodeAddr| {
        let view = evidence.answers.get(addr)?.as_ref().ok()?;
        let member = record.members.iter().find(|m| m.addr == *addr)?;
        (member.run_id.as_ref() == Some(&view.run_id)).then_some(view)
    };
    let master = known(&record.master).filter(|view| view.role == Role::Replica)?;
    let upstream = master.upstream.as_ref().filter(|up| up.link_up)?;
    let head = known(&upstream.addr).filter(|view| view.role == Role::Master)?;
    (record.lineage.age_of(head) == Some(0)).then_some(&upstream.addr)
}

/// The master before, if the recorded one was lost before its disk held what it had when it was
/// promoted, and addresses are all there is to go by: that reign was short, and offsets and
/// histories begin anew with each process.
fn heir(record: &GroupRecord, newest: Option<Claim>) -> Option<&NodeAddr> {
    let unsaved = record.member(&record.master).is_some_and(|m| m.unsaved);
    let previous = record.switch.previous.as_ref();
    previous.filter(|_| unsaved && newest == Some(Claim::Address))
}

fn upstream(view: &NodeView) -> Option<&NodeAddr> {
    view.upstream.as_ref().map(|up| &up.addr)
}

fn is_preferred(settings: &Settings, addr: &NodeAddr) -> bool {
    let preferred = settings.preferred_place.as_ref();
    let place = settings.node_places.iter().find(|at| at.node == *addr).map(|at| &at.place);
    preferred.is_some() && preferred == place
}

fn check<'a>(
    evidence: &'a Evidence<'_>,
    member: &Member,
    all_empty: bool,
) -> Result<(Claim, &'a NodeView), RejectReason> {
    let addr = &member.addr;
    let returned = || matches!(evidence.answers.get(addr), Some(Ok(v)) if v.role == Role::Replica);
    if *addr == evidence.record.master && !returned() {
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
    let upstream = view.upstream.as_ref().filter(|_| view.role == Role::Replica);
    // Where everybody was restarted as a master, the best of them is all there is.
    if upstream.is_none() && !evidence.relaxed && Some(addr) != head(evidence) {
        return Err(RejectReason::NotAReplica);
    }
    if view.loading {
        return Err(RejectReason::Loading);
    }
    if view.priority == 0 {
        return Err(RejectReason::PriorityZero);
    }
    let Some(claim) = claim(evidence, member, view, all_empty) else {
        let never = view.empty || (view.offset == 0 && upstream.is_some_and(|up| !up.link_up));
        return Err(if never { RejectReason::NeverSynced } else { RejectReason::Stranger });
    };
    let limit_ms = evidence
        .down_for_ms
        .saturating_add(evidence.record.settings.down_after_ms.saturating_mul(LINK_DOWN_FACTOR));
    // It has nothing of the present reign: no matter how short a time its link seems to be down,
    // it is as old as the reign.
    let young = evidence.reign_ms.is_some_and(|ms| ms <= limit_ms);
    if claim != Claim::History(0) && !young && !evidence.relaxed {
        return Err(RejectReason::OlderHistory);
    }
    let Some(upstream) = upstream else { return Ok((claim, view)) };
    if upstream.syncing {
        return Err(RejectReason::NeverSynced);
    }
    match upstream.down_for_ms {
        Some(for_ms) if for_ms > limit_ms && !evidence.relaxed => {
            Err(RejectReason::LinkDown { for_ms, limit_ms })
        }
        Some(_) | None => Ok((claim, view)),
    }
}

#[cfg(test)]
mod tests;
