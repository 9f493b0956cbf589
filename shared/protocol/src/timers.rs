//! One table of deadlines for a role that runs many small machines.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use vedette_model::Instant;

/// When each key wants to be woken; the next one is found without looking at all.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timers<K: Ord + Clone> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Ord + Clone> Timers<K> {
    pub(crate) const fn new() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }

    /// Sets, moves or clears the key's deadline.
    pub(crate) fn set(&mut self, key: &K, at: Option<Instant>) {
        if self.by_key.get(key).copied() == at {
            return;
        }
        let kept = self.by_key.remove_entry(key).map(|(key, old)| {
            let entry = (old, key);
            self.by_time.remove(&entry);
            entry.1
        });
        if let Some(at) = at {
            let key = kept.unwrap_or_else(|| key.clone());
            self.by_time.insert((at, key.clone()));
            self.by_key.insert(key, at);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes all keys that are due. Each once: one that is set into the past again meanwhile must
    /// not keep its role from saying what it has to say.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<K> {
        let mut due = Vec::new();
        while self.by_time.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = self.by_time.pop_first() else { break };
            self.by_key.remove(&key);
            due.push(key);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::at;
    use alloc::vec;

    #[test]
    fn each_key_has_one_deadline_and_the_earliest_is_next() {
        let mut timers = Timers::new();
        assert_eq!(timers.next(), None);
        timers.set(&'a', Some(at(30)));
        timers.set(&'b', Some(at(20)));
        assert_eq!(timers.next(), Some(at(20)));
        timers.set(&'b', Some(at(40)));
        assert_eq!(timers.next(), Some(at(30)));
        timers.set(&'a', None);
        assert_eq!(timers.next(), Some(at(40)));
    }

    #[test]
    fn what_is_due_is_taken_once_and_in_order() {
        let mut timers = Timers::new();
        for (key, millis) in [('c', 10), ('a', 20), ('b', 10), ('d', 21)] {
            timers.set(&key, Some(at(millis)));
        }
        assert_eq!(timers.take_due(at(20)), vec!['b', 'c', 'a']);
        assert_eq!(timers.take_due(at(20)), vec![]);
        assert_eq!(timers.next(), Some(at(21)));
    }
}
