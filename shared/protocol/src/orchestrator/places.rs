//! How many ballots are asked for at the same time.
//!
//! When a thousand masters die together, or a thousand groups are new, a thousand candidacies would lie in
//! the voters' queues, each waiting for all others: they would be given up and asked for again before the
//! answers come, and orchestrators of higher rank would stand against an owner that is only busy. Nothing
//! would ever end. So whoever stands takes a place until the master is committed or the quiet work done,
//! the others wait for one, and what was begun goes through undisturbed. Nobody waits to go on with a
//! failover whose leader fell silent, or to do what a person wants.

use crate::timers::Timers;
use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use vedette_model::{GroupName, Instant};

/// Groups of one orchestrator between candidacy and commit: at first, at least and at most. There are
/// more while they go through quickly, and half as many when they do not.
const PLACES_AT_FIRST: usize = 16;
const PLACES_AT_LEAST: usize = 8;
const PLACES_AT_MOST: usize = 256;
/// From candidacy to commit; well before a lease ends, and before the survey is over.
const QUICK: Duration = Duration::from_millis(200);
/// One that takes longer counts no more: others do not wait for a node that hangs.
const PLACE_LIMIT: Duration = Duration::from_millis(500);

/// What a group waits to do; the first is done first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Line {
    /// To replace the master of a group that this orchestrator owns.
    Own,
    /// To replace that of another's, who may be gone, or busy.
    Others,
    /// Quiet work.
    Quiet,
}

/// What a group holds a place for, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// To change the master.
    Walk(Instant),
    /// For quiet work, which takes as long as its nodes do.
    Quiet(Instant),
}

/// Who has a place, and who waits for one.
#[derive(Debug, Clone)]
pub(super) struct Places {
    places: usize,
    /// When there were made fewer last.
    halved: Option<Instant>,
    taken: Timers<GroupName>,
    walks: BTreeMap<GroupName, Instant>,
    waiting: [BTreeSet<GroupName>; 3],
}

impl Places {
    pub(super) const fn new() -> Self {
        Self {
            places: PLACES_AT_FIRST,
            halved: None,
            taken: Timers::new(),
            walks: BTreeMap::new(),
            waiting: [const { BTreeSet::new() }; 3],
        }
    }

    /// What the group has a place for, and in which line it waits for one.
    pub(super) fn note(
        &mut self,
        group: &GroupName,
        holds: Option<Holds>,
        waits: Option<Line>,
        now: Instant,
    ) {
        if let Some(Holds::Walk(since)) = holds {
            self.walks.insert(group.clone(), since);
        } else if let Some(since) = self.walks.remove(group) {
            self.learn(since, now);
        }
        let since = holds.map(|(Holds::Walk(since) | Holds::Quiet(since))| since);
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

    /// One is through that was begun then. Those that were begun together are late together, and say
    /// one thing: there are half as many again only for one that was begun since.
    fn learn(&mut self, since: Instant, now: Instant) {
        if now.since(since) < QUICK {
            self.places = (self.places + 1).min(PLACES_AT_MOST);
        } else if self.halved.is_none_or(|at| since >= at) {
            self.places = (self.places / 2).max(PLACES_AT_LEAST);
            self.halved = Some(now);
        }
    }

    /// Whether a group has to wait. Those of others are only begun while nothing else is: their owners
    /// are at it, or will be found dead.
    pub(super) fn are_taken(&self, owned: bool) -> bool {
        let places = if owned { self.places } else { 1 };
        self.taken.len() >= places
    }

    /// Whose turn it is; nobody's while all places are taken. The groups of others are taken from the
    /// other end: their owners begin with the first.
    pub(super) fn next(&mut self, now: Instant) -> Option<GroupName> {
        self.taken.take_due(now);
        if self.are_taken(true) {
            return None;
        }
        let busy = self.are_taken(false);
        let [own, others, quiet] = &mut self.waiting;
        let other = || if busy { None } else { others.pop_last() };
        own.pop_first().or_else(other).or_else(|| quiet.pop_first())
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
        for n in 0..PLACES_AT_FIRST {
            assert!(!places.are_taken(true));
            let since = at(u64::try_from(n).unwrap());
            places.note(&name(n), Some(Holds::Walk(since)), None, since);
        }
        assert!(places.are_taken(true));
        places
    }

    #[test]
    fn masters_come_before_quiet_work() {
        let mut places = crowded();
        let lines = [Line::Quiet, Line::Own, Line::Own];
        for (n, line) in lines.into_iter().enumerate() {
            places.note(&name(100 + n), None, Some(line), at(100));
        }
        assert_eq!(places.next(at(100)), None);
        places.note(&name(7), None, None, at(101));
        let turns: Vec<_> = core::iter::from_fn(|| places.next(at(101))).collect();
        assert_eq!(turns, [101, 102, 100].map(name));
    }

    #[test]
    fn the_groups_of_others_are_begun_one_by_one_while_nothing_else_is() {
        let mut places = Places::new();
        places.note(&name(1), Some(Holds::Walk(at(0))), None, at(0));
        assert!(places.are_taken(false) && !places.are_taken(true));
        for n in [8, 9] {
            places.note(&name(n), None, Some(Line::Others), at(1));
        }
        assert_eq!(places.next(at(2)), None);
        places.note(&name(1), None, None, at(3));
        assert_eq!(places.next(at(3)), Some(name(9)));
        places.note(&name(9), Some(Holds::Walk(at(3))), None, at(3));
        assert_eq!(places.next(at(3)), None);
    }

    #[test]
    fn there_are_more_places_while_all_goes_quickly_and_half_as_many_when_not() {
        let took = |ms: u64, times: usize| {
            let mut places = Places::new();
            for _ in 0..times {
                places.note(&name(1), Some(Holds::Walk(at(0))), None, at(0));
                places.note(&name(1), None, None, at(ms));
            }
            places.places
        };
        assert_eq!([took(199, 1), took(199, 1_000)], [17, 256]);
        assert_eq!([took(200, 1), took(200, 9)], [8, 8]);
        let mut places = Places::new();
        places.places = 200;
        for (since, ms, left) in
            [(0, 500, 100), (0, 500, 100), (499, 800, 100), (500, 800, 50), (799, 1_000, 50)]
        {
            places.note(&name(1), Some(Holds::Walk(at(since))), None, at(since));
            places.note(&name(1), None, None, at(ms));
            assert_eq!(places.places, left, "one that was begun at {since} and late at {ms}");
        }
        let mut places = Places::new();
        places.note(&name(1), Some(Holds::Quiet(at(0))), None, at(0));
        places.note(&name(1), None, None, at(2_000));
        assert_eq!(places.places, PLACES_AT_FIRST, "quiet work says nothing");
    }

    #[test]
    fn whoever_takes_too_long_holds_nobody_up() {
        let mut places = crowded();
        assert_eq!(places.poll_timeout(), None, "nobody waits");
        places.note(&name(100), None, Some(Line::Own), at(100));
        assert_eq!((places.next(at(499)), places.poll_timeout()), (None, Some(at(500))));
        assert_eq!(places.next(at(500)), Some(name(100)));
        places.note(&name(0), Some(Holds::Walk(at(0))), None, at(501));
        assert!(!places.are_taken(true), "it had its time");
    }

    #[test]
    fn whoever_waits_no_more_is_not_called() {
        let mut places = Places::new();
        places.note(&name(1), None, Some(Line::Own), at(0));
        places.note(&name(1), None, None, at(1));
        assert_eq!(places.next(at(1)), None);
    }
}
