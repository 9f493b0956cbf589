//! How many ballots are asked for at the same time.
//!
//! When a thousand masters die together, or a thousand groups are new, a thousand candidacies would lie in
//! the voters' queues, each waiting for all others: they would be given up and asked for again before the
//! answers come, and orchestrators of higher rank would stand against an owner that is only busy. Nothing
//! would ever end. So whoever stands takes a place until the master is committed or the quiet work done,
//! the others wait for one, and what was begun goes through undisturbed. Nobody waits to go on with a
//! failover whose leader fell silent, or to do what a person wants.

use crate::timers::Timers;
use alloc::collections::BTreeSet;
use core::time::Duration;
use vedette_model::{GroupName, Instant};

/// Groups of one orchestrator between candidacy and commit.
const PLACES: usize = 64;
/// One that takes longer counts no more: others do not wait for a node that hangs.
const PLACE_LIMIT: Duration = Duration::from_millis(500);

/// What a group waits to do; the first is done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// To replace the master of a group that this orchestrator owns.
    Own,
    /// To replace that of another's, who may be gone.
    Others,
    /// Quiet work.
    Quiet,
}

/// Who has a place, and who waits for one.
#[derive(Debug, Clone)]
pub(super) struct Places {
    taken: Timers<GroupName>,
    waiting: [BTreeSet<GroupName>; 3],
}

impl Places {
    pub(super) const fn new() -> Self {
        Self { taken: Timers::new(), waiting: [const { BTreeSet::new() }; 3] }
    }

    /// Since when the group has a place, and in which line it waits for one.
    pub(super) fn note(
        &mut self,
        group: &GroupName,
        since: Option<Instant>,
        waits: Option<Line>,
        now: Instant,
    ) {
        let until = since.map(|since| since + PLACE_LIMIT).filter(|until| now < *until);
        self.taken.set(group, until);
        for (line, waiting) in [Line::Own, Line::Others, Line::Quiet].iter().zip(&mut self.waiting)
        {
            if waits == Some(*line) {
                waiting.insert(group.clone());
            } else {
                waiting.remove(group);
            }
        }
    }

    pub(super) fn are_taken(&self) -> bool {
        self.taken.len() >= PLACES
    }

    /// Whose turn it is; nobody's while all places are taken. The groups of others are taken from the
    /// other end: their owners begin with the first.
    pub(super) fn next(&mut self, now: Instant) -> Option<GroupName> {
        self.taken.take_due(now);
        if self.are_taken() {
            return None;
        }
        let [own, others, quiet] = &mut self.waiting;
        own.pop_first().or_else(|| others.pop_last()).or_else(|| quiet.pop_first())
    }

    /// When a place is free at the latest, if anybody waits.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let somebody = self.waiting.iter().any(|line| !line.is_empty());
        self.taken.next().filter(|_| somebody)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::at;
    use alloc::format;
    use alloc::vec::Vec;

    fn name(n: usize) -> GroupName {
        GroupName::parse(&format!("g{n:03}")).unwrap()
    }

    /// All places are taken, the first one at 0 ms and each other one a millisecond later.
    fn crowded() -> Places {
        let mut places = Places::new();
        for n in 0..PLACES {
            assert!(!places.are_taken());
            let since = at(u64::try_from(n).unwrap());
            places.note(&name(n), Some(since), None, since);
        }
        assert!(places.are_taken());
        places
    }

    #[test]
    fn masters_come_before_quiet_work_and_the_own_groups_first() {
        let mut places = crowded();
        let lines = [Line::Quiet, Line::Others, Line::Own, Line::Others, Line::Own];
        for (n, line) in lines.into_iter().enumerate() {
            places.note(&name(100 + n), None, Some(line), at(100));
        }
        assert_eq!(places.next(at(100)), None);
        places.note(&name(7), None, None, at(101));
        let turns: Vec<_> = core::iter::from_fn(|| places.next(at(101))).collect();
        assert_eq!(turns, [102, 104, 103, 101, 100].map(name));
    }

    #[test]
    fn whoever_takes_too_long_holds_nobody_up() {
        let mut places = crowded();
        assert_eq!(places.poll_timeout(), None, "nobody waits");
        places.note(&name(100), None, Some(Line::Own), at(100));
        assert_eq!((places.next(at(499)), places.poll_timeout()), (None, Some(at(500))));
        assert_eq!(places.next(at(500)), Some(name(100)));
        places.note(&name(0), Some(at(0)), None, at(501));
        assert!(!places.are_taken(), "it had its time");
    }

    #[test]
    fn whoever_waits_no_more_is_not_called() {
        let mut places = Places::new();
        places.note(&name(1), None, Some(Line::Own), at(0));
        places.note(&name(1), None, None, at(1));
        assert_eq!(places.next(at(1)), None);
    }
}
