//! What a failover asks for.

use super::{Effect, Group, Tenure};
use crate::failover::{self, switch_cause};
use crate::happening::Happening;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{Command, Epoch, EventName, Instant, MasterRecord, Rejection, Step};

/// Nobody can be promoted, for the same reasons as before: told again after so long.
const TOLD_AGAIN: Duration = Duration::from_secs(60);

impl Group {
    pub(super) fn walk_act(&mut self, act: failover::Act, now: Instant) {
        match act {
            failover::Act::Inspect(node) => self.command(node, Command::Inspect),
            failover::Act::Promote(node) => {
                let Tenure::Walk(walk) = &self.tenure else { return };
                let run_id = walk.looked_at().cloned();
                self.guarded(node, Command::Promote { run_id }, now);
            }
            failover::Act::PauseWrites(node, for_ms) => {
                self.guarded(node, Command::PauseWrites { for_ms }, now);
            }
            failover::Act::Freeze(node) => {
                self.guarded(node, Command::Freeze, now);
            }
            failover::Act::Unpause(node) => {
                self.guarded(node, Command::Unpause, now);
            }
            failover::Act::Propose(record) => self.proposer.propose(record, now),
            failover::Act::AnnounceAhead(record) => {
                if self.is_leased(now) {
                    self.writes_go_on(record.epoch, now);
                    self.publish(MasterRecord::from(&record).into());
                }
            }
            failover::Act::Announce => {
                let Some(record) = self.record.clone() else { return };
                self.writes_go_on(record.epoch, now);
                self.effects.push_back(Effect::Announce(record.clone()));
                self.event(Happening::new(EventName::SwitchMaster, switch_cause(&record)));
                self.event(Happening::new(EventName::ReconfSlaves, "the others follow now"));
                self.reconciler.begin(&record, true, now, now);
                self.cut_repair_short();
            }
            failover::Act::Step(step) => self.walked(step, now),
            failover::Act::Event(happening) => self.event(happening),
            failover::Act::NoGoodSlave { told, reasons, rejected } => {
                self.no_good_slave(told, reasons, rejected, now);
            }
            failover::Act::NoHeir(no) => self.wish_refused(no),
            // Said by what only looks, which is no tenure.
            failover::Act::Foreseen(_) => {}
            failover::Act::End { aborted, pause } => {
                self.wish_ended(aborted.as_deref());
                self.leave(pause, aborted.unwrap_or_default(), now);
            }
        }
    }

    /// From now on applications know whom to write to.
    fn writes_go_on(&mut self, epoch: Epoch, now: Instant) {
        if let Tenure::Walk(walk) = &self.tenure {
            self.wishes.stood_still(epoch, walk.paused_at(), now);
        }
    }

    /// What is as it was is told again once a minute only.
    fn no_good_slave(
        &mut self,
        told: Happening,
        reasons: String,
        rejected: Vec<Rejection>,
        now: Instant,
    ) {
        let known = self.last_abort.as_ref().filter(|(before, _)| *before == reasons);
        if known.is_none_or(|(_, at)| now.since(*at) >= TOLD_AGAIN) {
            self.last_abort = Some((reasons, now));
            let why = told.cause.clone();
            self.event(told);
            self.rejected = rejected;
            self.walked(Step::Aborted { why }, now);
        }
    }
}
