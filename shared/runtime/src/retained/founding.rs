//! Who began: the first roster of processes that nobody tells who votes.
//!
//! ```text
//!  nothing ─► begin: one of all who try ─► roster 1 ─► keep: founded, and newer rosters
//! ```
//!
//! One value, compared and swapped. It is looked at by processes without memory only; a voter that
//! remembers goes by its store. So JetStream decides once who begins, and nothing afterwards: it may
//! be lost later, and is written again by those who remember.

use super::RetainedError;
use super::bucket::Bucket;
use crate::bus::Bus;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use vedette_model::{NodeAddr, Roster, VoterId};

const KEY: &str = "roster";
/// How often it is compared and written again when others write meanwhile.
const ROUNDS: usize = 8;

/// Who votes, as far as it was written down.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Founding {
    /// The newest roster that was written down.
    pub roster: Roster,
    /// Whether a voter of it has had memory: from then on one without has lost it, and must not
    /// begin anew.
    pub founded: bool,
    /// Where the processes of these voters can be reached. A new id at an old one's address is in
    /// its place.
    pub addresses: BTreeMap<VoterId, NodeAddr>,
}

impl Founding {
    /// Of a roster that nobody has gone by yet.
    pub const fn first(roster: Roster) -> Self {
        Self { roster, founded: false, addresses: BTreeMap::new() }
    }

    /// This with what another look knows besides.
    #[must_use]
    pub fn joined(mut self, other: &Self) -> Self {
        if other.roster.version > self.roster.version {
            self.roster = other.roster.clone();
        }
        self.founded |= other.founded;
        self.addresses.extend(other.addresses.iter().map(|(id, at)| (id.clone(), at.clone())));
        let roster = &self.roster;
        self.addresses.retain(|id, _| roster.contains(id));
        self
    }
}

/// What was written down.
///
/// # Errors
/// [`RetainedError`].
pub async fn read(bus: &Bus) -> Result<Option<Founding>, RetainedError> {
    let mut bucket = bucket(bus);
    bucket.open().await?;
    bucket.value(KEY).await?.0.as_deref().map(parse).transpose()
}

/// Begins with this, unless somebody else has begun; what is written down now.
///
/// # Errors
/// [`RetainedError`].
pub async fn begin(bus: &Bus, wanted: &Founding) -> Result<Founding, RetainedError> {
    change(bus, |known| known.cloned().unwrap_or_else(|| wanted.clone())).await
}

/// Writes down what has come to be known; what is written down now.
///
/// # Errors
/// [`RetainedError`].
pub async fn keep(bus: &Bus, news: &Founding) -> Result<Founding, RetainedError> {
    change(bus, |known| match known {
        Some(known) => known.clone().joined(news),
        None => news.clone().joined(news),
    })
    .await
}

async fn change(
    bus: &Bus,
    next: impl Fn(Option<&Founding>) -> Founding,
) -> Result<Founding, RetainedError> {
    let mut bucket = bucket(bus);
    bucket.open().await?;
    for _ in 0..ROUNDS {
        let (value, revision) = bucket.value(KEY).await?;
        let known = value.as_deref().map(parse).transpose()?;
        let wanted = next(known.as_ref());
        if known.as_ref() == Some(&wanted) {
            return Ok(wanted);
        }
        let value = serde_json::to_vec(&wanted).map_err(|e| RetainedError::Refused(Box::new(e)))?;
        if bucket.swap(KEY, value.into(), revision).await? {
            return Ok(wanted);
        }
    }
    Err(RetainedError::Silent)
}

fn bucket(bus: &Bus) -> Bucket {
    Bucket::named(bus, bus.subjects().founding_bucket(), "Who votes, for who has no memory")
}

/// What cannot be read may be a later version's: nobody begins over it.
fn parse(value: &[u8]) -> Result<Founding, RetainedError> {
    serde_json::from_slice(value).map_err(|error| RetainedError::Refused(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::RosterVersion;

    fn founding(version: u64, voters: &[&str], founded: bool) -> Founding {
        let voters = voters.iter().map(|id| VoterId::parse(id).unwrap()).collect();
        let roster = Roster::parse(RosterVersion(version), voters).unwrap();
        Founding { founded, ..Founding::first(roster) }
    }

    #[test]
    fn a_newer_roster_counts_and_founded_is_for_ever() {
        let (old, new) = (founding(1, &["a"], true), founding(2, &["a", "b"], false));
        let expected = founding(2, &["a", "b"], true);
        assert_eq!(old.clone().joined(&new), expected);
        assert_eq!(new.joined(&old), expected);
    }

    #[test]
    fn the_address_of_one_that_votes_no_more_is_forgotten() {
        let mut old = founding(1, &["a", "b"], true);
        let at = |port| NodeAddr::new("10.0.0.1", port).unwrap();
        for (id, port) in [("a", 1), ("b", 2)] {
            old.addresses.insert(VoterId::parse(id).unwrap(), at(port));
        }
        let new = old.joined(&founding(2, &["b"], true));
        assert_eq!(new.addresses.into_values().collect::<Vec<_>>(), [at(2)]);
    }
}
