//! The facts of a vote: prepare and promise, accept and accepted, and a leader's heartbeat.

use crate::{
    BallotNumber, Epoch, GroupName, GroupRecord, NodeAddr, Revision, RosterVersion, VoterId,
};
use serde::{Deserialize, Serialize};

/// Asks for votes: Paxos's *prepare*.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidacy {
    /// The group.
    pub group: GroupName,
    /// The ballot asked for.
    pub ballot: BallotNumber,
    /// What for; the voter checks that it is allowed.
    pub purpose: Purpose,
    /// The roster the candidate counts by.
    pub roster: RosterVersion,
}

/// What a ballot is wanted for.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Replace this master of this epoch, which must be objectively down.
    Failover {
        /// The epoch.
        epoch: Epoch,
        /// The master.
        master: NodeAddr,
    },
    /// Replace this master of this epoch because a person wants it, down or not.
    Switchover {
        /// The epoch.
        epoch: Epoch,
        /// The master.
        master: NodeAddr,
    },
    /// Go on with a failover whose leader fell silent.
    Takeover,
    /// Seed, admit, correct, settle. Not while a failover is under way.
    Configure,
}

/// A voter's answer to a candidacy.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// The group.
    pub group: GroupName,
    /// The ballot answered.
    pub ballot: BallotNumber,
    /// Who answers.
    pub voter: VoterId,
    /// The answer.
    pub answer: BallotAnswer,
}

/// Promise or refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BallotAnswer {
    /// Nothing lower will be accepted from now on.
    Promise {
        /// The record accepted so far, with its ballot.
        accepted: Option<(BallotNumber, GroupRecord)>,
        /// Milliseconds for which the ballot before may still act under its lease; no command may
        /// be sent earlier.
        lease_ms: u64,
        /// Milliseconds since this voter accepted the last change of master by an automatic
        /// failover; absent if that was before its present life.
        #[serde(default)]
        failover_ms_ago: Option<u64>,
    },
    /// No.
    Refused {
        /// Why.
        why: Refusal,
        /// The highest ballot promised, so that the candidate can go higher.
        promised: Option<BallotNumber>,
    },
}

/// Why a candidacy was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// A higher ballot is promised.
    OlderBallot,
    /// The voter goes by another roster.
    OtherRoster {
        /// The voter's.
        version: RosterVersion,
    },
    /// The voter's own verdict on the recorded master is not ODOWN.
    NotOdown,
    /// The record has moved on.
    OtherMaster {
        /// The recorded epoch.
        epoch: Epoch,
    },
    /// The group is paused.
    Paused,
    /// Too soon after the last automatic failover.
    HeldOff {
        /// Milliseconds left.
        remaining_ms: u64,
    },
    /// The group failed over too often: a person must release it.
    Held,
    /// The voter has no memory yet.
    Joining,
    /// A failover is under way: take it over when its leader falls silent.
    FailoverUnderWay,
    /// Its leader was heard a moment ago.
    LeaderAlive {
        /// Milliseconds of silence still missing.
        remaining_ms: u64,
    },
    /// There is no failover to take over.
    NoFailover,
    /// The voter's store does not work; the voter is as good as dead.
    StoreFailed,
}

impl core::fmt::Display for Refusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OlderBallot => f.write_str("a higher ballot is promised"),
            Self::OtherRoster { version } => write!(f, "the voter goes by roster {version}"),
            Self::NotOdown => f.write_str("the voter's own verdict is not odown"),
            Self::OtherMaster { epoch } => write!(f, "the record has moved on to epoch {epoch}"),
            Self::Paused => f.write_str("the group is paused"),
            Self::HeldOff { remaining_ms } => {
                write!(f, "held off for {remaining_ms} ms after the last failover")
            }
            Self::Held => f.write_str("held after too many failovers: release it by hand"),
            Self::Joining => f.write_str("the voter has no memory yet"),
            Self::FailoverUnderWay => f.write_str("a failover is under way"),
            Self::LeaderAlive { remaining_ms } => {
                write!(f, "its leader is alive; ask again in {remaining_ms} ms")
            }
            Self::NoFailover => f.write_str("there is no failover to take over"),
            Self::StoreFailed => f.write_str("the voter's store failed"),
        }
    }
}

/// Asks to write a record: Paxos's *accept*.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// The ballot it is written under.
    pub ballot: BallotNumber,
    /// The roster the leader counts by.
    pub roster: RosterVersion,
    /// The record.
    pub record: GroupRecord,
}

/// A voter's answer to a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ProposalReply {
    /// The group.
    pub group: GroupName,
    /// The ballot answered.
    pub ballot: BallotNumber,
    /// The revision answered.
    pub revision: Revision,
    /// Who answers.
    pub voter: VoterId,
    /// The answer.
    pub answer: ProposalAnswer,
}

/// Written or refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProposalAnswer {
    /// On the voter's disk.
    Accepted,
    /// A higher ballot is promised.
    Superseded {
        /// That ballot.
        promised: BallotNumber,
    },
    /// The voter goes by another roster.
    OtherRoster {
        /// The voter's.
        version: RosterVersion,
    },
    /// The voter heard nothing of this ballot for so long that its promise is over.
    Lapsed,
    /// The voter has no memory yet.
    Joining,
    /// The voter's store does not work.
    StoreFailed,
}

/// A leader's heartbeat. A majority of grants is its lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Beat {
    /// The group.
    pub group: GroupName,
    /// The leader's ballot.
    pub ballot: BallotNumber,
    /// The roster the leader counts by.
    pub roster: RosterVersion,
    /// The leader's count of its beats.
    pub beat: u64,
}

/// A voter's answer to a leader's heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BeatReply {
    /// The group.
    pub group: GroupName,
    /// The ballot answered.
    pub ballot: BallotNumber,
    /// The beat answered.
    pub beat: u64,
    /// Who answers.
    pub voter: VoterId,
    /// Whether the voter has promised nothing higher, and its promise has not lapsed.
    pub granted: bool,
}
