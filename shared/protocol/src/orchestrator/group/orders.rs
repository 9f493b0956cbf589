//! What people want done with a group: each is a change of the record, answered once a majority of
//! voters has it.

use super::{Effect, Group, Tenure};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    Flapping, GroupRecord, Instant, Instruction, InstructionReply, Outcome, Pause, Verb,
};

/// An instruction that could not be carried out by then is refused.
const ORDER_LIMIT: Duration = Duration::from_secs(4);
/// Instructions that may wait for one group.
const WAITING_LIMIT: usize = 8;
/// Bytes a reason may have.
const REASON_LIMIT: usize = 512;

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
type Told = (Option<String>, InstructionReply);

impl Orders {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.0.front().map(|order| order.until)
    }

    /// The record with the oldest carried out. Those that it shows already are answered.
    fn next(&mut self, record: &GroupRecord) -> (Vec<Told>, Option<GroupRecord>) {
        let mut told = Vec::new();
        while let Some(order) = self.0.front() {
            let wanted = carried_out(record, &order.instruction.verb);
            if wanted != *record {
                return (told, Some(GroupRecord { revision: record.revision.next(), ..wanted }));
            }
            let now = words(record, &order.instruction.verb);
            told.extend(self.0.pop_front().map(|order| order.answer(Outcome::Done { now })));
        }
        (told, None)
    }

    fn expired(&mut self, now: Instant) -> Option<Order> {
        self.0.front().filter(|order| now >= order.until)?;
        self.0.pop_front()
    }
}

impl Order {
    fn answer(self, outcome: Outcome) -> Told {
        (self.reply_to, InstructionReply { instruction: self.instruction, outcome })
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
        let until = now + ORDER_LIMIT;
        let order = Order { instruction, reply_to, until };
        let waits = |other: &Order| {
            (&other.instruction, &other.reply_to) == (&order.instruction, &order.reply_to)
        };
        // Whoever hears no answer at once asks again.
        if self.orders.0.iter().any(waits) {
            return;
        }
        match objection(&order.instruction.verb, self.orders.0.len()) {
            Some(why) => self.tell(order.answer(Outcome::Refused { why })),
            None => self.orders.0.push_back(order),
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
        let (told, next) = self.orders.next(record);
        told.into_iter().for_each(|told| self.tell(told));
        let any = next.is_some();
        if let Some(next) = next {
            self.proposer.propose(next, now);
        }
        any
    }

    pub(super) fn expire_orders(&mut self, now: Instant) {
        while let Some(order) = self.orders.expired(now) {
            let why = self.why_not_yet();
            self.tell(order.answer(Outcome::Refused { why }));
        }
    }

    fn why_not_yet(&self) -> String {
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

    fn tell(&mut self, (to, reply): Told) {
        if let Some(to) = to {
            self.effects.push_back(Effect::Reply { to, fact: reply.into() });
        }
    }
}

fn objection(verb: &Verb, waiting: usize) -> Option<String> {
    match verb {
        Verb::AddVoter(_) | Verb::RemoveVoter(_) => {
            Some("the roster is no group's: name no group".into())
        }
        Verb::Pause { reason } if reason.trim().is_empty() => {
            Some("a pause needs a reason, for whoever finds the group paused".into())
        }
        Verb::Pause { reason } if reason.len() > REASON_LIMIT => {
            Some(format!("the reason has {} bytes, {REASON_LIMIT} are allowed", reason.len()))
        }
        Verb::Pause { .. } | Verb::Resume | Verb::Release => (waiting >= WAITING_LIMIT)
            .then(|| format!("{waiting} instructions are waiting already: try again in a moment")),
    }
}

fn carried_out(record: &GroupRecord, verb: &Verb) -> GroupRecord {
    let mut record = record.clone();
    match verb {
        Verb::Pause { reason } => record.pause = Some(Pause { reason: reason.clone() }),
        Verb::Resume => record.pause = None,
        Verb::Release => record.flapping = Flapping::default(),
        Verb::AddVoter(_) | Verb::RemoveVoter(_) => {}
    }
    record
}

fn words(record: &GroupRecord, verb: &Verb) -> String {
    let group = &record.group;
    match verb {
        Verb::Pause { reason } => format!(
            "{group} is paused ({reason}): it is observed, and nothing is done to it before \
             `vedette resume {group}`"
        ),
        Verb::Resume => format!("{group} is not paused: it is looked after again"),
        Verb::Release => format!("{group} is not held: it may fail over again"),
        Verb::AddVoter(_) | Verb::RemoveVoter(_) => String::new(),
    }
}
