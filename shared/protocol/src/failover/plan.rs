//! What a failover writes down.

use super::{Plan, Selection};
use vedette_model::{
    Branch, Flapping, GroupRecord, LossBound, NodeAddr, NodeView, OrchestratorId, PlanReason,
    Switch, SwitchReason,
};

/// The record with the plan to promote the selected node, under an epoch that no plan had before.
pub(super) fn write(
    mut record: GroupRecord,
    leader: &OrchestratorId,
    selection: Selection,
    flapping: Flapping,
    reason: PlanReason,
) -> GroupRecord {
    let trace_id = record.trace_id();
    let perhaps_announced = record.failover.as_ref().is_some_and(Plan::may_be_announced);
    record.top_epoch = record.top_epoch.next();
    // From now on it may be promoted without anybody hearing of it.
    record.branches.retain(|branch| branch.node != selection.target);
    record.branches.push(Branch { node: selection.target.clone(), offset: selection.offset });
    record.failover = Some(Plan {
        epoch: record.top_epoch,
        leader: leader.clone(),
        failed: record.master.clone(),
        target: selection.target,
        rejected: selection.rejected,
        loss: selection.loss,
        trace_id,
        flapping,
        reason,
        perhaps_announced,
    });
    record
}

/// The record in which the master goes on, under an epoch that no plan had before: whoever follows
/// the target of the plan that is given up comes back.
pub(super) fn keep_master(mut record: GroupRecord, plan: Plan) -> GroupRecord {
    let master = record.master.clone();
    let epoch = record.top_epoch.next();
    (record.epoch, record.top_epoch) = (epoch, epoch);
    record.switch = Switch {
        previous: Some(master.clone()),
        reason: SwitchReason::Switchover,
        loss: LossBound::default(),
        trace_id: plan.trace_id,
    };
    record.failover = Some(Plan {
        epoch,
        failed: master.clone(),
        target: master,
        loss: LossBound::default(),
        perhaps_announced: false,
        ..plan
    });
    record
}

/// What this failover makes of the count. One for a reason that cannot come and go does not count;
/// the others do as long as each is within the window of the one before.
pub(super) fn count(record: &GroupRecord, hard: bool, failover_ms_ago: Option<u64>) -> Flapping {
    if hard {
        return record.flapping;
    }
    let settings = &record.settings;
    let in_a_row = failover_ms_ago.is_some_and(|ms| ms <= settings.flap_window_ms);
    let count = if in_a_row { record.flapping.count.saturating_add(1) } else { 1 };
    Flapping { count, held: settings.flap_limit > 0 && count >= settings.flap_limit }
}

/// The record with the promoted node as master.
pub(super) fn carry_out(
    mut record: GroupRecord,
    plan: Plan,
    node: &NodeAddr,
    view: &NodeView,
) -> GroupRecord {
    record.epoch = plan.epoch;
    record.flapping = plan.flapping;
    record.master = node.clone();
    record.branches.retain(|branch| branch.node != *node);
    // Also the history it had until now: the failed master may have begun it unseen.
    if let Some(before) = &view.replid2 {
        record.lineage.add(before);
    }
    record.lineage.add(&view.replid);
    if let Some(member) = record.members.iter_mut().find(|m| m.addr == *node) {
        member.run_id = Some(view.run_id.clone());
        // Also of a known process: it may have been synchronised anew since it was learned.
        member.unsaved = view.unsaved;
    }
    record.switch = Switch {
        previous: Some(plan.failed),
        reason: match plan.reason {
            PlanReason::Odown | PlanReason::Forced => SwitchReason::Failover,
            PlanReason::Switchover => SwitchReason::Switchover,
        },
        loss: plan.loss,
        trace_id: plan.trace_id,
    };
    record
}
