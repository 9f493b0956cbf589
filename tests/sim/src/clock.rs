//! The monotonic clock of one process: an origin and a rate of its own.

use vedette_model::Instant;

/// Reads the world's time as one process sees it.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// When it was set, on the world's clock.
    from: Instant,
    /// What it showed then.
    shown: Instant,
    /// Parts of a million by which it is fast; slow if negative.
    ppm: i32,
}

impl Clock {
    /// A clock that shows `shown` at `from`.
    pub const fn new(from: Instant, shown: Instant, ppm: i32) -> Self {
        Self { from, shown, ppm }
    }

    const fn rate(&self) -> u64 {
        (1_000_000 + self.ppm as i64) as u64
    }

    /// What it shows at a moment.
    pub const fn local(&self, now: Instant) -> Instant {
        let passed = now.as_nanos().saturating_sub(self.from.as_nanos());
        Instant::from_nanos(self.shown.as_nanos() + passed * self.rate() / 1_000_000)
    }

    /// The first moment at which it shows at least this.
    pub const fn global(&self, local: Instant) -> Instant {
        let passed = local.as_nanos().saturating_sub(self.shown.as_nanos());
        let nanos = (passed * 1_000_000).div_ceil(self.rate());
        Instant::from_nanos(self.from.as_nanos() + nanos)
    }

    /// Goes on from here at another rate; it never jumps.
    pub const fn set_rate(&mut self, ppm: i32, now: Instant) {
        *self = Self { from: now, shown: self.local(now), ppm };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_that_is_set_by_a_drifting_clock_is_due_when_it_fires() {
        for ppm in [-10_000, -37, 0, 5, 10_000] {
            let clock = Clock::new(Instant::from_millis(5), Instant::from_millis(900), ppm);
            for nanos in [0, 1, 999, 300_000_001, 59_123_456_789] {
                let wanted = Instant::from_nanos(900_000_000 + nanos);
                let at = clock.global(wanted);
                assert!(clock.local(at) >= wanted);
                let before = Instant::from_nanos(at.as_nanos() - 1);
                assert!(nanos == 0 || clock.local(before) < wanted);
            }
        }
    }
}
