//! The planned switchover, between the plan and the promotion: the old master hands over.
//!
//! ```text
//!  [plan committed] ─► pause writes ─► level? ─► freeze ─► still? ─► promote, as in any failover
//!          │ a failure: unpause, [plan erased]      │ a failure: [plan for the old master],
//!          ▼ nothing has changed                    ▼ which is promoted again
//!
//!  taken over: look at both
//!    the target says master          ─► promote it (again)
//!    the old master says master      ─► unpause, [plan erased]; restarted: [master kept]
//!    the old master is frozen, level ─► promote;  not level ─► the old master is promoted again
//!    the old master does not answer  ─► [master kept]: a failover's business
//! ```
//!
//! *Level*: the target holds every byte of the old master's history. That counts when the old
//! master is frozen: from then on it takes no write, whatever becomes of the leader and of any
//! clock. The pause before that is a courtesy: writes wait for some milliseconds instead of being
//! refused. The target is looked at again only if the frozen master holds more than the target was
//! seen to hold before.

use super::{Act, Failover, Phase, Selection};
use crate::happening::Happening;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use vedette_model::{
    Answer, EventName, GroupRecord, Instant, LossBound, NodeAddr, NodeFault, NodeView, PlanReason,
    Role, Step,
};

/// Writes wait at most so long, whatever happens to the leader, in milliseconds.
pub const PAUSE_MS: u64 = 2_000;
/// The target must be level so soon after the pause was sent; then the master is frozen, which
/// must be done before the pause is over.
const LEVEL_LIMIT: Duration = Duration::from_secs(1);
/// A frozen master is given the role back if the target is not known to be level by then, and an
/// old master whose state is not known is left by then.
const FROZEN_LIMIT: Duration = Duration::from_millis(500);
/// The target is looked at this often.
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// A node that did not answer is looked at again after so long.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

type Look = Option<Result<NodeView, NodeFault>>;

/// How far the old master has handed over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Handing {
    /// The leader before may still act.
    Waiting { until: Instant },
    /// What the leader before did is being found out.
    Finding { until: Instant, old: Look, target: Look },
    /// The pause was sent.
    Pausing { sent: Instant },
    /// The target is looked at until it is level.
    Levelling { level: Level, until: Instant, look_at: Instant, asked: bool },
    /// The old master is being frozen. The target held all of it when it was seen last.
    Freezing { until: Instant, target: NodeView },
    /// What came of that is not known: it is looked at.
    Doubting { until: Instant, look_at: Instant, asked: bool },
}

/// What the target must hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Level {
    /// The old master as it was seen last.
    old: NodeView,
    /// Whether it takes no writes any more.
    frozen: bool,
}

impl Handing {
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Waiting { until } | Self::Finding { until, .. } => Some(*until),
            Self::Pausing { .. } | Self::Freezing { .. } => None,
            Self::Levelling { until, look_at, asked, .. }
            | Self::Doubting { until, look_at, asked } => {
                Some(if *asked { *until } else { (*look_at).min(*until) })
            }
        }
    }
}

/// Whether it takes no writes because it was told to follow itself.
fn is_frozen(node: &NodeAddr, view: &NodeView) -> bool {
    let own = view.upstream.as_ref().is_some_and(|up| up.addr == *node);
    view.role == Role::Replica && own
}

/// Whether the target holds all that the old master does.
fn is_level(old: &NodeView, target: &NodeView) -> bool {
    target.replid == old.replid && target.offset >= old.offset
}

impl Failover {
    /// The plan is committed: the old master is paused, or looked at if another began this.
    pub(super) fn hand_over(&mut self, since: Instant, now: Instant) {
        self.phase = Phase::Handing(Handing::Waiting { until: since });
        self.handing_timeout(now);
    }

    fn parties(&self) -> Option<(NodeAddr, NodeAddr)> {
        let plan = self.plan()?;
        Some((plan.failed.clone(), plan.target.clone()))
    }

    fn begin_handing(&mut self, now: Instant) {
        let Some((old, target)) = self.parties() else { return };
        if self.is_own_handover() {
            self.phase = Phase::Handing(Handing::Pausing { sent: now });
            self.paused_at = Some(now);
            self.acts.push_back(Act::PauseWrites(old, PAUSE_MS));
        } else {
            let until = now + FROZEN_LIMIT;
            self.phase = Phase::Handing(Handing::Finding { until, old: None, target: None });
            self.acts.push_back(Act::Inspect(old));
            self.acts.push_back(Act::Inspect(target));
        }
    }

