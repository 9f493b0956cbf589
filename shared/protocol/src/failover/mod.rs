//! The failover: a plan that is written down, then walked in steps that are safe to repeat.
//!
//! ```text
//!  survey ─► elected ─► select ─► [plan committed] ─► promote ─► ROLE says master
//!    │                    │ none eligible                 │ fails: exclude, survey again
//!    ▼                    ▼                               ▼
//!  Inspect…             End(aborted)      [master committed] ─► Announce ─► repair ─► [end] ─► End
//!
//!  takeover: the recorded plan is committed again under the new ballot and walked on from there
//!  switchover: between the plan and the promotion the old master hands over, see `handover`
//! ```
//!
//! `[…]` is a commit by a majority of voters. Nothing is sent to a node before the plan is
//! committed. Applications are told of the target as soon as its ROLE says master, for no other plan has
//! its epoch; everybody else when the master is committed.

mod handover;
mod heir;
mod plan;
mod promote;
mod select;
mod survey;
mod words;

pub use select::{Evidence, Selection, select};
use words::chosen;
pub(crate) use words::{rewrite_failed, switch_cause};

use crate::happening::Happening;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use handover::Handing;
use vedette_model::{
    Answer, EventName, Failover as Plan, GroupRecord, Instant, NodeAddr, NodeFault, NodeView,
    OrchestratorId, PlanReason, Purpose, Rejection, RunId, Step,
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
    /// Have clients' writes to the old master wait for so many milliseconds.
    PauseWrites(NodeAddr, u64),
    /// Have the old master take no writes any more.
    Freeze(NodeAddr),
    /// Have clients' writes wait no longer.
    Unpause(NodeAddr),
    /// Have a majority accept the record.
    Propose(GroupRecord),
    /// Tell the world who is master, then bring the other nodes in line.
    Announce,
    /// Tell watchers what has been finished.
    Step(Step),
    /// Tell applications of the master of this record, which is not committed yet: the plan of its
    /// epoch is, and says the same.
    AnnounceAhead(GroupRecord),
    /// Tell people.
    Event(Happening),
    /// Tell people that nobody can be promoted.
    NoGoodSlave {
        /// What to tell.
        told: Happening,
        /// Why, without the numbers that are others each time.
        reasons: String,
        /// Why, for each node.
        rejected: Vec<Rejection>,
    },
    /// Who would be promoted, in words; or what stands in the way.
    Foreseen(Result<String, NoHeir>),
    /// A person wanted another master, and nobody can be.
    NoHeir(NoHeir),
    /// The walk is over: let go of the ballot.
    End {
        /// Why it did not reach its end; none if it did.
        aborted: Option<String>,
        /// How long to wait before the next attempt.
        pause: Duration,
    },
}

/// Why the master cannot hand over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NoHeir {
    /// In words.
    pub why: String,
    /// The reason for each node, if it is that nobody can be promoted.
    pub rejected: Vec<Rejection>,
}

