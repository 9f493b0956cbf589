//! The voter's role: verdicts, votes and records of all groups.

use alloc::string::String;
use serde::{Deserialize, Serialize};
use vedette_model::{BallotNumber, Fact, GroupName, GroupRecord, RecordCommitted};

/// What a voter keeps on disk of one group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// The group.
    pub group: GroupName,
    /// The highest ballot promised.
    pub promised: Option<BallotNumber>,
    /// The record accepted last, with its ballot.
    pub accepted: Option<(BallotNumber, GroupRecord)>,
    /// The newest record known to be committed.
    pub committed: Option<RecordCommitted>,
}

/// What a voter hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus, with the subject its answer goes to if it wants one.
    Fact {
        /// The message.
        fact: Fact,
        /// Where to answer.
        reply_to: Option<String>,
    },
    /// The store could not sync a [`Output::Persist`]: what it protected was not sent. From now
    /// on the voter refuses everything and says so.
    StoreFailed {
        /// The store's words.
        why: String,
    },
}

/// What a voter does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Write and sync before carrying out what follows.
    Persist(Stored),
    /// Tell the bus.
    Publish(Fact),
    /// Answer.
    Reply {
        /// The subject.
        to: String,
        /// The answer.
        fact: Fact,
    },
}
