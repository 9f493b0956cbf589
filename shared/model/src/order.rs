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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// A number of voters that is more than half of a roster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
