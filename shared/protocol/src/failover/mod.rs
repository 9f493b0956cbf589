//! The failover: a plan that is written down, then walked in steps that are safe to repeat.
//!
//! ```text
//!  survey ─► elected ─► select ─► [plan committed] ─► promote ─► ROLE says master
//!    │                    │ none eligible                 │ fails: exclude, survey again
//!    ▼                    ▼                               ▼
//!  Inspect…             End(aborted)      [master committed] ─► Announce ─► repair ─► [end] ─► End
//!
//!  takeover: the recorded plan is committed again under the new ballot and walked on from there
//! ```
//!
//! `[…]` is a commit by a majority of voters. Nothing is sent to a node before the plan is
//! committed, and nothing is announced before the master is.

mod plan;
mod select;
mod words;

pub use select::{Evidence, Selection, select};
use words::{describe, millis};
pub(crate) use words::{rewrite_failed, switch_cause};

use crate::happening::Happening;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use vedette_model::{
    Answer, EventName, Failover as Plan, GroupRecord, Instant, NodeAddr, NodeFault, NodeView,
    OrchestratorId, Purpose, Rejection, Role, Step,
};

/// Replicas that have not answered the survey by then are left out.
pub const SURVEY_LIMIT: Duration = Duration::from_millis(200);
const TRY_AGAIN: Duration = Duration::from_millis(50);
/// After "no good slave" the next attempt waits, unless a node's report brings it forward.
const NO_GOOD_SLAVE_PAUSE: Duration = Duration::from_secs(1);

/// What the leader does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Act {
    /// Ask a node for `INFO`.
    Inspect(NodeAddr),
    /// Promote a node.
    Promote(NodeAddr),
    /// Have a majority accept the record.
    Propose(GroupRecord),
    /// Tell the world who is master, then bring the other nodes in line.
    Announce,
    /// Tell watchers what has been finished.
    Step(Step),
    /// Tell people.
    Event(Happening),
    /// The walk is over: let go of the ballot.
    End {
        /// Why it did not reach its end; none if it did.
        aborted: Option<String>,
        /// How long to wait before the next attempt.
        pause: Duration,
    },
}

/// What the leader-to-be knows when it starts.
#[derive(Debug, Clone, Hash)]
pub struct Setting {
    /// Who walks.
    pub me: OrchestratorId,
    /// What the ballot is asked for.
    pub purpose: Purpose,
    /// The failed master's last known offset in bytes, and when it was seen.
    pub master_offset: Option<(u64, Instant)>,
    /// When the master's silence or crash was agreed upon.
    pub odown_since: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    /// Waiting for the survey and for the votes.
    Surveying,
    /// The plan is being committed.
    Planning,
    /// The target is being promoted; `asked` while an answer is due.
    Promoting {
        until: Instant,
        next_try: Instant,
        asked: bool,
    },
    /// The new master is being committed.
    Committing,
    /// The other nodes are being moved.
    Repairing,
    /// The end is being committed.
    Ending {
        timed_out: bool,
    },
    /// A record is being settled or a plan erased; then the walk is over.
    Leaving {
        why: Option<String>,
        pause: Duration,
    },
    Over,
}

/// One walk.
#[derive(Debug, Clone, Hash)]
pub struct Failover {
    setting: Setting,
    phase: Phase,
    record: Option<GroupRecord>,
    elected: bool,
    act_after: Instant,
    deadline: Option<Instant>,
    survey_until: Instant,
    asked: BTreeSet<NodeAddr>,
    answers: BTreeMap<NodeAddr, Result<NodeView, NodeFault>>,
    excluded: BTreeSet<NodeAddr>,
    acts: VecDeque<Act>,
}

impl Failover {
    /// Starts the survey, while the votes are being asked for.
    pub fn new(setting: Setting, known: Option<&GroupRecord>, now: Instant) -> Self {
        let mut walk = Self {
            setting,
            phase: Phase::Surveying,
            record: None,
            elected: false,
            act_after: now,
            deadline: None,
            survey_until: now + SURVEY_LIMIT,
            asked: BTreeSet::new(),
            answers: BTreeMap::new(),
            excluded: BTreeSet::new(),
            acts: VecDeque::new(),
        };
        // Who takes over has a target already, and must not mistake an answer for its promotion.
        let known = known.filter(|_| matches!(walk.setting.purpose, Purpose::Failover { .. }));
        if let Some(record) = known {
            walk.survey(record);
        }
        walk
    }