    pub(super) fn handing_answer(&mut self, node: &NodeAddr, answer: Answer, now: Instant) {
        let Some((old, target)) = self.parties() else { return };
        let Phase::Handing(handing) = self.phase.clone() else { return };
        let answer = match answer {
            Answer::Done { view, .. } => Ok(view),
            Answer::Failed(fault) => Err(fault),
        };
        match handing {
            Handing::Pausing { sent } if *node == old => self.paused(answer, sent, now),
            Handing::Freezing { until, target } if *node == old => {
                self.frozen(answer, &target, until, now);
            }
            Handing::Doubting { until, .. } if *node == old => self.doubted(answer, until, now),
            Handing::Levelling { level, until, .. } if *node == target => {
                self.looked(level, answer, until, now);
            }
            Handing::Finding { until, old: seen, target: aim } => {
                let (seen, aim) =
                    if *node == old { (Some(answer), aim) } else { (seen, Some(answer)) };
                self.phase = Phase::Handing(Handing::Finding { until, old: seen, target: aim });
                self.find(now);
            }
            Handing::Waiting { .. }
            | Handing::Pausing { .. }
            | Handing::Freezing { .. }
            | Handing::Doubting { .. }
            | Handing::Levelling { .. } => {}
        }
    }

    pub(super) fn handing_timeout(&mut self, now: Instant) {
        let Some((old, target)) = self.parties() else { return };
        let Phase::Handing(handing) = self.phase.clone() else { return };
        match handing {
            Handing::Waiting { until } if now >= until => self.begin_handing(now),
            Handing::Finding { until, .. } if now >= until => self.find(now),
            Handing::Levelling { level, until, .. } if now >= until => {
                let why = format!("{target} did not come to hold all of it in time");
                if level.frozen { self.give_back(&why, now) } else { self.undo(&why) }
            }
            Handing::Levelling { level, until, look_at, asked: false } if now >= look_at => {
                let handing = Handing::Levelling { level, until, look_at, asked: true };
                self.phase = Phase::Handing(handing);
                self.acts.push_back(Act::Inspect(target));
            }
            Handing::Doubting { until, .. } if now >= until => {
                self.undo("it is not known whether the master takes writes");
            }
            Handing::Doubting { until, look_at, asked: false } if now >= look_at => {
                self.phase = Phase::Handing(Handing::Doubting { until, look_at, asked: true });
                self.acts.push_back(Act::Inspect(old));
            }
            Handing::Waiting { .. }
            | Handing::Finding { .. }
            | Handing::Pausing { .. }
            | Handing::Freezing { .. }
            | Handing::Levelling { .. }
            | Handing::Doubting { .. } => {}
        }
    }

    fn paused(&mut self, answer: Result<NodeView, NodeFault>, sent: Instant, now: Instant) {
        match answer {
            Ok(view) if view.role == Role::Master => {
                self.level(Level { old: view, frozen: false }, sent + LEVEL_LIMIT, now);
                self.acts.push_back(Act::Step(Step::Paused));
            }
            Ok(_) => self.undo("the master says it is a replica"),
            Err(NodeFault::Error(text)) => self.undo(&format!(
                "the master refused CLIENT PAUSE … WRITE ({text}): Redis 6.2 or newer, or Valkey, \
                 is needed"
            )),
            Err(NodeFault::Denied(text)) => self.undo(&format!(
                "the master refused CLIENT PAUSE ({text}): grant +client|pause and +client|unpause"
            )),
            Err(
                fault @ (NodeFault::Refused
                | NodeFault::Broken(_)
                | NodeFault::TimedOut
                | NodeFault::Expired
                | NodeFault::Replaced
                | NodeFault::Unresolved(_)),
            ) => self.undo(&format!("the master's writes could not be paused: {fault}")),
        }
    }

    /// Looks at the target at once, and again until it is level.
    fn level(&mut self, level: Level, until: Instant, now: Instant) {
        let handing = Handing::Levelling { level, until, look_at: now, asked: false };
        self.phase = Phase::Handing(handing);
        self.handing_timeout(now);
    }

