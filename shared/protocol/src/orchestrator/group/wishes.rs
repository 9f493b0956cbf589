//! What people want done with a group's role of master: a switchover or a failover, answered when
//! it has begun and again when it has ended.

use super::orders::ORDER_LIMIT;
use super::{Group, Tenure};
use crate::failover::{self, Failover, NoHeir, Setting};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    Answer, Command, Epoch, GroupRecord, Instant, Instruction, InstructionReply, NodeAddr, Outcome,
    PlanReason, Purpose, SwitchReason, Wanted,
};

/// One that has begun is answered by then, ended or not.
const BEGUN_LIMIT: Duration = Duration::from_secs(20);
/// Askers of one wish.
const ASKERS_LIMIT: usize = 16;

/// One wish.
#[derive(Debug, Clone)]
struct Pending {
    instruction: Instruction,
    askers: Vec<String>,
    wish: failover::Wish,
    epoch: Epoch,
    until: Instant,
    /// The plan is committed.
    begun: bool,
    /// Why it was given up, as far as this orchestrator knows.
    given_up: Option<String>,
}

/// The one that waits or is carried out, the one that is only looked into, and what was measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Wishes {
    pending: Option<Pending>,
    foresight: Option<(Failover, Instruction, String)>,
    /// For how long clients' writes waited when this epoch began.
    gap: Option<(Epoch, Duration)>,
}

impl Wishes {
    /// Whether a ballot is wanted for it.
    pub(super) fn wants_ballot(&self) -> bool {
        self.pending.as_ref().is_some_and(|pending| !pending.begun)
    }

    pub(super) fn wanted(&self) -> Option<failover::Wish> {
        self.pending.as_ref().map(|pending| pending.wish.clone())
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let pending = self.pending.as_ref().map(|pending| pending.until);
        let foresight = self.foresight.as_ref().and_then(|(walk, ..)| walk.poll_timeout());
        pending.into_iter().chain(foresight).min()
    }

    pub(super) fn poll_foresight(&mut self) -> Option<failover::Act> {
        self.foresight.as_mut()?.0.poll_output()
    }

    /// The new master is announced: writes go on there.
    pub(super) fn stood_still(&mut self, epoch: Epoch, since: Option<Instant>, now: Instant) {
        if self.gap.is_none_or(|(of, _)| of != epoch) {
            self.gap = since.map(|since| (epoch, now.since(since)));
        }
    }
}

impl Group {
    /// Takes a wish for another master.
    pub(super) fn wish(
        &mut self,
        instruction: Instruction,
        reply_to: Option<String>,
        now: Instant,
    ) {
        let Some(wanted) = instruction.verb.wanted_master() else { return };
        let Wanted { epoch, to, forced, dry_run } = wanted;
        let wish = failover::Wish { to: to.cloned(), forced };
        let asker = reply_to.clone();
        if let Some(pending) = &mut self.wishes.pending
            && pending.instruction == instruction
        {
            // Whoever hears nothing at once asks again.
            let new = asker.filter(|asker| !pending.askers.contains(asker));
            pending.askers.extend(new.filter(|_| pending.askers.len() < ASKERS_LIMIT));
            if let Some(begun) = self.begun() {
                let reply = InstructionReply { instruction, outcome: begun, revision: None };
                self.tell((reply_to, reply));
            }
            return;
        }
        // Who is behind is silent, and asked again.
        let Some(record) = self.record.clone().filter(|r| r.epoch >= epoch) else { return };
        if let Some(outcome) = self.known_outcome(&record, epoch, &wish) {
            self.tell((reply_to, InstructionReply { instruction, outcome, revision: None }));
            return;
        }
        if dry_run {
            self.look_into(instruction, reply_to, wish, &record, now);
            return;
        }
        let begun = record.failover.is_some();
        let limit = if begun { BEGUN_LIMIT } else { ORDER_LIMIT };
        self.wishes.pending = Some(Pending {
            instruction,
            askers: asker.into_iter().collect(),
            wish,
            epoch,
            until: now + limit,
            begun,
            given_up: None,
        });
        if begun {
            self.tell_begun();
        }
        // Quiet corrections can wait; a person does not have to.
        if matches!(self.tenure, Tenure::Mend { .. }) && self.reconciler.in_round() {
            self.leave(Duration::ZERO, String::new(), now);
        }
    }

