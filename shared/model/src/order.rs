//! Numbers that order things: epochs, revisions, ballots, rosters, majorities.

use crate::{NameError, OrchestratorId, VoterId};
use alloc::collections::BTreeSet;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter!(
    /// The number of a group's configuration: every change of master raises it.
    Epoch
);
counter!(
    /// The number of a group record: every committed change raises it by one.
    Revision
);
counter!(
    /// The version of the voters' roster.
    RosterVersion
);

/// A ballot: totally ordered by number, then proposer, then the proposer's life. The fencing
/// token of a leader.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BallotNumber {
    /// Chosen above every ballot the proposer has heard of.
    pub number: u64,
    /// Who proposes.
    pub proposer: OrchestratorId,
    /// The proposer's incarnation: a restarted proposer that forgot its ballots cannot repeat one.
    pub incarnation: u64,
}

impl fmt::Display for BallotNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.number, self.proposer)
    }
}

/// How many probers must agree before a voter calls a master objectively down: at least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Quorum(u32);

impl Quorum {
    /// Parses a quorum.
    ///
    /// # Errors
    /// [`NameError::Form`] for zero.
    pub fn parse(count: u32) -> Result<Self, NameError> {
        if count == 0 {
            return Err(NameError::Form {
                what: "a quorum (1 or greater)",
                given: "0".to_string(),
            });
        }
        Ok(Self(count))
    }

    /// The number of probers.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Quorum {
    type Error = NameError;

    fn try_from(count: u32) -> Result<Self, NameError> {
        Self::parse(count)
    }
}

impl From<Quorum> for u32 {
    fn from(quorum: Quorum) -> Self {
        quorum.0
    }
}

impl fmt::Display for Quorum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The configured list of voters, versioned. The majority is always of this list, never of "those
/// that are alive".
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "RawRoster")]
pub struct Roster {
    /// Every candidacy names this; a voter of another version refuses.
    pub version: RosterVersion,
    /// The voters, each once, at least one.
    voters: Vec<VoterId>,
}

#[derive(Deserialize)]
struct RawRoster {
    version: RosterVersion,
    voters: Vec<VoterId>,
}

impl TryFrom<RawRoster> for Roster {
    type Error = NameError;

    fn try_from(raw: RawRoster) -> Result<Self, NameError> {
        Self::parse(raw.version, raw.voters)
    }
}

impl Roster {
    /// A roster of distinct voters.
    ///
    /// # Errors
    /// [`NameError::Form`] if the list is empty or names a voter twice.
    pub fn parse(version: RosterVersion, voters: Vec<VoterId>) -> Result<Self, NameError> {
        let distinct: BTreeSet<_> = voters.iter().collect();
        if voters.is_empty() || distinct.len() != voters.len() {
            let given = alloc::format!("{voters:?}");
            return Err(NameError::Form { what: "a list of distinct voters", given });
        }
        Ok(Self { version, voters })
    }

    /// The voters, in configured order.
    pub fn voters(&self) -> &[VoterId] {
        &self.voters
    }

    /// More than half of the roster.
    pub fn majority(&self) -> Majority {
        Majority(self.voters.len() / 2 + 1)
    }

    /// Whether the voter is on the roster.
    pub fn contains(&self, voter: &VoterId) -> bool {
        self.voters.contains(voter)
    }
}

impl fmt::Display for Roster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "roster {} (", self.version)?;
        for (n, voter) in self.voters.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{voter}")?;
        }
        f.write_str(")")
    }
}

/// A number of voters that is more than half of a roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Majority(usize);

impl Majority {
    /// The number of voters.
    pub const fn get(self) -> usize {
        self.0
    }

    /// Whether so many voters are a majority.
    pub const fn reached(self, count: usize) -> bool {
        count >= self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voters(ids: &[&str]) -> Vec<VoterId> {
        ids.iter().map(|id| VoterId::parse(id).unwrap()).collect()
    }

    fn ballot(number: u64, proposer: &str, incarnation: u64) -> BallotNumber {
        let proposer = OrchestratorId::parse(proposer).unwrap();
        BallotNumber { number, proposer, incarnation }
    }

    #[test]
    fn ballots_are_ordered_by_number_then_proposer_then_its_life() {
        let ordered = [ballot(1, "b", 9), ballot(2, "a", 1), ballot(2, "a", 2), ballot(2, "b", 0)];
        assert!(ordered.is_sorted());
        assert!(ordered.windows(2).all(|pair| pair[0] < pair[1]), "and no two are equal");
        assert_eq!(ballot(2, "a", 1).to_string(), "2.a");
    }

    #[test]
    fn a_counter_stops_at_its_end_and_never_wraps() {
        assert_eq!(Epoch(1).next(), Epoch(2));
        assert_eq!(Revision(u64::MAX).next(), Revision(u64::MAX));
    }

    #[test]
    fn a_majority_is_more_than_half_of_the_roster() {
        let all = ["v1", "v2", "v3", "v4", "v5", "v6", "v7"];
        for (size, majority) in [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)] {
            let roster = Roster::parse(RosterVersion(1), voters(&all[..size])).unwrap();
            assert_eq!(roster.majority().get(), majority, "of {size}");
            assert!(roster.majority().reached(majority));
            assert!(!roster.majority().reached(majority - 1));
        }
    }

    #[test]
    fn a_roster_names_each_voter_once_and_at_least_one() {
        assert!(Roster::parse(RosterVersion(1), Vec::new()).is_err());
        let error = Roster::parse(RosterVersion(1), voters(&["v1", "v2", "v1"])).unwrap_err();
        assert_eq!(error.to_string(), "\"[v1, v2, v1]\" is not a list of distinct voters");
        let roster = Roster::parse(RosterVersion(1), voters(&["v2", "v1"])).unwrap();
        assert_eq!(roster.voters(), voters(&["v2", "v1"]), "in configured order");
        assert!(roster.contains(&voters(&["v1"])[0]));
        assert!(!roster.contains(&voters(&["v3"])[0]));
    }

    #[test]
    fn deserialising_a_roster_is_parsing_it() {
        let good = r#"{"version":2,"voters":["v1","v2"]}"#;
        let roster: Roster = serde_json::from_str(good).unwrap();
        assert_eq!(roster.version, RosterVersion(2));
        assert_eq!(serde_json::to_string(&roster).unwrap(), good);
        for bad in [r#"{"version":1,"voters":[]}"#, r#"{"version":1,"voters":["v1","v1"]}"#] {
            assert!(serde_json::from_str::<Roster>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_quorum_is_at_least_one() {
        assert_eq!(Quorum::parse(1).unwrap().get(), 1);
        assert!(Quorum::parse(0).is_err());
        assert_eq!(serde_json::from_str::<Quorum>("2").unwrap().get(), 2);
        assert!(serde_json::from_str::<Quorum>("0").is_err());
        assert!(serde_json::from_str::<Quorum>("-1").is_err());
    }
}
