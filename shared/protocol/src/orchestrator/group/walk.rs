//! What a failover asks for.

use super::{Effect, Group};
use crate::failover::{self, switch_cause};
use crate::happening::Happening;
use vedette_model::{Command, EventName, Instant};

impl Group {
    pub(super) fn walk_act(&mut self, act: failover::Act, now: Instant) {
        match act {
            failover::Act::Inspect(node) => self.command(node, Command::Inspect),
            failover::Act::Promote(node) => {
                self.guarded(node, Command::Promote, now);
            }
            failover::Act::Propose(record) => self.proposer.propose(record, now),
            failover::Act::Announce => {
                let Some(record) = self.record.clone() else { return };
                self.effects.push_back(Effect::Announce(record.clone()));
                self.event(Happening::new(EventName::SwitchMaster, switch_cause(&record)));
                self.event(Happening::new(EventName::ReconfSlaves, "the others follow now"));
                self.reconciler.begin(&record, true, now, now);
                self.cut_repair_short();
            }
            failover::Act::Step(step) => self.step(step, now),
            failover::Act::Event(happening) => {
                let repeated = happening.name == EventName::AbortNoGoodSlave
                    && happening.cause == self.last_abort;
                if happening.name == EventName::AbortNoGoodSlave {
                    self.last_abort.clone_from(&happening.cause);
                }
                if !repeated {
                    self.event(happening);
                }
            }
            failover::Act::End { aborted, pause } => {
                self.leave(pause, aborted.unwrap_or_default(), now);
            }
        }
    }
}
