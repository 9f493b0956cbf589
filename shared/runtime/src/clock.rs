//! The only place that reads clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vedette_model::Instant;

/// A process's clocks. Cloning shares the origin, so that the instants of all clones compare.
#[derive(Debug, Clone)]
pub struct Clock {
    origin: tokio::time::Instant,
}

impl Clock {
    /// A clock whose origin is now. One per process or service: instants of two do not compare.
    #[allow(clippy::disallowed_methods, reason = "this is the clock that everybody else uses")]
    pub fn start() -> Self {
        Self { origin: tokio::time::Instant::now() }
    }

    /// Monotonic time since the origin.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// The wall clock in milliseconds since 1970, for people only: it jumps.
    pub fn unix_ms(&self) -> u64 {
        self.unix_us() / 1_000
    }

    /// The same in microseconds.
    #[allow(clippy::disallowed_methods, reason = "for people only; nothing is decided by it")]
    pub fn unix_us(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
    }

    /// Waits until the instant has come; at once if it lies in the past.
    pub async fn sleep_until(&self, at: Instant) {
        let since_origin = at.since(Instant::ZERO);
        match self.origin.checked_add(since_origin) {
            Some(deadline) => tokio::time::sleep_until(deadline).await,
            // Beyond what the platform's clock can count: it never comes.
            None => std::future::pending().await,
        }
    }

    /// Waits for so long.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleep_until_wakes_at_the_instant_and_not_before() {
        let clock = Clock::start();
        let at = clock.now() + Duration::from_millis(250);
        clock.sleep_until(at).await;
        assert!(clock.now() >= at);
        assert!(clock.now() < at + Duration::from_millis(5));
        clock.sleep_until(Instant::ZERO).await;
        assert!(clock.now() < at + Duration::from_millis(5), "the past is not waited for");
    }

    #[tokio::test]
    async fn an_instant_beyond_all_clocks_never_comes() {
        let clock = Clock::start();
        let never = clock.sleep_until(Instant::from_nanos(u64::MAX));
        assert!(tokio::time::timeout(Duration::from_millis(20), never).await.is_err());
    }
}
