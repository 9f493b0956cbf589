//! Ids that came before.

use super::SEEN_LIMIT;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;

/// The last [`SEEN_LIMIT`] event ids.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Seen {
    pub(super) fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Whether the id is new.
    pub(super) fn insert(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.into()) {
            return false;
        }
        self.order.push_back(id.into());
        if self.order.len() > SEEN_LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn ids_beyond_the_window_are_forgotten() {
        let mut seen = Seen::default();
        for id in 0..=SEEN_LIMIT {
            assert!(seen.insert(&id.to_string()));
        }
        assert!(!seen.insert("1"), "still within the window");
        assert!(seen.insert("0"), "pushed out of the window");
        assert_eq!((seen.ids.len(), seen.order.len()), (SEEN_LIMIT, SEEN_LIMIT));
    }
}
