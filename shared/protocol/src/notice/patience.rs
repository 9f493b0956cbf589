//! How long a sink is borne with: rests between tries, and when to give up.

use core::time::Duration;

/// What a sink's failures cost its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Rest before the second try; it doubles with each further one.
    pub first_rest: Duration,
    /// The longest rest between two tries.
    pub longest_rest: Duration,
    /// Tries of one event.
    pub tries: u32,
    /// Time since the first try after which there is no other.
    pub give_up_after: Duration,
    /// Whether each rest is shortened by up to a quarter by chance, so that what failed together
    /// does not come back together.
    pub jitter: bool,
}

impl Patience {
    /// Of a receiver that may be down for a while: as many tries as fit into the time.
    pub const fn lasting(give_up_after: Duration) -> Self {
        Self {
            first_rest: Duration::from_millis(250),
            longest_rest: Duration::from_secs(30),
            tries: u32::MAX,
            give_up_after,
            jitter: true,
        }
    }

    /// Sentinel's with its scripts: ten runs, 30 s after the first, then twice as long each time.
    pub const fn of_sentinel() -> Self {
        Self {
            first_rest: Duration::from_secs(30),
            longest_rest: Duration::from_secs(30 << 8),
            tries: 10,
            give_up_after: Duration::MAX,
            jitter: false,
        }
    }

    /// Whether so many tries in so long a time were enough.
    pub(super) fn is_over(&self, tries: u32, since_first: Duration) -> bool {
        tries >= self.tries || since_first >= self.give_up_after
    }

    /// The rest after so many tries. `chance` is any number.
    pub(super) fn rest(&self, tries: u32, chance: u64) -> Duration {
        let doublings = tries.saturating_sub(1).min(24);
        let whole = self.first_rest.saturating_mul(1 << doublings).min(self.longest_rest);
        if !self.jitter {
            return whole;
        }
        let part = u32::try_from(spread(chance) % 1_024).unwrap_or_default();
        whole - (whole / 4_096).saturating_mul(part)
    }
}

/// `SplitMix64`: numbers that look like chance, of numbers that do not.
const fn spread(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    #[test]
    fn rests_double_up_to_the_longest() {
        let patience = Patience { jitter: false, ..Patience::lasting(Duration::MAX) };
        let rests: Vec<_> = (1..10).map(|tries| patience.rest(tries, 0).as_millis()).collect();
        assert_eq!(rests, [250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert_eq!(patience.rest(u32::MAX, 0), patience.longest_rest);
    }

    #[test]
    fn chance_shortens_a_rest_by_a_quarter_at_most_and_differs() {
        let patience = Patience::lasting(Duration::MAX);
        let rests: BTreeSet<_> = (0..100).map(|chance| patience.rest(3, chance)).collect();
        assert!(rests.len() > 50, "{} different rests of 100", rests.len());
        assert!(rests.iter().all(|rest| (750..=1_000).contains(&rest.as_millis())), "{rests:?}");
    }

    #[test]
    fn it_ends_by_time_or_by_tries() {
        let hour = Duration::from_secs(3_600);
        let lasting = Patience::lasting(hour);
        assert!(!lasting.is_over(1_000, hour - Duration::from_secs(1)));
        assert!(lasting.is_over(1, hour));
        let sentinel = Patience::of_sentinel();
        assert!(!sentinel.is_over(9, hour));
        assert!(sentinel.is_over(10, Duration::ZERO));
    }

    #[test]
    fn sentinels_rests_are_thirty_seconds_to_128_minutes() {
        let rests = (1..10).map(|tries| Patience::of_sentinel().rest(tries, 7).as_secs());
        let rests: Vec<_> = rests.collect();
        assert_eq!((rests[0], rests[1], rests[8]), (30, 60, 128 * 60));
    }
}
