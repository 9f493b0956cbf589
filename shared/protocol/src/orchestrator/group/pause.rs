//! Pauses that end by themselves.
//!
//! No wall clock is asked. What was left when the record was written counts from when this
//! orchestrator heard of the record, by its own monotonic clock: so a pause never ends before its
//! time. The owner writes down what is left from time to time, so that the next owner does not
//! begin from the start: each change of owner makes a pause longer by at most [`NOTED_EVERY`].

use alloc::format;
use alloc::string::String;
use core::time::Duration;
use vedette_model::{GroupRecord, Instant, Pause};

/// What is left of a pause is written down this often.
const NOTED_EVERY: Duration = Duration::from_secs(60);
/// Whoever hears no answer asks for the same pause again within this time.
const ASKED_AGAIN: Duration = Duration::from_secs(6);

/// The pause that the record shows, and when that was heard; none if it has no end.
#[derive(Debug, Clone, Default)]
pub(super) struct PauseClock(Option<(Pause, Instant)>);

impl PauseClock {
    /// Takes a newer record.
    pub(super) fn record(&mut self, record: &GroupRecord, now: Instant) {
        let shown = record.pause.as_ref().filter(|pause| pause.left_ms.is_some());
        if self.0.as_ref().map(|(pause, _)| pause) != shown {
            self.0 = shown.map(|pause| (pause.clone(), now));
        }
    }

    fn left(&self, now: Instant) -> Option<Duration> {
        let (pause, heard) = self.0.as_ref()?;
        Some(Duration::from_millis(pause.left_ms?).saturating_sub(now.since(*heard)))
    }

    /// Whether it is over, or to be noted.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due().is_some_and(|at| now >= at)
    }

    fn due(&self) -> Option<Instant> {
        let (pause, heard) = self.0.as_ref()?;
        Some(*heard + Duration::from_millis(pause.left_ms?).min(NOTED_EVERY))
    }

    /// When it will be.
    pub(super) fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        self.due().filter(|at| *at > now)
    }

    /// The record after a pause that is over, or with what is left of it; none if neither is due.
    pub(super) fn next(&self, record: &GroupRecord, now: Instant) -> Option<GroupRecord> {
        let (pause, _) =
            self.0.as_ref().filter(|(pause, _)| record.pause.as_ref() == Some(pause))?;
        if !self.is_due(now) {
            return None;
        }
        let left = self.left(now).filter(|left| !left.is_zero());
        let noted = |left: Duration| Pause { left_ms: Some(millis(left)), ..pause.clone() };
        let revision = record.revision.next();
        Some(GroupRecord { revision, pause: left.map(noted), ..record.clone() })
    }

    /// The record with this pause. What was asked for a moment ago is the same wish.
    pub(super) fn set(
        &self,
        record: &GroupRecord,
        reason: &str,
        for_ms: Option<u64>,
        now: Instant,
    ) -> GroupRecord {
        let asked = |(pause, heard): &&(Pause, Instant)| {
            (pause.reason.as_str(), pause.left_ms) == (reason, for_ms)
                && now.since(*heard) < ASKED_AGAIN
        };
        if for_ms.is_some() && self.0.as_ref().filter(asked).is_some() {
            return record.clone();
        }
        let set_at = for_ms.map(|_| record.revision.next());
        let pause = Pause { reason: reason.into(), left_ms: for_ms, set_at };
        GroupRecord { pause: Some(pause), ..record.clone() }
    }

    /// For the owner's standing.
    pub(super) fn standing(&self, record: &GroupRecord, now: Instant) -> Option<String> {
        let pause = record.pause.as_ref()?;
        let left = self.left(now).map(|left| format!(", for another {}", span(millis(left))));
        Some(format!("paused{}: {}", left.unwrap_or_default(), pause.reason))
    }
}

/// Whether it is one pause, of which less may be left.
pub(super) fn is_same(one: &Pause, other: &Pause) -> bool {
    (&one.reason, one.set_at) == (&other.reason, other.set_at)
}

/// For people who did not set it.
pub(super) fn words(pause: &Pause) -> String {
    let reason = &pause.reason;
    pause.left_ms.map_or_else(
        || reason.clone(),
        |left| format!("{reason}; it ends by itself after {}", span(left)),
    )
}

/// Milliseconds as people say them.
pub(super) fn span(ms: u64) -> String {
    match ms.div_ceil(1_000) {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
