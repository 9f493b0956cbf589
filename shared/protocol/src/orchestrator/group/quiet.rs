//! Quiet work of a group's owner: seeding, settling, writing down what was learned, corrections.

use super::{Group, QUIET_PAUSE, Tenure};
use crate::reconcile;
use alloc::string::String;
use vedette_model::{Command, GroupRecord, Instant, Step};

impl Group {
    pub(super) fn mend_elected(
        &mut self,
        adopted: Option<GroupRecord>,
        act_after: Instant,
        now: Instant,
    ) {
        let seed = self.orders.declared().or_else(|| self.seed.take());
        match (adopted, seed) {
            (None, Some((master, settings))) => {
                let first = GroupRecord::first(self.name.clone(), master, settings);
                self.proposer.propose(first, now);
            }
            (None, None) => self.leave(QUIET_PAUSE, String::new(), now),
            (Some(adopted), _) => {
                let known = self.record.as_ref() == Some(&adopted);
                if known && !self.unsettled {
                    self.mend(adopted, act_after, now);
                } else {
                    // Perhaps a minority accepted it, or the voters never heard that it was
                    // committed: have it committed, as it is.
                    self.proposer.propose(adopted, now);
                }
            }
        }
    }

    /// The record is settled under this ballot: write down what was learned, then correct.
    pub(super) fn mend(&mut self, record: GroupRecord, act_after: Instant, now: Instant) {
        if record.failover.is_some() {
            self.leave(QUIET_PAUSE, String::new(), now);
        } else if self.carry_out_orders(&record, now) {
            // The commit comes back here.
        } else if let Some(next) = self.pause.next(&record, now) {
            self.proposer.propose(next, now);
        } else if record.removed
            || record.pause.is_some()
            || self.candidate.is_odown()
            || self.wishes.wants_ballot()
        {
            self.leave(QUIET_PAUSE, String::new(), now);
        } else if let Some(learned) = self.reconciler.learned(&record, now) {
            self.proposer.propose(learned, now);
        } else {
            self.reconciler.begin(&record, false, act_after, now);
        }
    }

    pub(super) fn reconcile_act(&mut self, act: reconcile::Act, now: Instant) {
        match act {
            reconcile::Act::Inspect(node) => self.command(node, Command::Inspect),
            reconcile::Act::Save(node) => {
                self.guarded(node, Command::Save, now);
            }
            reconcile::Act::Follow { node, cut_clients, ask_who, told } => {
                let Some(master) = self.record.as_ref().map(|r| r.master.clone()) else { return };
                let sent =
                    self.guarded(node, Command::Follow { master, cut_clients, ask_who }, now);
                if let Some(told) = told.filter(|_| sent) {
                    self.event(told);
                }
            }
            reconcile::Act::Repaired(node) => {
                if matches!(self.tenure, Tenure::Walk(_)) {
                    self.step(Step::Repaired { node }, now);
                }
            }
            reconcile::Act::Event(happening) => self.event(happening),
            reconcile::Act::Finished { timed_out } => match &mut self.tenure {
                Tenure::Walk(walk) => walk.repaired(timed_out),
                Tenure::Mend { .. } | Tenure::None => {
                    self.leave(QUIET_PAUSE, String::new(), now);
                }
            },
        }
    }
}