    fn survey(&mut self, record: &GroupRecord) {
        let candidates = record.members.iter().map(|m| &m.addr);
        for addr in candidates.filter(|a| **a != record.master && !self.excluded.contains(*a)) {
            if self.asked.insert(addr.clone()) {
                self.acts.push_back(Act::Inspect(addr.clone()));
            }
        }
    }

    /// A majority promised: go on from what they had accepted.
    pub fn elected(&mut self, adopted: Option<GroupRecord>, act_after: Instant, now: Instant) {
        let Some(record) = adopted else {
            self.end(Some("the voters know no such group".into()), NO_GOOD_SLAVE_PAUSE);
            return;
        };
        self.elected = true;
        self.act_after = act_after;
        self.deadline = Some(now + Duration::from_millis(record.settings.failover_timeout_ms));
        self.acts.push_back(Act::Step(Step::Claimed));
        self.record = Some(record.clone());
        match self.check_purpose(&record) {
            Ok(()) if record.failover.is_some() => self.take_over(record),
            Ok(()) => {
                let before = self.asked.len();
                self.survey(&record);
                if self.asked.len() > before {
                    self.survey_until = now + SURVEY_LIMIT;
                }
                self.select_if_surveyed(now);
            }
            // What was adopted may have been accepted by a minority: commit it, then leave.
            Err(why) => self.leave(record, why, Duration::ZERO),
        }
    }

    fn check_purpose(&self, record: &GroupRecord) -> Result<(), Option<String>> {
        match &self.setting.purpose {
            Purpose::Takeover if record.failover.is_none() => Err(None),
            Purpose::Takeover => Ok(()),
            Purpose::Failover { epoch, master } => {
                let same = record.epoch == *epoch && record.master == *master;
                if !same || record.failover.is_some() {
                    return Err(Some(format!("the record moved on to epoch {}", record.epoch)));
                }
                match &record.pause {
                    Some(pause) => Err(Some(format!("the group is paused: {}", pause.reason))),
                    None => Ok(()),
                }
            }
            Purpose::Configure => Err(Some("a failover needs another purpose".into())),
        }
    }

    fn take_over(&mut self, mut record: GroupRecord) {
        if let Some(plan) = &mut record.failover {
            let cause = format!("{} fell silent", plan.leader);
            self.acts.push_back(Act::Event(Happening::new(EventName::TakeOver, cause)));
            plan.leader = self.setting.me.clone();
        }
        self.phase = Phase::Planning;
        self.propose(record);
    }

    fn leave(&mut self, record: GroupRecord, why: Option<String>, pause: Duration) {
        self.phase = Phase::Leaving { why, pause };
        self.acts.push_back(Act::Propose(record));
    }

    fn end(&mut self, aborted: Option<String>, pause: Duration) {
        self.phase = Phase::Over;
        self.acts.push_back(Act::End { aborted, pause });
    }

    fn propose(&mut self, mut record: GroupRecord) {
        record.revision = record.revision.next();
        self.acts.push_back(Act::Propose(record));
    }

    /// A node answered an inspection or a promotion.
    pub fn answer(&mut self, node: &NodeAddr, answer: Answer, now: Instant) {
        match self.phase {
            Phase::Surveying => {
                if self.asked.contains(node) {
                    let answer = match answer {
                        Answer::Done { view, .. } => Ok(view),
                        Answer::Failed(fault) => Err(fault),
                    };
                    self.answers.insert(node.clone(), answer);
                }
                self.select_if_surveyed(now);
            }
            Phase::Promoting { until, asked: true, .. } => {
                if self.plan().is_some_and(|plan| plan.target == *node) {
                    self.promotion_answer(node, answer, until, now);
                }
            }
            Phase::Promoting { asked: false, .. }
            | Phase::Planning
            | Phase::Committing
            | Phase::Repairing
            | Phase::Ending { .. }
            | Phase::Leaving { .. }
            | Phase::Over => {}
        }
    }

