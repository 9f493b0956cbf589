//! Up or down, by what evidence, and when this prober had better say nothing.

use super::link::Link;
use super::trouble::Loading;
use super::{Act, INFO_EVERY_IN_TROUBLE, REPORT_EVERY, REPORT_OTHERS_EVERY, Watcher};
use alloc::format;
use core::time::Duration;
use vedette_model::{EventName, Evidence, Instant, NodeState};

/// Punctual probes needed after a stall.
const PROBATION: u8 = 2;

impl Watcher {
    pub(super) fn judge(&mut self, now: Instant) {
        if self.lifeless || self.probation > 0 {
            return;
        }
        let found = self.evidence(now);
        let same = match (&self.state, &found) {
            (NodeState::Up, None) => true,
            (NodeState::Down(old), Some(new)) => is_same(old, new),
            (NodeState::Up, Some(_)) | (NodeState::Down(_), None) => false,
        };
        if !same {
            self.lifeless = found.as_ref().is_some_and(ends_by_an_answer);
            self.state = found.map_or(NodeState::Up, NodeState::Down);
            self.down_since = now;
            self.report(now);
        }
        self.tell_waiting(now);
    }

    /// When the verdict may change by time alone.
    pub(super) fn verdict_due(&self) -> Option<Instant> {
        if self.state != NodeState::Up || self.probation > 0 {
            return None;
        }
        let silence = self.unanswered_since.map(|since| since + self.limits.down_after);
        let busy = self.busy_since.map(|since| since + self.limits.busy_budget);
        let loading = self
            .loading
            .filter(|loading| !(loading.over || self.must_wait() && loading.waiting_told))
            .and_then(|loading| self.loading_end(loading));
        let writes = self.refusing_end();
        [silence, busy, loading, writes].into_iter().flatten().min()
    }

    fn evidence(&self, now: Instant) -> Option<Evidence> {
        let millis =
            |since: Instant| u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        if let Some(crash) = self.crash.filter(|crash| crash.proven) {
            return Some(Evidence::Crash { refused: crash.refused });
        }
        if let Some(run_id) = &self.company.reborn {
            return Some(Evidence::Rebirth { run_id: run_id.clone() });
        }
        if let Some(since) = self.busy_since
            && now >= since + self.limits.busy_budget
        {
            return Some(Evidence::Busy { for_ms: millis(since) });
        }
        if let Some(since) = self.unanswered_since
            && now >= since + self.limits.down_after
        {
            return Some(Evidence::Silence { for_ms: millis(since) });
        }
        if let Some(loading) = self.loading
            && self.loading_counts(loading, now)
        {
            return Some(Evidence::Loading { for_ms: millis(loading.since) });
        }
        if let Some((first, newest)) = self.replica
            && newest.since(first) >= self.limits.down_after + 2 * INFO_EVERY_IN_TROUBLE
        {
            return Some(Evidence::WrongRole { for_ms: millis(first) });
        }
        let since = self.refuses_writes_since?;
        let too_long = self.refusing_end().is_some_and(|end| now >= end);
        too_long.then(|| Evidence::WriteImpaired { for_ms: millis(since) })
    }

    fn loading_counts(&self, loading: Loading, now: Instant) -> bool {
        // While it is not heard yet what it has loaded, the verdict stays as it is.
        if loading.over {
            return matches!(self.state, NodeState::Down(Evidence::Loading { .. }));
        }
        !self.must_wait() && self.loading_end(loading).is_some_and(|end| now >= end)
    }

    /// Nobody could take the loading master's place: what it loads is all there is.
    const fn must_wait(&self) -> bool {
        self.company.master && !self.company.spare
    }

    /// When its patience is over: at the end of its budget, or sooner if it will need longer by
    /// its own estimate and another could serve instead.
    fn loading_end(&self, loading: Loading) -> Option<Instant> {
        let budget = self.limits.loading_budget?;
        let end = loading.since + budget;
        let hopeless = self.loaded_at.is_some_and(|at| at > end);
        if hopeless && self.company.master && self.company.spare {
            return Some(loading.since + budget.min(self.limits.down_after));
        }
        Some(end)
    }

