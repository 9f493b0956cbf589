//! Whom a living master hands over to.

use super::words::describe;
use super::{Evidence, NoHeir, Selection, Wish, select};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use vedette_model::{
    GroupRecord, LossBound, NodeAddr, NodeFault, NodeView, PlanReason, RejectReason, Rejection,
    Role,
};

/// Chooses for a person who wants another master; without a master that answers, as for a failover
/// if that is wanted too.
pub(super) fn heir(
    evidence: &Evidence<'_>,
    wish: &Wish,
) -> Result<(Selection, PlanReason), NoHeir> {
    let addr = &evidence.record.master;
    let why = match evidence.answers.get(addr) {
        Some(Ok(view)) if view.loading => format!("the master {addr} is loading its data set"),
        Some(Ok(view)) if view.role == Role::Master => {
            return handover(evidence, wish, view).map(|heir| (heir, PlanReason::Switchover));
        }
        Some(Ok(_)) => format!("the recorded master {addr} says it is a replica"),
        Some(Err(fault)) => format!("the master {addr} does not answer ({fault})"),
        None => format!("the master {addr} does not answer ({})", NodeFault::TimedOut),
    };
    if !wish.forced {
        let group = &evidence.record.group;
        let why = format!(
            "{why}, so it cannot hand over: `vedette failover {group}` does without it, and loses \
             what no replica has"
        );
        return Err(NoHeir { why, rejected: Vec::new() });
    }
    // A person does not wait for patience to be over.
    let relaxed = Evidence { relaxed: true, ..evidence.clone() };
    let chosen = select(evidence).or_else(|_| select(&relaxed));
    let chosen = chosen.map(|selection| (selection, PlanReason::Forced));
    chosen.map_err(|rejected| nobody(evidence.record, rejected))
}

fn nobody(record: &GroupRecord, rejected: Vec<Rejection>) -> NoHeir {
    let why = format!("no replica of {} can be promoted: {}", record.group, describe(&rejected));
    NoHeir { why, rejected }
}

/// Only who follows the present history, linked, can come to hold all of it.
fn objection(record: &GroupRecord, view: &NodeView, master: &NodeView) -> Option<RejectReason> {
    if view.role != Role::Replica {
        return Some(RejectReason::NotAReplica);
    }
    let upstream = view.upstream.as_ref()?;
    if !upstream.link_up {
        let for_ms = upstream.down_for_ms.unwrap_or(0);
        return Some(RejectReason::LinkDown { for_ms, limit_ms: 0 });
    }
    if view.replid != master.replid {
        return Some(RejectReason::OlderHistory);
    }
    let bytes = master.offset.saturating_sub(view.offset);
    (bytes > record.settings.max_lag_bytes).then_some(RejectReason::TooFarBehind { bytes })
}

fn handover(evidence: &Evidence<'_>, wish: &Wish, master: &NodeView) -> Result<Selection, NoHeir> {
    let record = evidence.record;
    let mut answers = evidence.answers.clone();
    let mut objections: BTreeMap<NodeAddr, RejectReason> = BTreeMap::new();
    objections.insert(record.master.clone(), RejectReason::Master);
    for (addr, answer) in evidence.answers {
        // Priority 0 and loading come first, as selection says them.
        let Ok(view) = answer else { continue };
        let first = view.priority == 0 || view.loading || *addr == record.master;
        if let (false, Some(reason)) = (first, objection(record, view, master)) {
            objections.insert(addr.clone(), reason);
            answers.remove(addr);
        }
    }
    let told = |mut rejected: Vec<Rejection>| {
        for rejection in &mut rejected {
            if let Some(reason) = objections.get(&rejection.node) {
                rejection.reason = reason.clone();
            }
        }
        rejected
    };
    let mut selection = match select(&Evidence { answers: &answers, ..evidence.clone() }) {
        Ok(selection) => selection,
        Err(rejected) => return Err(nobody(record, told(rejected))),
    };
    selection.rejected = told(selection.rejected);
    // By construction: it is not promoted before it holds everything.
    selection.loss = LossBound { bytes: Some(0), as_of_ms: Some(0) };
    match wish.to.as_ref().filter(|to| **to != selection.target) {
        None => Ok(selection),
        Some(to) => named(record, selection, to, &answers),
    }
}

/// The one that a person named, if it could be chosen as well.
fn named(
    record: &GroupRecord,
    mut selection: Selection,
    to: &NodeAddr,
    answers: &BTreeMap<NodeAddr, Result<NodeView, NodeFault>>,
) -> Result<Selection, NoHeir> {
    let rank = selection.rejected.iter().position(|rejection| rejection.node == *to);
    let Some(rank) = rank else {
        let why = format!("{to} is not a member of {}", record.group);
        return Err(NoHeir { why, rejected: Vec::new() });
    };
    let Rejection { reason, .. } = selection.rejected.remove(rank);
    if reason != RejectReason::RanksLower {
        let why = format!("{to} cannot be promoted: {reason}");
        return Err(NoHeir { why, rejected: Vec::new() });
    }
    let first = core::mem::replace(&mut selection.target, to.clone());
    selection.rejected.push(Rejection { node: first, reason: RejectReason::NotNamed });
    selection.rejected.sort_by(|a, b| a.node.cmp(&b.node));
    if let Some(Ok(view)) = answers.get(to) {
        selection.offset = view.offset;
    }
    Ok(selection)
}

/// What would be done, in words.
pub(super) fn foreseen(record: &GroupRecord, heir: &Selection, reason: PlanReason) -> String {
    let how = match reason {
        PlanReason::Switchover => "would hand over to".to_string(),
        PlanReason::Odown | PlanReason::Forced => "would be replaced by".to_string(),
    };
    let others: String = describe(&heir.rejected);
    format!("{} {how} {}; not chosen: {others}", record.master, heir.target)
}
