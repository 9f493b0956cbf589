//! What people want done with a group: each is a change of the record, answered once a majority of
//! voters has it.

use super::carry::{Scene, carried_out, declared, not_reset, objection};
use super::{Effect, Group, Tenure};
use crate::happening::Happening;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    EventName, GroupRecord, Instant, Instruction, InstructionReply, NodeAddr, Outcome, Revision,
    Settings, Verb,
};

/// An instruction that could not be carried out by then is refused.
pub(super) const ORDER_LIMIT: Duration = Duration::from_secs(4);

/// One instruction that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    instruction: Instruction,
    reply_to: Option<String>,
    until: Instant,
}

/// Those that wait, the oldest first.
#[derive(Debug, Clone, Default)]
pub(super) struct Orders(VecDeque<Order>);

/// An answer, and where to.
pub(super) type Told = (Option<String>, InstructionReply);

impl Orders {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.front().map(|order| order.until)
    }

    /// What the oldest declares, where there is no group yet.
    pub(super) fn declared(&self) -> Option<(NodeAddr, Settings)> {
        let Verb::Monitor { master, quorum, changes } = &self.0.front()?.instruction.verb else {
            return None;
        };
        Some((master.clone(), declared(*quorum, changes).ok()?))
    }

    /// Whether the oldest ends a pause.
    pub(super) fn is_resumed(&self) -> bool {
        self.0.front().is_some_and(|order| order.instruction.verb == Verb::Resume)
    }

    /// The record with the oldest carried out. Those that it shows already are answered.
    fn next(&mut self, record: &GroupRecord, scene: Scene<'_>) -> (Vec<Told>, Option<GroupRecord>) {
        let mut told = Vec::new();
        while let Some(order) = self.0.front() {
            let verb = &order.instruction.verb;
            let (outcome, revision) = match carried_out(record, verb, scene) {
                Ok((wanted, _)) if wanted != *record => {
                    let revision = record.revision.next();
                    return (told, Some(GroupRecord { revision, ..wanted }));
                }
                Ok((_, now)) => (Outcome::Done { now }, Some(record.revision)),
                Err(why) => (Outcome::Refused { why }, None),
            };
            told.extend(self.0.pop_front().map(|order| order.answer(outcome, revision)));
        }
        (told, None)
    }

    fn expired(&mut self, now: Instant) -> Option<Order> {
        self.0.front().filter(|order| now >= order.until)?;
        self.0.pop_front()
    }
}

impl Order {
    fn answer(self, outcome: Outcome, revision: Option<Revision>) -> Told {
        (self.reply_to, InstructionReply { instruction: self.instruction, outcome, revision })
    }

    fn refuse(self, why: String) -> Told {
        self.answer(Outcome::Refused { why }, None)
    }
}

impl Group {
    /// Takes an instruction, and answers it within [`ORDER_LIMIT`].
    pub(in crate::orchestrator) fn instruct(
        &mut self,
        instruction: Instruction,
        reply_to: Option<String>,
        now: Instant,
    ) {
        if instruction.verb.wanted_master().is_some() {
            self.wish(instruction, reply_to, now);
            return;
        }
        let until = now + ORDER_LIMIT;
        let order = Order { instruction, reply_to, until };
        let waits = |other: &Order| {
            (&other.instruction, &other.reply_to) == (&order.instruction, &order.reply_to)
        };
        // Whoever hears no answer at once asks again.
        if self.orders.0.iter().any(waits) {
            return;
        }
        let objection = objection(&order.instruction.verb, self.orders.0.len());
        let useless = self.record.as_ref().filter(|record| {
            order.instruction.verb == Verb::Reset
                && (record.failover.is_some() || self.candidate.is_odown())
        });
        match (objection, useless) {
            (Some(why), _) => self.tell(order.refuse(why)),
            (None, Some(record)) => {
                let done = Outcome::Done { now: not_reset(record) };
                let revision = Some(record.revision);
                self.tell(order.answer(done, revision));
            }
            (None, None) => self.orders.0.push_back(order),
        }
        // Quiet corrections can wait; a person does not have to.
        if let (Tenure::Mend { act_after }, Some(record), true) =
            (&self.tenure, self.record.clone(), self.reconciler.in_round())
        {
            let act_after = *act_after;
            self.reconciler.stop();
            self.mend(record, act_after, now);
        }
    }

    /// Proposes the oldest instruction; whether there was one.
    pub(super) fn carry_out_orders(&mut self, record: &GroupRecord, now: Instant) -> bool {
        let scene = Scene { reconciler: &self.reconciler, pause: &self.pause, now };
        let (told, next) = self.orders.next(record, scene);
        for told in told {
            if let (Verb::Reset, Outcome::Done { now }) =
                (&told.1.instruction.verb, &told.1.outcome)
            {
                self.event(Happening::new(EventName::Reset, now.clone()));
            }
            self.tell(told);
        }
        let any = next.is_some();
        if let Some(next) = next {
            self.proposer.propose(next, now);
        }
        any
    }

    pub(super) fn expire_orders(&mut self, now: Instant) {
        while let Some(order) = self.orders.expired(now) {
            let why = self.why_not_yet();
            self.tell(order.refuse(why));
        }
    }

    pub(super) fn why_not_yet(&self) -> String {
        if let Some(plan) = self.record.as_ref().and_then(|record| record.failover.as_ref()) {
            return format!(
                "a failover from {} to {} is under way: try again when it has ended",
                plan.failed, plan.target
            );
        }
        format!(
            "no majority of voters accepted it within {} s ({}). It may still come to be: look at \
             `vedette status`",
            ORDER_LIMIT.as_secs(),
            self.candidate.standing()
        )
    }

    pub(super) fn tell(&mut self, (to, reply): Told) {
        if let Some(to) = to {
            self.effects.push_back(Effect::Reply { to, fact: reply.into() });
        }
    }
}