    fn tell_waiting(&mut self, now: Instant) {
        let Some(loading) = self.loading.filter(|l| !l.over && !l.waiting_told) else { return };
        let spent = self.loading_end(loading).is_some_and(|end| now >= end);
        if spent && self.must_wait() {
            self.loading = Some(Loading { waiting_told: true, ..loading });
            let for_ms = now.since(loading.since).as_millis();
            let cause = format!(
                "it has been loading for {for_ms} ms, past its budget, and no other node is known \
                 to hold the group's data: it is waited for"
            );
            self.tell(EventName::Loading, cause);
        }
    }

    /// When a master that refuses writes counts as down, if it does.
    fn refusing_end(&self) -> Option<Instant> {
        let counts = self.limits.switch_when_write_impaired
            && self.company.master
            && self.company.writable_spare;
        self.refuses_writes_since.filter(|_| counts).map(|since| since + self.limits.down_after)
    }

    pub(super) fn report(&mut self, now: Instant) {
        self.acts.push_back(Act::Report(self.state.clone()));
        // Once more soon: who hears of a new reign later than this prober has passed it over.
        let soon = self.company.master || now < self.down_since + REPORT_EVERY;
        let every = if soon { REPORT_EVERY } else { REPORT_OTHERS_EVERY };
        self.next_report = (self.state != NodeState::Up).then(|| now + every);
    }

    pub(super) fn punctual_probe(&mut self) {
        if self.probation == 1 {
            self.tell(EventName::SelfSuspectOver, "this prober keeps time again");
        }
        self.probation = self.probation.saturating_sub(1);
    }

    /// The loop woke so late that what was measured meanwhile says more about us than about the
    /// node.
    pub(super) fn notice_stall(&mut self, now: Instant) {
        let Some(due) = self.poll_timeout() else { return };
        if now < due + self.limits.down_after / 4 {
            return;
        }
        let late = now.since(due);
        self.throw_samples_away(now);
        if self.state != NodeState::Up {
            self.state = NodeState::Up;
            self.lifeless = false;
            self.report(now);
        }
        self.tell_stall(late);
    }

    fn throw_samples_away(&mut self, now: Instant) {
        self.probation = PROBATION;
        self.crash = None;
        self.busy_since = None;
        self.replica = None;
        self.reopened = false;
        self.unanswered_since = self.unanswered_since.map(|_| now);
        self.refuses_writes_since = self.refuses_writes_since.map(|_| now);
        self.loading = self.loading.map(|loading| Loading { since: now, ..loading });
        self.next_report = self.next_report.map(|_| now);
        self.next_ping = now;
        self.next_connect = now;
        if let Link::Opening { .. } = self.link {
            self.link = Link::Opening { since: now };
        }
        self.next_info = self.next_info.max(now);
        self.ask_role_from(now);
    }

    fn tell_stall(&mut self, late: Duration) {
        let late = late.as_millis();
        let cause = format!("this prober was stalled for {late} ms; its samples are thrown away");
        self.tell(EventName::SelfSuspect, cause);
    }
}

/// Whether it stands until a valid answer comes, whatever is measured meanwhile.
const fn ends_by_an_answer(evidence: &Evidence) -> bool {
    match evidence {
        Evidence::Silence { .. } | Evidence::Crash { .. } | Evidence::Busy { .. } => true,
        Evidence::Loading { .. }
        | Evidence::Rebirth { .. }
        | Evidence::WrongRole { .. }
        | Evidence::WriteImpaired { .. } => false,
    }
}

/// Whether two findings are one, seen at different times.
fn is_same(one: &Evidence, other: &Evidence) -> bool {
    match (one, other) {
        (Evidence::Rebirth { run_id: one }, Evidence::Rebirth { run_id: other }) => one == other,
        (one, other) => core::mem::discriminant(one) == core::mem::discriminant(other),
    }
}