    /// What can be said at once; none if it is to be done, or is being done.
    fn known_outcome(
        &self,
        record: &GroupRecord,
        epoch: Epoch,
        wish: &failover::Wish,
    ) -> Option<Outcome> {
        let (group, master) = (&record.group, &record.master);
        if record.epoch != epoch || wish.to.as_ref() == Some(master) {
            return Some(self.by_record(record, epoch, wish, None));
        }
        let refused = |why: String| Some(Outcome::Refused { why });
        if self.wishes.pending.is_some() {
            return refused(format!("another switchover of {group} is asked for already"));
        }
        if let Some(plan) = &record.failover {
            let what = format!("from {} to {} is under way", plan.failed, plan.target);
            return match plan.reason {
                PlanReason::Odown => refused(format!("a failover {what}")),
                PlanReason::Switchover | PlanReason::Forced => None,
            };
        }
        if let Some(pause) = &record.pause {
            return refused(format!(
                "{group} is paused ({}): `vedette resume {group}` ends that",
                pause.reason
            ));
        }
        if let Some(to) = wish.to.as_ref().filter(|to| record.member(to).is_none()) {
            let members: Vec<_> = record.members.iter().map(|m| m.addr.to_string()).collect();
            return refused(format!(
                "{to} is not a member of {group}, which has {}",
                members.join(", ")
            ));
        }
        if self.candidate.is_odown() && !wish.forced {
            return refused(format!("{master} is objectively down: it is replaced without that"));
        }
        None
    }

    /// How it ended, by the record.
    fn by_record(
        &self,
        record: &GroupRecord,
        epoch: Epoch,
        wish: &failover::Wish,
        given_up: Option<&str>,
    ) -> Outcome {
        let (group, master) = (&record.group, &record.master);
        if record.epoch == epoch && wish.to.as_ref() != Some(master) {
            let why = given_up.unwrap_or("it was given up; the events say why");
            return Outcome::Refused { why: format!("{why}; {master} is still master of {group}") };
        }
        let named = wish.to.as_ref().is_none_or(|to| to == master);
        let back = record.switch.previous.as_ref() == Some(master);
        let by_epoch = format!("{master} is master of {group} in epoch {}", record.epoch);
        // Epochs of plans that were given up are not used again.
        if record.epoch == epoch || (named && !back) {
            return Outcome::Done { now: format!("{by_epoch}{}", self.measured(record, epoch)) };
        }
        let unknown = if back {
            "it was given up; the events say why"
        } else {
            "the group has moved on since it was asked for"
        };
        let why = given_up.unwrap_or(unknown);
        Outcome::Refused { why: format!("{why}; {by_epoch}") }
    }

    /// What it cost, as far as it is known.
    fn measured(&self, record: &GroupRecord, epoch: Epoch) -> String {
        if record.epoch == epoch {
            return String::new();
        }
        let gap = self.wishes.gap.filter(|(of, _)| *of == record.epoch);
        let gap = gap.map_or_else(String::new, |(_, gap)| {
            format!("; writes waited for {}.{:02} ms", gap.as_millis(), gap.as_micros() / 10 % 100)
        });
        let loss = match (record.switch.reason, record.switch.loss.bytes) {
            (SwitchReason::Switchover, _) => "; nothing was lost".to_string(),
            (_, Some(bytes)) => format!("; at most {bytes} bytes were lost"),
            (_, None) => "; how much was lost is not known".to_string(),
        };
        format!("{gap}{loss}")
    }

    /// Tells everybody who asked. The wish stays if it has only begun.
    fn tell_askers(&mut self, pending: &Pending, outcome: &Outcome) {
        for asker in &pending.askers {
            let (instruction, outcome) = (pending.instruction.clone(), outcome.clone());
            self.tell((
                Some(asker.clone()),
                InstructionReply { instruction, outcome, revision: None },
            ));
        }
    }

    /// A plan is committed: if it is the one that was wished for it cannot be asked for again.
    pub(super) fn wish_planned(&mut self, record: &GroupRecord) {
        let Some(plan) = &record.failover else { return };
        let Some(pending) = &mut self.wishes.pending else { return };
        if !pending.begun && plan.reason != PlanReason::Odown {
            pending.begun = true;
            pending.until = pending.until + BEGUN_LIMIT;
            self.tell_begun();
        }
    }

    /// What is being done; none before its plan is committed, and after its end.
    fn begun(&self) -> Option<Outcome> {
        self.wishes.pending.as_ref().filter(|pending| pending.begun)?;
        let plan = self.record.as_ref()?.failover.as_ref()?;
        let now = format!("{} is to follow {} in epoch {}", plan.target, plan.failed, plan.epoch);
        Some(Outcome::Started { now })
    }