/// What a person wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Wish {
    /// Whom to promote; by the selection rule if absent.
    pub to: Option<NodeAddr>,
    /// Whether somebody is promoted too if the master does not answer.
    pub forced: bool,
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
    /// Whether a majority of voters has proof that cannot come and go (see
    /// [`vedette_model::Evidence::is_hard`]): such a failover is no flapping.
    pub hard: bool,
    /// Whether a prober says that the recorded master came back as a replica: then it is asked
    /// too, and may be promoted again.
    pub returned: bool,
    /// What a person wants, if that is what the walk is for.
    pub wish: Option<Wish>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    /// Waiting for the survey and for the votes.
    Surveying,
    /// The plan is being committed.
    Planning,
    /// The old master hands over.
    Handing(Handing),
    /// The target is being promoted, since then; `asked` while an answer is due.
    Promoting {
        since: Instant,
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
    /// Only said, not done.
    foresees: bool,
    /// Why a plan is made.
    reason: PlanReason,
    /// When clients' writes began to wait.
    paused_at: Option<Instant>,
    /// The target's process, if this walk looked at it: another one may hold less.
    looked_at: Option<RunId>,
    /// How many bytes of its history the frozen master holds.
    frozen_at: u64,
    act_after: Instant,
    deadline: Option<Instant>,
    survey_until: Instant,
    failover_ms_ago: Option<u64>,
    /// Whether the choice was made after patience was over.
    relaxed: bool,
    /// Who is asked, and whether it has been gone for long.
    asked: BTreeMap<NodeAddr, bool>,
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
            foresees: false,
            reason: PlanReason::Odown,
            paused_at: None,
            looked_at: None,
            frozen_at: 0,
            act_after: now,
            deadline: None,
            survey_until: now + SURVEY_LIMIT,
            failover_ms_ago: None,
            relaxed: false,
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            excluded: BTreeSet::new(),
            acts: VecDeque::new(),
        };
        // Who takes over has a target already, and must not mistake an answer for its promotion.
        let known = known.filter(|_| walk.setting.purpose != Purpose::Takeover);
        if let Some(record) = known {
            walk.survey(record, now);
        }
        walk
    }

    /// Looks at the nodes as for a switchover, says what would come of it, and does nothing.
    pub fn foresee(setting: Setting, known: &GroupRecord, now: Instant) -> Self {
        let mut walk = Self::new(setting, Some(known), now);
        (walk.foresees, walk.record) = (true, Some(known.clone()));
        walk
    }

    /// A majority promised: go on from what they had accepted.
    /// `failover_ms_ago` is the age in milliseconds of the last failover, as far as voters know.
    pub fn elected(
        &mut self,
        adopted: Option<GroupRecord>,
        act_after: Instant,
        failover_ms_ago: Option<u64>,
        now: Instant,
    ) {
        let Some(record) = adopted else {
            self.end(Some("the voters know no such group".into()), NO_GOOD_SLAVE_PAUSE);
            return;
        };
        self.elected = true;
        self.act_after = act_after;
        self.failover_ms_ago = failover_ms_ago;
        self.deadline = Some(now + Duration::from_millis(record.settings.failover_timeout_ms));
        self.acts.push_back(Act::Step(Step::Claimed));
        self.record = Some(record.clone());
        match self.check_purpose(&record) {
            Ok(()) if record.failover.is_some() => self.take_over(record),
            Ok(()) => {
                // Members that only the voters know of have their time as well.
                self.survey(&record, now);
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
            Purpose::Failover { epoch, master } | Purpose::Switchover { epoch, master } => {
                let same = record.epoch == *epoch && record.master == *master;
                if !same || record.failover.is_some() {
                    return Err(Some(format!("the record moved on to epoch {}", record.epoch)));
                }
                if record.removed {
                    return Err(Some("the group was removed".into()));
                }
                let held = record.flapping.held && self.setting.wish.is_none();
                if held {
                    return Err(Some("the group is held".into()));
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
            plan.perhaps_announced = true;
            self.reason = plan.reason;
        }
        self.phase = Phase::Planning;
        self.propose(record);
    }

    fn leave(&mut self, record: GroupRecord, why: Option<String>, pause: Duration) {
        self.phase = Phase::Leaving { why, pause };
        self.acts.push_back(Act::Propose(record));
    }

    /// Gives the plan up, and leaves. Where applications may have been told of its target the master
    /// goes on under a higher epoch, which is announced as any other, and repaired.
    fn give_up(&mut self, mut record: GroupRecord, why: String, pause: Duration) {
        match record.failover.take() {
            None => self.end(Some(why), pause),
            Some(plan) if plan.may_be_announced() => {
                self.phase = Phase::Committing;
                self.propose(plan::keep_master(record, plan));
            }
            Some(_) => {
                record.revision = record.revision.next();
                self.leave(record, Some(why), pause);
            }
        }
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
                if self.asked.contains_key(node) {
                    let answer = match answer {
                        Answer::Done { view, .. } => Ok(view),
                        Answer::Failed(fault) => Err(fault),
                    };
                    self.answers.insert(node.clone(), answer);
                }
                self.select_if_surveyed(now);
            }
            Phase::Promoting { since, asked: true, .. } => {
                if self.plan().is_some_and(|plan| plan.target == *node) {
                    self.promotion_answer(node, answer, since, now);
                }
            }
            Phase::Handing(_) => self.handing_answer(node, answer, now),
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
            | Phase::Handing(_)
            | Phase::Promoting { .. }
            | Phase::Repairing
            | Phase::Over) => self.phase = other,
        }
    }

    fn planned(&mut self, record: &GroupRecord, now: Instant) {
        let Some(plan) = record.failover.clone() else { return };
        if record.is_switched() {
            self.announce(record);
            return;
        }
        let since = self.act_after.max(now);
        self.acts.push_back(Act::Event(Happening::of(
            EventName::SelectedSlave,
            &plan.target,
            chosen(&plan, self.relaxed),
        )));
        self.acts.push_back(Act::Step(Step::Selected { target: plan.target.clone() }));
        if plan.is_handover() {
            self.hand_over(since, now);
            return;
        }
        self.phase = Phase::Promoting { since, next_try: since, asked: false };
        self.promote_if_due(now);
    }

    fn announce(&mut self, record: &GroupRecord) {
        self.phase = Phase::Repairing;
        self.acts.push_back(Act::Announce);
        self.acts.push_back(Act::Step(Step::Committed { epoch: record.epoch }));
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

    /// Whether an answer to the promotion is due.
    pub const fn is_promoting(&self) -> bool {
        matches!(self.phase, Phase::Promoting { asked: true, .. })
    }

    /// The process that is promoted; none if this walk did not look at it.
    pub const fn looked_at(&self) -> Option<&RunId> {
        self.looked_at.as_ref()
    }

    /// Whether the master is committed and the other nodes are being moved.
    pub fn is_repairing(&self) -> bool {
        self.phase == Phase::Repairing
    }

    /// When clients' writes began to wait for a switchover; none before, and in a failover.
    pub const fn paused_at(&self) -> Option<Instant> {
        self.paused_at
    }

    /// When the whole must be over; none before the election.
    pub const fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    /// Ends waits.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.select_if_surveyed(now);
        self.handing_timeout(now);
        self.promote_if_due(now);
        let late = self.deadline.is_some_and(|deadline| now >= deadline);
        if late && matches!(self.phase, Phase::Promoting { .. }) {
            let Some(record) = self.record.clone() else { return };
            let why = "failover_timeout is over".to_string();
            if self.plan().is_some_and(Plan::is_handover) {
                self.give_back(&why, now);
                return;
            }
            let happening = Happening::new(EventName::AbortSlaveTimeout, why.clone());
            self.acts.push_back(Act::Event(happening));
            self.acts.push_back(Act::Step(Step::Aborted { why: why.clone() }));
            self.give_up(record, why, Duration::ZERO);
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Surveying => (self.elected || self.foresees).then_some(self.survey_until),
            Phase::Handing(handing) => handing.poll_timeout(),
            Phase::Promoting { next_try, asked: false, .. } => Some(*next_try),
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
