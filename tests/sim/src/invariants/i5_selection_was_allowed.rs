//! 5. The promoted node was, of those that answered the survey, one that selection allows. Written
//!    anew from the rule and with what is really true of the nodes, not with the code that selects.

use super::{Chosen, Invariant, Seen, Truth};
use std::collections::{BTreeMap, BTreeSet};
use vedette_model::{
    BallotNumber, Command, Epoch, Failover, GroupRecord, Instant, NodeAddr, NodeView, Role,
};

/// What one candidate found out.
#[derive(Debug, Clone, Default)]
struct Survey {
    answers: BTreeMap<NodeAddr, (NodeView, Truth)>,
    /// Whose promotion it tried already.
    tried: BTreeSet<NodeAddr>,
}

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct SelectionWasAllowed {
    surveys: BTreeMap<BallotNumber, Survey>,
    /// Plans seen: whoever takes one over goes on with it.
    planned: BTreeSet<(Epoch, NodeAddr)>,
}

impl SelectionWasAllowed {
    fn judge(
        &self,
        ballot: &BallotNumber,
        record: &GroupRecord,
        plan: &Failover,
    ) -> Result<(), String> {
        let nothing = Survey::default();
        let survey = self.surveys.get(ballot).unwrap_or(&nothing);
        let target = &plan.target;
        let no = |why: &str| Err(format!("{target} was chosen under {ballot}: {why}"));
        let Some((view, truth)) = survey.answers.get(target) else {
            return no("it did not answer the survey");
        };
        if *target == plan.failed && view.role != Role::Replica {
            return no("it is the failed master, and did not come back as a replica");
        }
        if !truth.own {
            return no("it is not of this group");
        }
        if view.priority == 0 || view.loading {
            return no("it is of priority 0, or loading");
        }
        if survey.tried.contains(target) {
            return no("its promotion had failed before");
        }
        let age = |view: &NodeView| record.lineage.age_of(view).unwrap_or(usize::MAX);
        let others = survey.answers.iter().filter(|(node, _)| !survey.tried.contains(*node));
        let eligible = others.filter(|(_, (view, truth))| {
            let linked = view.upstream.as_ref().is_some_and(|up| {
                !up.syncing && up.down_for_ms.is_none_or(|ms| ms <= record.settings.down_after_ms)
            });
            truth.own && linked && view.priority > 0 && !view.loading && record.lineage.knows(view)
        });
        for (other, (seen, other_truth)) in eligible {
            if age(seen) < age(view) {
                return no(&format!("the replica {other} holds a newer history"));
            }
            // Masters are what is left when everything was restarted and patience is over, or whom
            // the others follow already, or hold more than may be given up for a replica's sake.
            let follows = seen.upstream.as_ref().is_some_and(|up| up.addr == *target);
            let further = view.offset.saturating_sub(seen.offset);
            let better = age(view) < age(seen) || further > record.settings.max_lag_bytes;
            if view.role != Role::Replica && !follows && !better {
                return no(&format!("it says master, and the replica {other} could be promoted"));
            }
            if truth.empty && !other_truth.empty {
                return no(&format!("it is empty, and {other} is not"));
            }
            // Offsets of different histories cannot be compared.
            let comparable = record.lineage.is_current(&seen.replid);
            let ahead = seen.offset.saturating_sub(view.offset);
            if comparable && ahead > record.settings.max_lag_bytes {
                return no(&format!("at {}, while {other} is at {}", view.offset, seen.offset));
            }
        }
        Ok(())
    }
}

impl Invariant for SelectionWasAllowed {
    const NAME: &'static str = "5, the selection was allowed";

    fn see(&mut self, seen: &Seen<'_>, _chosen: &Chosen, _now: Instant) -> Result<(), String> {
        match seen {
            Seen::Stands(ballot) => {
                self.surveys.insert((*ballot).clone(), Survey::default());
            }
            Seen::Inspects(ballot, node) => {
                if let Some(survey) = self.surveys.get_mut(*ballot) {
                    survey.answers.remove(*node);
                }
            }
            Seen::Inspected(ballot, node, view, truth) => {
                if let Some(survey) = self.surveys.get_mut(*ballot) {
                    survey.answers.insert((*node).clone(), ((*view).clone(), *truth));
                }
            }
            Seen::Commanded(ballot, node, Command::Promote { .. }) => {
                if let Some(survey) = self.surveys.get_mut(*ballot) {
                    survey.tried.insert((*node).clone());
                }
            }
            Seen::Proposed(ballot, record) => {
                let Some(plan) = &record.failover else { return Ok(()) };
                // A frozen master becomes master again: nobody is chosen.
                if record.epoch < plan.epoch
                    && !plan.is_given_back()
                    && self.planned.insert((plan.epoch, plan.target.clone()))
                {
                    return self.judge(ballot, record, plan);
                }
            }
            Seen::Commanded(..)
            | Seen::Executed(..)
            | Seen::Accepted(..)
            | Seen::Committed(..)
            | Seen::Promised(..)
            | Seen::ReportedDown(..)
            | Seen::Announced(_)
            | Seen::Froze(..)
            | Seen::Wanted(_)
            | Seen::HandsOver(_)
            | Seen::Reads(..) => {}
        }
        Ok(())
    }
}
