//! What a group tells: facts, steps and events.

use super::{Effect, Group, Tenure, pause};
use crate::happening::Happening;
use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    EventName, Fact, FailoverStep, GroupRecord, Instant, Member, Revision, Step, TraceId,
};

impl Group {
    /// A group that was seeded, and replicas that came, moved or went, are news.
    pub(super) fn tell_news(
        &mut self,
        before: Option<&GroupRecord>,
        record: &GroupRecord,
        now: Instant,
    ) {
        let is_new = match before {
            None => record.revision == Revision(1),
            Some(before) => before.removed && !record.removed,
        };
        if is_new {
            self.effects.push_back(Effect::Announce(record.clone()));
            let quorum = format!("quorum {}", record.settings.quorum);
            let cause = format!("watched from now on, {quorum}");
            self.event(Happening::new(EventName::Monitor, cause).with_detail(quorum));
            if record.switch.previous.is_some() {
                let cause = "the group was removed, and is watched again with another master";
                self.event(Happening::new(EventName::SwitchMaster, cause));
            }
        }
        let Some(before) = before.filter(|_| !is_new) else { return };
        if record.removed {
            if !before.removed {
                let cause = "an operator removed it: nothing of it is watched any more";
                self.event(Happening::new(EventName::Removed, cause));
            }
            return;
        }
        self.tell_orders(before, record);
        for member in &record.members {
            let happening = match before.member(&member.addr) {
                None => self.news_of(before, member, record),
                Some(was) if was.gone == member.gone => continue,
                Some(_) if member.gone => {
                    let silent = self.reconciler.silent_for(&member.addr, now).as_secs();
                    let cause = format!(
                        "nobody has seen it for {silent} s while the master was well; it is no \
                         longer shown, and welcome if it comes back"
                    );
                    Happening::of(EventName::SlaveGone, &member.addr, cause)
                }
                Some(_) => Happening::of(EventName::Slave, &member.addr, "it is back"),
            };
            self.event(happening);
        }
    }

    /// A member at an address that had none: a new one, or one that moved.
    fn news_of(&self, before: &GroupRecord, member: &Member, record: &GroupRecord) -> Happening {
        let same = |m: &&Member| m.run_id.is_some() && m.run_id == member.run_id;
        let moved = before.members.iter().find(same).filter(|m| record.member(&m.addr).is_none());
        match moved {
            Some(was) => {
                let cause = format!(
                    "the same process was known at {}, where it has not answered for 15 s",
                    was.addr
                );
                Happening::of(EventName::AddressChanged, &member.addr, cause)
            }
            None => {
                let cause = "it shares the group's history and is a member now";
                Happening::of(EventName::Slave, &member.addr, cause)
            }
        }
    }

    /// What people must know, because they did it or must undo it.
    fn tell_orders(&mut self, before: &GroupRecord, record: &GroupRecord) {
        match (&before.pause, &record.pause) {
            (old, Some(pause)) if old.as_ref().is_none_or(|old| !pause::is_same(old, pause)) => {
                self.event(Happening::new(EventName::Paused, pause::words(pause)));
            }
            (Some(_), None) => {
                let cause = if self.orders.is_resumed() {
                    "an operator ended the pause: it is looked after again"
                } else {
                    "the time of the pause is over: it is looked after again"
                };
                self.event(Happening::new(EventName::Resumed, cause));
            }
            (Some(_) | None, _) => {}
        }
        for change in record.settings.changed_since(&before.settings) {
            let detail = format!("{} {}", change.sentinel_option(), change.value());
            let happening = Happening::new(EventName::Set, format!("an operator set {change}"));
            self.event(happening.with_detail(detail));
        }
        if let (Some(old), Some(new)) = (before.settings.login(), record.settings.login())
            && old.password != new.password
        {
            let cause = "nodes that refuse the new password are asked with the one before: change \
                         it on each of them, requirepass (or the user's) and masterauth";
            self.event(Happening::new(EventName::CredentialRotated, cause));
        }
        match (before.flapping.held, record.flapping.held) {
            (false, true) => {
                let cause = self.held().unwrap_or_default();
                self.event(Happening::new(EventName::Held, cause));
            }
            (true, false) => {
                self.event(Happening::new(EventName::Released, "it may fail over again"));
            }
            (true, true) | (false, false) => {}
        }
    }

    pub(super) fn publish(&mut self, fact: Fact) {
        self.effects.push_back(Effect::Publish(fact));
    }

    pub(super) fn trace(&self) -> Option<TraceId> {
        let record = self.record.as_ref()?;
        let planned = record.failover.as_ref().map(|f| f.trace_id);
        let walked = self.incident.filter(|_| matches!(self.tenure, Tenure::Walk(_)));
        Some(planned.or(walked).unwrap_or_else(|| record.trace_id()))
    }

    /// A step of the walk. The first ones of an attempt that repeats a failed one wait until there
    /// is something new to tell.
    pub(super) fn walked(&mut self, step: Step, now: Instant) {
        let waits = self.repeats() && matches!(step, Step::Claimed | Step::Surveyed { .. });
        let Some(made) = self.made(step, now) else { return };
        self.untold.push(made);
        if !waits {
            for step in core::mem::take(&mut self.untold) {
                self.publish(step.into());
            }
        }
    }

    pub(super) fn step(&mut self, step: Step, now: Instant) {
        if let Some(made) = self.made(step, now) {
            self.publish(made.into());
        }
    }

    fn made(&mut self, step: Step, now: Instant) -> Option<FailoverStep> {
        let trace_id = self.trace()?;
        let elapsed = self.began.map_or(Duration::ZERO, |at| now.since(at));
        let planned = matches!(step, Step::Selected { .. });
        let plan = self.record.as_ref().and_then(|r| r.failover.as_ref()).filter(|_| planned);
        let claimed = matches!(step, Step::Claimed);
        let rejected = plan.map(|plan| plan.rejected.clone());
        let loss = plan.map(|plan| plan.loss);
        Some(FailoverStep {
            group: self.name.clone(),
            ballot: self.proposer.ballot().cloned(),
            step,
            elapsed_us: u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
            trace_id,
            votes: if claimed { self.votes.clone() } else { Vec::new() },
            rejected: rejected.unwrap_or_else(|| core::mem::take(&mut self.rejected)),
            loss,
        })
    }

    /// Whether the attempt repeats one that failed.
    fn repeats(&self) -> bool {
        self.last_abort.is_some() || !self.last_loss.is_empty()
    }

    /// An attempt that repeats one that failed is not told again.
    pub(super) fn tell_once(&mut self, happening: Happening) {
        if !self.repeats() {
            self.event(happening);
        }
    }

    pub(super) fn event(&mut self, happening: Happening) {
        if let (Some(record), Some(trace_id)) = (self.record.clone(), self.trace()) {
            self.effects.push_back(Effect::Event(happening, record, trace_id));
        }
    }
}
