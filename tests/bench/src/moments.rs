//! What is measured of a failover, and what is computed from it.

use crate::trouble::Trouble;
use crate::world::Contestant;
use clap::ValueEnum;
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Instant;

/// What is done to the master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// `kill -9`.
    Kill,
    /// `SIGSTOP`.
    Stop,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill -9",
            Self::Stop => "SIGSTOP",
        })
    }
}

/// One setting in which all contestants are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Setting {
    pub fault: Fault,
    pub down_after_ms: u64,
    /// What dies with the master.
    pub trouble: Trouble,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, down_after {} ms", self.fault, self.down_after_ms)?;
        if self.trouble == Trouble::None { Ok(()) } else { write!(f, ", with {}", self.trouble) }
    }
}

/// Milliseconds from the fault to each moment. What was not seen is absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Moments {
    /// The first watcher calls the master down.
    pub first_sdown_ms: Option<f64>,
    /// As many of them as the quorum wants do: the evidence is in.
    pub quorum_sdown_ms: Option<f64>,
    /// The first that has counted them says so.
    pub odown_ms: Option<f64>,
    /// The next master closes its clients' connections, which is a part of its promotion.
    pub promoted_ms: Option<f64>,
    /// The first subscriber hears who is master.
    pub announced_ms: Option<f64>,
    /// The first Sentinel or gateway says `+switch-master`.
    pub switch_master_ms: Option<f64>,
    /// A client that moves when it hears the announcement writes again.
    pub follower_write_ms: Option<f64>,
    /// redis-py, which asks a Sentinel or gateway when its connection fails, writes again.
    pub redis_py_write_ms: Option<f64>,
}

/// A contestant in a setting, once.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    /// Trials of one pair and setting follow one another.
    pub pair: usize,
    pub contestant: Contestant,
    #[serde(flatten)]
    pub setting: Setting,
    /// From when all was well to the fault, so that it meets no watcher always at the same beat.
    pub phase_ms: u64,
    /// What the rule by which the master was called down lets pass first: `down_after`, or the
    /// crash grace if its crash was proven.
    pub waiting_ms: Option<f64>,
    /// From the fault to when that had passed by what the rule counts from, where it is told.
    pub rule_over_ms: Option<f64>,
    #[serde(flatten)]
    pub moments: Moments,
    /// Why it has no more moments, if it failed.
    pub error: Option<String>,
}

impl Trial {
    /// The overhead, ms: from when nothing had to be waited for any more, counted from the fault, to
    /// the announcement.
    pub fn over_the_wait(&self) -> Option<f64> {
        Some(self.moments.announced_ms? - self.waiting_ms?)
    }

    /// The same, ms, but counted as the rule counts, which begins with the first question that is not
    /// answered.
    pub fn over_the_rule(&self) -> Option<f64> {
        Some(self.moments.announced_ms? - self.rule_over_ms?)
    }

    /// The part of the overhead that is no detection, ms: from the SDOWN of the quorum on.
    pub fn after_the_evidence(&self) -> Option<f64> {
        Some(self.moments.announced_ms? - self.moments.quorum_sdown_ms?)
    }
}

/// When so many different ones had spoken, in the order of time; each counts once.
pub fn nth_speaker<'a>(
    said: impl IntoIterator<Item = (Instant, &'a str)>,
    wanted: usize,
) -> Option<Instant> {
    let mut said: Vec<_> = said.into_iter().collect();
    said.sort();
    let mut heard = BTreeSet::new();
    said.into_iter().find(|(_, who)| heard.insert(*who) && heard.len() == wanted).map(|(at, _)| at)
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use std::time::Duration;

    /// A trial with `kill -9` and 500 ms; the evidence is in 12 ms before the announcement.
    pub fn trial(pair: usize, contestant: Contestant, announced_ms: Option<f64>) -> Trial {
        Trial {
            pair,
            contestant,
            setting: Setting { fault: Fault::Kill, down_after_ms: 500, trouble: Trouble::None },
            phase_ms: 0,
            waiting_ms: Some(500.0),
            rule_over_ms: announced_ms.map(|ms| ms - 14.0),
            moments: Moments {
                announced_ms,
                quorum_sdown_ms: announced_ms.map(|ms| ms - 12.0),
                ..Moments::default()
            },
            error: None,
        }
    }

    pub const OURS: Contestant = Contestant::Vedette { nats: 1 };

    #[test]
    fn overhead_is_what_lies_behind_the_wait_and_behind_the_evidence() {
        let seen = trial(1, OURS, Some(532.0));
        assert_eq!(seen.over_the_wait(), Some(32.0));
        assert_eq!(seen.over_the_rule(), Some(14.0));
        assert_eq!(seen.after_the_evidence(), Some(12.0));
        let unseen = trial(1, OURS, None);
        assert_eq!((unseen.over_the_wait(), unseen.after_the_evidence()), (None, None));
        let no_rule = Trial { waiting_ms: None, rule_over_ms: None, ..seen };
        assert_eq!((no_rule.over_the_wait(), no_rule.over_the_rule()), (None, None));
    }

    #[test]
    fn the_second_speaker_is_not_the_first_one_again() {
        let at = |ms| vedette_harness::now() + Duration::from_millis(ms);
        let (early, again, late) = (at(0), at(1_000), at(2_000));
        let said = [(late, "b"), (again, "a"), (early, "a")];
        assert_eq!(nth_speaker(said, 1), Some(early));
        assert_eq!(nth_speaker(said, 2), Some(late));
        assert_eq!(nth_speaker(said, 3), None);
    }
}
