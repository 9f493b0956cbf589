//! How states are told apart: a hash that knows no absolute time.
//!
//! The cores' derived `Hash` writes each [`Instant`] as nanoseconds. The model's clock starts at
//! [`ORIGIN`], far above every other number in a state, so an instant is known by its size; it
//! counts as its distance from now, cut off where the cores no longer tell distances apart. Two
//! states that differ only in when they happened are then one state, and time may go on forever
//! in a finite space.

use std::hash::{Hash, Hasher};
use std::time::Duration;
use vedette_model::Instant;

/// Where the model's clocks start, in nanoseconds.
pub const ORIGIN: u64 = 1 << 62;

/// How far from now instants are told apart.
#[derive(Debug, Clone, Copy)]
pub struct Horizon {
    /// Everything before is as long ago; with zero, now is past as well.
    pub past: Duration,
    /// Everything after is as far off.
    pub future: Duration,
}

/// The hash of a value as seen at a moment: 128 bits, so that no two values are ever confused.
pub fn digest<T: Hash>(value: &T, now: Instant, horizon: Horizon) -> u128 {
    let mut hasher =
        Digest { low: 0x9e37_79b9_7f4a_7c15, high: 0xc2b2_ae3d_27d4_eb4f, now, horizon };
    value.hash(&mut hasher);
    u128::from(mix(hasher.low)) << 64 | u128::from(mix(hasher.high))
}

struct Digest {
    low: u64,
    high: u64,
    now: Instant,
    horizon: Horizon,
}

impl Digest {
    const fn eat(&mut self, word: u64) {
        self.low = (self.low.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
        self.high = mix(self.high ^ word).wrapping_add(0x2545_f491_4f6c_dd1d);
    }
}

const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let word = (word ^ (word >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    word ^ (word >> 32)
}

impl Hasher for Digest {
    fn finish(&self) -> u64 {
        mix(self.low ^ self.high)
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.eat(u64::from_le_bytes(word));
        }
        self.eat(bytes.len() as u64);
    }

    fn write_u64(&mut self, word: u64) {
        if word < ORIGIN {
            self.eat(word);
            return;
        }
        let (at, now) = (word, self.now.as_nanos());
        let nanos = |d: Duration| u64::try_from(d.as_nanos()).unwrap_or(u64::MAX);
        self.eat(u64::MAX);
        if at > now {
            self.eat((at - now).min(nanos(self.horizon.future)));
        } else {
            self.eat((now - at).min(nanos(self.horizon.past)) | 1 << 63);
        }
    }

    fn write_u8(&mut self, word: u8) {
        self.eat(u64::from(word));
    }

    fn write_u32(&mut self, word: u32) {
        self.eat(u64::from(word));
    }

    fn write_usize(&mut self, word: usize) {
        self.eat(word as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HORIZON: Horizon =
        Horizon { past: Duration::from_millis(500), future: Duration::from_millis(500) };

    fn at(ms: u64) -> Instant {
        Instant::from_nanos(ORIGIN) + Duration::from_millis(ms)
    }

    #[test]
    fn only_the_distance_from_now_counts_and_only_up_to_the_horizon() {
        let of = |value: u64, now: u64| digest(&at(value), at(now), HORIZON);
        assert_eq!(of(1_000, 1_200), of(3_000, 3_200));
        assert_ne!(of(1_000, 1_200), of(1_000, 1_300));
        assert_ne!(of(1_200, 1_000), of(1_000, 1_200), "to come is not past");
        assert_eq!(of(1_000, 1_500), of(1_000, 9_000));
        assert_eq!(of(9_000, 1_000), of(9_000, 8_500));
    }

    #[test]
    fn numbers_that_are_no_instants_stay_what_they_are() {
        let of = |value: u64, now: u64| digest(&value, at(now), HORIZON);
        assert_eq!(of(7, 1), of(7, 2));
        assert_ne!(of(7, 1), of(8, 1));
    }
}