    fn looked(
        &mut self,
        level: Level,
        answer: Result<NodeView, NodeFault>,
        until: Instant,
        now: Instant,
    ) {
        if let Ok(target) = &answer
            && is_level(&level.old, target)
        {
            if level.frozen {
                self.handed_over(target, now)
            } else {
                self.freeze(target.clone(), until)
            }
            return;
        }
        let pause = if answer.is_ok() { LOOK_EVERY } else { LOOK_AGAIN };
        let look_at = now + pause;
        self.phase = Phase::Handing(Handing::Levelling { level, until, look_at, asked: false });
        self.handing_timeout(now);
    }

    fn freeze(&mut self, seen: NodeView, until: Instant) {
        let Some((old, target)) = self.parties() else { return };
        self.phase = Phase::Handing(Handing::Freezing { until, target: seen });
        self.acts.push_back(Act::Freeze(old));
        self.acts.push_back(Act::Step(Step::Level { target }));
    }

    fn frozen(
        &mut self,
        answer: Result<NodeView, NodeFault>,
        target: &NodeView,
        until: Instant,
        now: Instant,
    ) {
        let Some((old, _)) = self.parties() else { return };
        match answer {
            Ok(view) if is_frozen(&old, &view) && is_level(&view, target) => {
                self.note_frozen(&view);
                self.handed_over(target, now);
            }
            Ok(view) if is_frozen(&old, &view) => self.look_again(view, now),
            Ok(_) => self.doubt(until, now),
            Err(NodeFault::Expired) => self.undo("the leader's permission had ended"),
            Err(
                NodeFault::Refused
                | NodeFault::Broken(_)
                | NodeFault::TimedOut
                | NodeFault::Replaced
                | NodeFault::Unresolved(_)
                | NodeFault::Denied(_)
                | NodeFault::Error(_),
            ) => self.doubt(until, now),
        }
    }

    fn doubt(&mut self, until: Instant, now: Instant) {
        let until = until.max(now + FROZEN_LIMIT);
        self.phase = Phase::Handing(Handing::Doubting { until, look_at: now, asked: false });
        self.handing_timeout(now);
    }

    fn doubted(&mut self, answer: Result<NodeView, NodeFault>, until: Instant, now: Instant) {
        let Some((old, _)) = self.parties() else { return };
        match answer {
            Ok(view) if is_frozen(&old, &view) => self.look_again(view, now),
            Ok(_) => self.undo("the master could not be made to refuse writes"),
            Err(_) => {
                let look_at = now + LOOK_AGAIN;
                self.phase = Phase::Handing(Handing::Doubting { until, look_at, asked: false });
                self.handing_timeout(now);
            }
        }
    }

    /// The old master takes no writes any more, and the leader knows how much it holds.
    fn note_frozen(&mut self, old: &NodeView) {
        self.frozen_at = old.offset;
        self.acts.push_back(Act::Step(Step::Frozen));
    }

    /// It is frozen, and the target was not seen to hold all of it yet.
    fn look_again(&mut self, old: NodeView, now: Instant) {
        self.note_frozen(&old);
        self.level(Level { old, frozen: true }, now + FROZEN_LIMIT, now);
    }

    /// Both were looked at, or had their time: goes on where the leader before stopped.
    fn find(&mut self, now: Instant) {
        let Some((node, _)) = self.parties() else { return };
        let Phase::Handing(Handing::Finding { until, old, target }) = self.phase.clone() else {
            return;
        };
        if now < until && (old.is_none() || target.is_none()) {
            return;
        }
        if let Some(Ok(old)) = &old {
            self.frozen_at = old.offset;
        }
        match (old, target) {
            (old, Some(Ok(target))) if self.was_promoted(&old, &target) => {
                self.handed_over(&target, now);
            }
            // Who was frozen becomes master again by a restart only: nobody was promoted.
            (Some(Ok(old)), _) if old.role == Role::Master && self.is_known(&node, &old) => {
                self.undo("the leader fell silent before the master had handed over");
            }
            (Some(Ok(old)), _) if old.role == Role::Master => {
                self.keep_master("the leader fell silent, and the master was restarted");
            }
            (Some(Ok(old)), _) if !is_frozen(&node, &old) => {
                self.keep_master("the leader fell silent, and the master follows another");
            }
            (Some(Ok(old)), Some(Ok(target))) if is_level(&old, &target) => {
                self.handed_over(&target, now);
            }
            (Some(Ok(old)), Some(Ok(target))) if target.role == Role::Replica => {
                self.level(Level { old, frozen: true }, now + FROZEN_LIMIT, now);
            }
            (Some(Ok(_)), _) => {
                self.give_back("the leader fell silent, and the target is not reached", now);
            }
            (Some(Err(_)) | None, _) => {
                self.keep_master("the leader fell silent, and the master is not reached");
            }
        }
    }

