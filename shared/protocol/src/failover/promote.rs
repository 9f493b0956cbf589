//! Promoting the target, or going on to the next.

use super::{Act, Failover, Phase, Plan, TRY_AGAIN, plan};
use crate::happening::Happening;
use alloc::format;
use core::time::Duration;
use vedette_model::{
    Answer, EventName, GroupRecord, Instant, NodeAddr, NodeFault, NodeView, PlanReason, Role, Step,
};

/// A target that has not said a word for so long is given up for the next.
const SILENCE_LIMIT: Duration = Duration::from_secs(1);
/// While a frozen master waits nobody takes writes: then the target has less time.
const HANDOVER_LIMIT: Duration = Duration::from_millis(500);

impl Failover {
    pub(super) fn promote_if_due(&mut self, now: Instant) {
        let Phase::Promoting { since, next_try, asked: false } = self.phase else { return };
        let Some(target) = self.plan().map(|plan| plan.target.clone()) else { return };
        if now < next_try {
            return;
        }
        self.phase = Phase::Promoting { since, next_try, asked: true };
        self.acts.push_back(Act::Promote(target.clone()));
        let happening = Happening::of(EventName::SendSlaveofNoOne, &target, "it was selected");
        self.acts.push_back(Act::Event(happening));
    }

    pub(super) fn promotion_answer(
        &mut self,
        node: &NodeAddr,
        answer: Answer,
        since: Instant,
        now: Instant,
    ) {
        let fault = match answer {
            Answer::Done { view, .. } if view.role == Role::Master => {
                let cause = "its ROLE says master";
                let given_back = self.plan().is_some_and(Plan::is_given_back);
                self.commit_master(node, &view);
                // Its clients' writes may still wait.
                if given_back {
                    self.acts.push_back(Act::Unpause(node.clone()));
                }
                let promoted = Happening::of(EventName::PromotedSlave, node, cause);
                self.acts.push_back(Act::Event(promoted));
                self.acts.push_back(Act::Step(Step::Promoted { target: node.clone() }));
                return;
            }
            Answer::Done { .. } => NodeFault::Error("it is a replica all the same".into()),
            Answer::Failed(fault) => fault,
        };
        // That was our permission, not its silence: its time begins anew.
        let since = if fault == NodeFault::Expired { now } else { since };
        let limit = match &fault {
            NodeFault::Refused | NodeFault::Replaced | NodeFault::Denied(_) => Duration::ZERO,
            // The machine is gone, or as good as gone.
            NodeFault::TimedOut => self.promotion_limit().min(SILENCE_LIMIT),
            NodeFault::Broken(_)
            | NodeFault::Expired
            | NodeFault::Unresolved(_)
            | NodeFault::Error(_) => self.promotion_limit(),
        };
        let handed = self.plan().is_some_and(Plan::is_handover);
        let limit = if handed { limit.min(HANDOVER_LIMIT) } else { limit };
        if now >= since + limit {
            self.next_candidate(node, &fault, now);
        } else {
            let next_try = now + TRY_AGAIN;
            self.phase = Phase::Promoting { since, next_try, asked: false };
        }
    }

    /// How long one target is tried.
    pub(super) fn promotion_limit(&self) -> Duration {
        let whole_ms = self.record.as_ref().map_or(0, |r| r.settings.failover_timeout_ms);
        let tenth = Duration::from_millis(whole_ms / 10);
        tenth.clamp(Duration::from_millis(500), Duration::from_secs(5))
    }

    pub(super) fn commit_master(&mut self, node: &NodeAddr, view: &NodeView) {
        let Some(record) = self.record.clone() else { return };
        let Some(plan) = record.failover.clone() else { return };
        self.phase = Phase::Committing;
        let given_back = plan.is_given_back();
        let switched = plan::carry_out(record, plan, node, view);
        // Its epoch and its plan are committed: nobody else can become master of this epoch, so that
        // applications need not wait for the commit. Those of a master that goes on have nothing to hear.
        if !given_back {
            let revision = switched.revision.next();
            self.acts.push_back(Act::AnnounceAhead(GroupRecord { revision, ..switched.clone() }));
        }
        self.propose(switched);
    }

    pub(super) fn next_candidate(&mut self, node: &NodeAddr, fault: &NodeFault, now: Instant) {
        if self.plan().is_some_and(Plan::is_handover) {
            self.give_back(&format!("{node} could not be promoted: {fault}"), now);
            return;
        }
        let why = format!("{node} could not be promoted: {fault}; the next candidate is tried");
        let happening = Happening::of(EventName::AbortSlaveTimeout, node, why.clone());
        self.acts.push_back(Act::Event(happening));
        self.acts.push_back(Act::Step(Step::Aborted { why }));
        self.excluded.insert(node.clone());
        self.asked.clear();
        self.answers.clear();
        // Who could not be given the role back is down as far as anybody can tell.
        if self.reason == PlanReason::Switchover {
            self.reason = PlanReason::Forced;
        }
        self.phase = Phase::Surveying;
        if let Some(record) = self.record.clone() {
            self.survey(&record, now);
        }
        self.select_if_surveyed(now);
    }
}
