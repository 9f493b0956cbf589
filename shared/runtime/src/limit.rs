//! Saying something often without filling the log.

use std::sync::Mutex;
use std::time::Duration;
use vedette_model::Instant;

/// Lets one through per interval and counts the rest.
#[derive(Debug)]
pub(crate) struct Limit {
    every: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Instant>,
    held: u64,
}

impl Limit {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, state: Mutex::default() }
    }

    /// How often it happened since the last time this gave an answer, the present one included;
    /// nothing while the interval is not over.
    pub(crate) fn pass(&self, now: Instant) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        state.held += 1;
        if state.last.is_some_and(|last| now.since(last) < self.every) {
            return None;
        }
        state.last = Some(now);
        Some(std::mem::take(&mut state.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_passes_and_the_next_tells_what_was_held_back() {
        let limit = Limit::new(Duration::from_secs(10));
        let at = |seconds: u64| Instant::from_millis(seconds * 1_000);
        assert_eq!(limit.pass(at(0)), Some(1));
        assert_eq!(limit.pass(at(1)), None);
        assert_eq!(limit.pass(at(9)), None);
        assert_eq!(limit.pass(at(10)), Some(3));
        assert_eq!(limit.pass(at(11)), None);
    }
}