    fn tell_begun(&mut self) {
        if let (Some(outcome), Some(pending)) = (self.begun(), self.wishes.pending.clone()) {
            self.tell_askers(&pending, &outcome);
        }
    }

    /// Nobody can be promoted, or the master cannot hand over.
    pub(super) fn wish_refused(&mut self, no: NoHeir) {
        if let Some(pending) = self.wishes.pending.take() {
            self.tell_askers(&pending, &outcome_of(no));
        }
    }

    /// The walk is over; what had begun is told with the record that says so.
    pub(super) fn wish_ended(&mut self, aborted: Option<&str>) {
        let Some(why) = aborted.map(ToString::to_string) else { return };
        match &mut self.wishes.pending {
            Some(pending) if pending.begun => pending.given_up = Some(why),
            Some(_) => self.wish_refused(NoHeir { why, rejected: Vec::new() }),
            None => {}
        }
    }

    /// Answers a wish that the record shows to have ended.
    pub(super) fn settle_wish(&mut self) {
        let Some(record) = self.record.clone() else { return };
        let over = |p: &&Pending| p.epoch != record.epoch || p.begun;
        let walks = matches!(self.tenure, Tenure::Walk(_));
        let ended = self.wishes.pending.as_ref().filter(over).is_some();
        if ended && record.failover.is_none() && !walks {
            self.answer_wish(&record);
        }
    }

    fn answer_wish(&mut self, record: &GroupRecord) {
        let Some(pending) = self.wishes.pending.take() else { return };
        let given_up = pending.given_up.as_deref();
        let outcome = self.by_record(record, pending.epoch, &pending.wish, given_up);
        self.tell_askers(&pending, &outcome);
    }

    pub(super) fn expire_wishes(&mut self, now: Instant) {
        if let Some((walk, ..)) = &mut self.wishes.foresight {
            walk.handle_timeout(now);
        }
        let late = self.wishes.pending.as_ref().is_some_and(|pending| now >= pending.until);
        let Some(record) = self.record.clone().filter(|_| late) else { return };
        if record.epoch != self.wishes.pending.as_ref().map_or(record.epoch, |p| p.epoch) {
            // It is master; others are still being moved.
            self.answer_wish(&record);
        } else if let Some(pending) = self.wishes.pending.take() {
            let why = self.why_not_yet();
            self.tell_askers(&pending, &Outcome::Refused { why });
        }
    }

    /// Says what would be done: needs no ballot, because nothing is.
    fn look_into(
        &mut self,
        instruction: Instruction,
        reply_to: Option<String>,
        wish: failover::Wish,
        record: &GroupRecord,
        now: Instant,
    ) {
        let (Some(to), None) = (reply_to, &self.wishes.foresight) else { return };
        let setting = Setting {
            me: self.me.clone(),
            purpose: Purpose::Switchover { epoch: record.epoch, master: record.master.clone() },
            master_offset: None,
            odown_since: None,
            hard: false,
            returned: false,
            wish: Some(wish),
        };
        let walk = Failover::foresee(setting, record, now);
        self.wishes.foresight = Some((walk, instruction, to));
    }

    /// What a node said also counts for what is only looked into.
    pub(super) fn foreseen(&mut self, node: &NodeAddr, answer: &Answer, now: Instant) {
        if let Some((walk, ..)) = &mut self.wishes.foresight {
            walk.answer(node, answer.clone(), now);
        }
    }

    pub(super) fn foresight_act(&mut self, act: failover::Act) {
        match act {
            failover::Act::Inspect(node) => self.command(node, Command::Inspect),
            failover::Act::Foreseen(found) => {
                let Some((_, instruction, to)) = self.wishes.foresight.take() else { return };
                let outcome = found.map_or_else(outcome_of, |now| Outcome::Done { now });
                self.tell((Some(to), InstructionReply { instruction, outcome, revision: None }));
            }
            // It is not elected, so it does nothing else.
            failover::Act::Promote(_)
            | failover::Act::PauseWrites(..)
            | failover::Act::Freeze(_)
            | failover::Act::Unpause(_)
            | failover::Act::Propose(_)
            | failover::Act::Announce
            | failover::Act::AnnounceAhead(_)
            | failover::Act::Step(_)
            | failover::Act::Event(_)
            | failover::Act::NoGoodSlave { .. }
            | failover::Act::NoHeir(_)
            | failover::Act::End { .. } => {}
        }
    }
}

fn outcome_of(no: NoHeir) -> Outcome {
    let NoHeir { why, rejected } = no;
    if rejected.is_empty() { Outcome::Refused { why } } else { Outcome::NoCandidate { why } }
}