    fn plan(&self) -> Option<&Plan> {
        self.record.as_ref()?.failover.as_ref()
    }

    fn select_if_surveyed(&mut self, now: Instant) {
        let complete = self.answers.len() == self.asked.len() || now >= self.survey_until;
        if self.phase != Phase::Surveying || !self.elected || !complete {
            return;
        }
        let Some(record) = self.record.clone() else { return };
        let answered = u32::try_from(self.answers.values().filter(|a| a.is_ok()).count());
        let asked = u32::try_from(self.asked.len());
        self.acts.push_back(Act::Step(Step::Surveyed {
            answered: answered.unwrap_or(u32::MAX),
            asked: asked.unwrap_or(u32::MAX),
        }));
        let down_for = self.setting.odown_since.map_or(Duration::ZERO, |at| now.since(at));
        let evidence = Evidence {
            record: &record,
            answers: &self.answers,
            excluded: &self.excluded,
            master_offset: self.setting.master_offset.map(|(o, at)| (o, millis(now.since(at)))),
            down_for_ms: millis(down_for).saturating_add(record.settings.down_after_ms),
            relaxed: millis(down_for) >= record.settings.patience_ms,
        };
        match select(&evidence) {
            Ok(selection) => {
                self.phase = Phase::Planning;
                self.propose(plan::write(record, &self.setting.me, selection));
            }
            Err(rejected) => self.no_good_slave(record, &rejected),
        }
    }

    fn no_good_slave(&mut self, mut record: GroupRecord, rejected: &[Rejection]) {
        let why = format!(
            "no replica can be promoted: {}; start one of them again, or add one",
            describe(rejected)
        );
        let happening = Happening::new(EventName::AbortNoGoodSlave, why.clone());
        self.acts.push_back(Act::Event(happening));
        self.acts.push_back(Act::Step(Step::Aborted { why: why.clone() }));
        if record.failover.take().is_some() {
            record.revision = record.revision.next();
            self.leave(record, Some(why), NO_GOOD_SLAVE_PAUSE);
        } else {
            self.end(Some(why), NO_GOOD_SLAVE_PAUSE);
        }
    }