    /// Whether it is the process that the record knows there.
    fn is_known(&self, node: &NodeAddr, view: &NodeView) -> bool {
        let member = self.record.as_ref().and_then(|record| record.member(node));
        member.is_some_and(|member| member.run_id.as_ref() == Some(&view.run_id))
    }

    /// Whether the target says that it is master, and goes on with what the old one held. It may
    /// have been restarted since it was promoted, with less or with nothing.
    fn was_promoted(&self, old: &Look, target: &NodeView) -> bool {
        let Some((node, _)) = self.parties() else { return false };
        let ours = |id| self.record.as_ref().is_some_and(|record| record.lineage.contains(id));
        let goes_on = target.replid2.as_ref().is_some_and(ours) || ours(&target.replid);
        let short = matches!(old, Some(Ok(old))
            if is_frozen(&node, old) && target.offset < old.offset);
        target.role == Role::Master && goes_on && !short
    }

    /// The target was seen to hold all of it.
    fn handed_over(&mut self, target: &NodeView, now: Instant) {
        self.looked_at.get_or_insert_with(|| target.run_id.clone());
        self.phase = Phase::Promoting { since: now, next_try: now, asked: false };
        self.promote_if_due(now);
    }

    /// Nobody was promoted, and the old master was not frozen: all is as it was.
    fn undo(&mut self, why: &str) {
        let Some(mut record) = self.record.clone() else { return };
        let why = self.tell_given_up(why, &record);
        record.failover = None;
        record.revision = record.revision.next();
        self.leave(record, Some(why), Duration::ZERO);
    }

    /// The target may have been promoted, and announced, and restarted since.
    fn keep_master(&mut self, why: &str) {
        let Some(record) = self.record.clone() else { return };
        let why = self.tell_given_up(why, &record);
        self.give_up(record, why, Duration::ZERO);
    }

    /// Says so, and lets clients write again.
    fn tell_given_up(&mut self, why: &str, record: &GroupRecord) -> String {
        let why = format!("the switchover was given up: {why}");
        self.acts.push_back(Act::Unpause(record.master.clone()));
        let cause = format!("{why}; {} goes on", record.master);
        self.acts.push_back(Act::Event(Happening::new(EventName::AbortMasterTimeout, cause)));
        self.acts.push_back(Act::Step(Step::Aborted { why: why.clone() }));
        why
    }

    /// Whether this walk wrote the plan and did all that was done of it.
    const fn is_own_handover(&self) -> bool {
        self.setting.wish.is_some()
    }

    /// The old master is frozen, and the target cannot be promoted: the old one becomes master
    /// again, by a plan of its own, since the target may be promoted without anybody's knowledge.
    pub(super) fn give_back(&mut self, why: &str, now: Instant) {
        let Some((old, target)) = self.parties() else { return };
        let Some(record) = self.record.clone() else { return };
        let why = format!("{why}; {old} becomes master again");
        let told = Happening::of(EventName::AbortSlaveTimeout, &target, why.clone());
        self.acts.push_back(Act::Event(told));
        self.acts.push_back(Act::Step(Step::Aborted { why }));
        self.excluded.insert(target);
        self.setting.returned = true;
        self.reason = PlanReason::Switchover;
        let whole = Duration::from_millis(record.settings.failover_timeout_ms);
        self.deadline = Some(now + whole);
        // Without a leader in between, nobody was told of the target.
        let nothing = LossBound { bytes: Some(0), as_of_ms: Some(0) };
        let loss = if self.is_own_handover() { nothing } else { LossBound::default() };
        let (offset, rejected) = (self.frozen_at, alloc::vec![]);
        self.plan_for(record, Selection { target: old, offset, rejected, loss });
    }
}
