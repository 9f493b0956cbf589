//! Looking at the replicas and choosing one.

use super::heir::{foreseen, heir};
use super::words::{describe, millis, reasons, stage};
use super::{
    Act, Evidence, Failover, NO_GOOD_SLAVE_PAUSE, NoHeir, Phase, SURVEY_LIMIT, Selection,
    TRY_AGAIN, plan, select,
};
use crate::happening::Happening;
use alloc::format;
use core::time::Duration;
use vedette_model::{EventName, Flapping, GroupRecord, Instant, PlanReason, Rejection, Step};

impl Failover {
    /// Asks every member but those that failed before, and but the failed master unless it came
    /// back as a replica.
    pub(super) fn survey(&mut self, record: &GroupRecord, now: Instant) {
        for member in &record.members {
            let addr = &member.addr;
            let master_too = self.setting.returned || self.setting.wish.is_some();
            let wanted = *addr != record.master || master_too;
            let asked = self.asked.contains_key(addr) || self.excluded.contains(addr);
            if wanted && !asked {
                self.survey_until = now + SURVEY_LIMIT;
                self.asked.insert(addr.clone(), member.gone);
                self.acts.push_back(Act::Inspect(addr.clone()));
            }
        }
    }

    /// Whether all have answered whose answer is waited for: a node that has been gone for long
    /// is heard, and waited for only if nobody else will do.
    pub(super) fn is_surveyed(&self, gone_too: bool, now: Instant) -> bool {
        let mut asked = self.asked.iter().filter(|(_, gone)| gone_too || !**gone);
        now >= self.survey_until || asked.all(|(addr, _)| self.answers.contains_key(addr))
    }

    pub(super) fn down_for(&self, now: Instant) -> Duration {
        self.setting.odown_since.map_or(Duration::ZERO, |at| now.since(at))
    }

    pub(super) fn select_if_surveyed(&mut self, now: Instant) {
        let begun = self.elected || self.foresees;
        if self.phase != Phase::Surveying || !begun || !self.is_surveyed(false, now) {
            return;
        }
        let Some(record) = self.record.clone() else { return };
        let wish = self.setting.wish.clone().filter(|_| self.reason == PlanReason::Odown);
        let down_for_ms = millis(self.down_for(now));
        let relaxed = wish.is_none() && down_for_ms >= record.settings.patience_ms;
        let evidence = Evidence {
            record: &record,
            answers: &self.answers,
            excluded: &self.excluded,
            master_offset: self.setting.master_offset.map(|(o, at)| (o, millis(now.since(at)))),
            down_for_ms: down_for_ms.saturating_add(record.settings.down_after_ms),
            reign_ms: self.failover_ms_ago,
            relaxed,
        };
        if let Some(wish) = wish {
            let chosen = heir(&evidence, &wish);
            if chosen.is_ok() || self.is_surveyed(true, now) {
                self.surveyed();
                self.heir_chosen(record, chosen);
            }
            return;
        }
        let chosen = select(&evidence);
        if chosen.is_err() && !self.is_surveyed(true, now) {
            return;
        }
        self.surveyed();
        self.relaxed = relaxed;
        match chosen {
            Ok(selection) => self.plan_for(record, selection),
            Err(rejected) => self.no_good_slave(record, &rejected, down_for_ms),
        }
    }

    fn surveyed(&mut self) {
        let answered = u32::try_from(self.answers.values().filter(|a| a.is_ok()).count());
        let asked = u32::try_from(self.asked.len());
        self.acts.push_back(Act::Step(Step::Surveyed {
            answered: answered.unwrap_or(u32::MAX),
            asked: asked.unwrap_or(u32::MAX),
        }));
    }

    /// Has the plan written down.
    pub(super) fn plan_for(&mut self, record: GroupRecord, selection: Selection) {
        self.phase = Phase::Planning;
        let seen = self.answers.get(&selection.target).and_then(|answer| answer.as_ref().ok());
        self.looked_at = seen.map(|view| view.run_id.clone());
        let flapping = self.flapping(&record);
        let plan = plan::write(record, &self.setting.me, selection, flapping, self.reason);
        self.propose(plan);
    }

    /// What a person wants is not done in one case: if nobody can do it.
    fn heir_chosen(
        &mut self,
        record: GroupRecord,
        chosen: Result<(Selection, PlanReason), NoHeir>,
    ) {
        match chosen {
            Ok((selection, reason)) if self.foresees => {
                let words = foreseen(&record, &selection, reason);
                self.acts.push_back(Act::Foreseen(Ok(words)));
            }
            Ok((selection, reason)) => {
                self.reason = reason;
                self.plan_for(record, selection);
            }
            Err(no) if self.foresees => self.acts.push_back(Act::Foreseen(Err(no))),
            Err(no) => {
                let why = no.why.clone();
                self.acts.push_back(Act::Step(Step::Aborted { why: why.clone() }));
                self.acts.push_back(Act::NoHeir(no));
                self.end(Some(why), Duration::ZERO);
            }
        }
        if self.foresees {
            self.phase = Phase::Over;
        }
    }

    /// A plan that was taken over has counted this failover already.
    pub(super) fn flapping(&self, record: &GroupRecord) -> Flapping {
        let planned = record.failover.as_ref().map(|plan| plan.flapping);
        // What people want says nothing of the group's health.
        let planned = planned.or((self.reason != PlanReason::Odown).then_some(record.flapping));
        planned.unwrap_or_else(|| plan::count(record, self.setting.hard, self.failover_ms_ago))
    }

    pub(super) fn no_good_slave(
        &mut self,
        record: GroupRecord,
        rejected: &[Rejection],
        down_for_ms: u64,
    ) {
        let why = format!(
            "no replica can be promoted ({}): {}; start one of them again, or add one",
            stage(self.relaxed),
            describe(rejected)
        );
        let happening = Happening::new(EventName::AbortNoGoodSlave, why.clone());
        let reasons = format!("{}: {}", stage(self.relaxed), reasons(rejected));
        let rejected = rejected.to_vec();
        self.acts.push_back(Act::NoGoodSlave { told: happening, reasons, rejected });
        // The next attempt does not sleep through the moment at which more is allowed.
        let left = record.settings.patience_ms.saturating_sub(down_for_ms);
        let left = Duration::from_millis(left).max(TRY_AGAIN);
        let pause = if self.relaxed { NO_GOOD_SLAVE_PAUSE } else { NO_GOOD_SLAVE_PAUSE.min(left) };
        self.give_up(record, why, pause);
    }
}