    /// A majority accepted what was proposed.
    pub fn committed(&mut self, record: &GroupRecord, now: Instant) {
        self.record = Some(record.clone());
        match core::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Planning => self.planned(record, now),
            Phase::Committing => self.announce(record),
            Phase::Ending { timed_out } => {
                let name = if timed_out {
                    EventName::FailoverEndForTimeout
                } else {
                    EventName::FailoverEnd
                };
                let cause = format!("{} is master of epoch {}", record.master, record.epoch);
                self.acts.push_back(Act::Event(Happening::new(name, cause)));
                self.acts.push_back(Act::Step(Step::Ended));
                self.end(None, Duration::ZERO);
            }
            Phase::Leaving { why, pause } => self.end(why, pause),
            other @ (Phase::Surveying
            | Phase::Promoting { .. }
            | Phase::Repairing
            | Phase::Over) => self.phase = other,
        }
    }

    fn planned(&mut self, record: &GroupRecord, now: Instant) {
        let Some(plan) = record.failover.clone() else { return };
        if record.master == plan.target {
            self.announce(record);
            return;
        }
        let limit = Duration::from_millis(record.settings.failover_timeout_ms / 10)
            .clamp(Duration::from_millis(500), Duration::from_secs(5));
        let next_try = self.act_after.max(now);
        self.phase = Phase::Promoting { until: next_try + limit, next_try, asked: false };
        let chosen = format!(
            "epoch {}; at most {} bytes lost{}; not chosen: {}",
            plan.epoch,
            plan.loss.bytes.map_or_else(|| "an unknown number of".to_string(), |b| b.to_string()),
            plan.loss
                .as_of_ms
                .map_or_else(String::new, |ms| { format!(" and what came in the last {ms} ms") }),
            describe(&plan.rejected)
        );
        let selected = Happening::of(EventName::SelectedSlave, &plan.target, chosen);
        self.acts.push_back(Act::Event(selected));
        self.acts.push_back(Act::Step(Step::Selected { target: plan.target }));
        self.promote_if_due(now);
    }

    fn announce(&mut self, record: &GroupRecord) {
        self.phase = Phase::Repairing;
        self.acts.push_back(Act::Announce);
        self.acts.push_back(Act::Step(Step::Committed { epoch: record.epoch }));
    }

    fn promote_if_due(&mut self, now: Instant) {
        let Phase::Promoting { until, next_try, asked: false } = self.phase else { return };
        let Some(target) = self.plan().map(|plan| plan.target.clone()) else { return };
        if now < next_try {
            return;
        }
        self.phase = Phase::Promoting { until, next_try, asked: true };
        self.acts.push_back(Act::Promote(target.clone()));
        let happening = Happening::of(EventName::SendSlaveofNoOne, &target, "it was selected");
        self.acts.push_back(Act::Event(happening));
    }

    fn promotion_answer(&mut self, node: &NodeAddr, answer: Answer, until: Instant, now: Instant) {
        let fault = match answer {
            Answer::Done { view, rewrite_error, .. } if view.role == Role::Master => {
                let cause = "its ROLE says master";
                self.commit_master(node, &view);
                let promoted = Happening::of(EventName::PromotedSlave, node, cause);
                self.acts.push_back(Act::Event(promoted));
                if let Some(error) = rewrite_error {
                    self.acts.push_back(Act::Event(rewrite_failed(node, &error)));
                }
                self.acts.push_back(Act::Step(Step::Promoted { target: node.clone() }));
                return;
            }
            Answer::Done { .. } => NodeFault::Error("it is a replica all the same".into()),
            Answer::Failed(fault) => fault,
        };
        let hopeless = matches!(fault, NodeFault::Refused | NodeFault::Denied(_));
        if hopeless || now >= until {
            self.next_candidate(node, &fault, now);
        } else {
            let next_try = now + TRY_AGAIN;
            self.phase = Phase::Promoting { until, next_try, asked: false };
        }
    }

    fn commit_master(&mut self, node: &NodeAddr, view: &NodeView) {
        let Some(record) = self.record.clone() else { return };
        let Some(plan) = record.failover.clone() else { return };
        self.phase = Phase::Committing;
        self.propose(plan::carry_out(record, plan, node, view));
    }

    fn next_candidate(&mut self, node: &NodeAddr, fault: &NodeFault, now: Instant) {
        let why = format!("{node} could not be promoted: {fault}; the next candidate is tried");
        let happening = Happening::of(EventName::AbortSlaveTimeout, node, why.clone());
        self.acts.push_back(Act::Event(happening));
        self.acts.push_back(Act::Step(Step::Aborted { why }));
        self.excluded.insert(node.clone());
        self.asked.clear();
        self.answers.clear();
        self.phase = Phase::Surveying;
        self.survey_until = now + SURVEY_LIMIT;
        if let Some(record) = self.record.clone() {
            self.survey(&record);
        }
        self.select_if_surveyed(now);
    }

    /// Every reachable node is in line, or the time for it is over.
    pub fn repaired(&mut self, timed_out: bool) {
        let Some(mut record) = self.record.clone().filter(|_| self.phase == Phase::Repairing)
        else {
            return;
        };
        record.failover = None;
        self.phase = Phase::Ending { timed_out };
        self.propose(record);
    }

    /// When the whole must be over; none before the election.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends waits.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.select_if_surveyed(now);
        self.promote_if_due(now);
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        if late && matches!(self.phase, Phase::Promoting { .. }) {
            let Some(mut record) = self.record.clone() else { return };
            let why = "failover_timeout is over".to_string();
            let happening = Happening::new(EventName::AbortSlaveTimeout, why.clone());
            self.acts.push_back(Act::Event(happening));
            self.acts.push_back(Act::Step(Step::Aborted { why: why.clone() }));
            record.failover = None;
            record.revision = record.revision.next();
            self.leave(record, Some(why), Duration::ZERO);
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Surveying => self.elected.then_some(self.survey_until),
            Phase::Promoting { next_try, asked: false, .. } => Some(next_try),
            Phase::Promoting { asked: true, .. } => self.deadline,
            Phase::Planning
            | Phase::Committing
            | Phase::Repairing
            | Phase::Ending { .. }
            | Phase::Leaving { .. }
            | Phase::Over => None,
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }
}

#[cfg(test)]
mod tests;
