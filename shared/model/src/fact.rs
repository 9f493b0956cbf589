//! The facts that services exchange. One enum, so that every place that handles facts is
//! exhaustive over them.

use crate::{
    Ballot, BallotNumber, Beat, BeatReply, Candidacy, Epoch, Event, GroupName, GroupRecord, Host,
    Instruction, InstructionReply, LossBound, MasterRecord, NodeAddr, NodeView, Place, ProberId,
    Proposal, ProposalReply, Quorum, Rejection, Rejoin, RejoinAnswer, Revision, Roster,
    RosterAnswer, RosterBallot, RunId, Service, TraceId, VoterId,
};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

macro_rules! facts {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// Any message on the bus.
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub enum Fact {
            $($(#[$doc])* $name($name),)+
        }

        /// Which fact a message holds; stands in its header.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum FactKind {
            $($(#[$doc])* $name,)+
        }

        impl Fact {
            /// Which fact this is.
            pub const fn kind(&self) -> FactKind {
                match self {
                    $(Self::$name(_) => FactKind::$name,)+
                }
            }
        }

        impl FactKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The word in the header.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }

        $(impl From<$name> for Fact {
            fn from(fact: $name) -> Self {
                Self::$name(fact)
            }
        })+
    };
}

facts! {
    /// A prober's opinion of one node. Prober → voters.
    SdownReport = "sdown",
    /// What a node said of itself. Prober → orchestrators.
    NodeReport = "node",
    /// A voter's verdict on the recorded master. Voter → orchestrators.
    OdownVerdict = "odown",
    /// Prepare: asks for votes. Orchestrator → voters.
    Candidacy = "candidacy",
    /// Promise or refusal. Voter → orchestrator, a reply.
    Ballot = "ballot",
    /// Accept: asks to write a record. Orchestrator → voters.
    Proposal = "proposal",
    /// Written or refused. Voter → orchestrator, a reply.
    ProposalReply = "accepted",
    /// A leader is alive and asks to stay it. Orchestrator → everybody inside.
    Beat = "beat",
    /// Granted or superseded. Voter → orchestrator, a reply.
    BeatReply = "beat-reply",
    /// A record a majority accepted. Leader → everybody inside.
    RecordCommitted = "record",
    /// Where a failover stands. Leader → watchers.
    FailoverStep = "failover",
    /// What the asker knows; the answers hold what is newer. Anybody → voters.
    Digest = "digest",
    /// Committed records newer than the digest. Voter → asker, a reply.
    DigestReply = "digest-reply",
    /// Decides the next roster. Orchestrator → voters.
    RosterBallot = "roster-ballot",
    /// Promise, acceptance or refusal. Voter → orchestrator, a reply.
    RosterAnswer = "roster-answer",
    /// A voter without memory asks for it. Voter → voters.
    Rejoin = "rejoin",
    /// What it is told. Voter → voter, a reply.
    RejoinAnswer = "rejoin-answer",
    /// What an operator wants done. `vedette` → orchestrators.
    Instruction = "instruction",
    /// What came of it. Orchestrator → `vedette`, a reply.
    InstructionReply = "instruction-reply",
    /// A service lives, and how it is.
    Heartbeat = "alive",
    /// Asks every service for its heartbeat with standings. Anybody → everybody.
    StatusQuery = "status",
    /// Asks for a group's master. Application → orchestrators; the reply is a `MasterRecord`.
    MasterQuery = "master-query",
    /// Who is master. Public.
    MasterRecord = "master",
    /// A happening. Public.
    Event = "event",
}

/// A prober's opinion of one node.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SdownReport {
    /// The group.
    pub group: GroupName,
    /// The epoch of the record that the prober goes by.
    pub epoch: Epoch,
    /// The node.
    pub node: NodeAddr,
    /// Who looked.
    pub prober: ProberId,
    /// From where.
    pub place: Place,
    /// What it found.
    pub state: NodeState,
    /// Milliseconds since the last good reply; absent if there never was one.
    pub last_good_ms: Option<u64>,
    /// The process last seen there.
    pub run_id: Option<RunId>,
    /// The newest heartbeat heard from each voter: proves to that voter how fresh the report is.
    pub echo: Vec<Echo>,
}

/// A node's state in a prober's eyes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeState {
    /// It answers.
    Up,
    /// Subjectively down.
    Down(Evidence),
}

/// Why a node is subjectively down.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Evidence {
    /// No valid reply for so long, in milliseconds.
    Silence {
        /// Since the first unanswered ping.
        for_ms: u64,
    },
    /// The link broke and so many reconnects over `crash_grace` were refused.
    Crash {
        /// Refused reconnects.
        refused: u32,
    },
    /// `BUSY` for longer than its budget, in milliseconds.
    Busy {
        /// Since the first `BUSY`.
        for_ms: u64,
    },
    /// `LOADING` for longer than its budget, in milliseconds.
    Loading {
        /// Since the first `LOADING`.
        for_ms: u64,
    },
    /// Another process answers there, and what it holds does not continue the group's history.
    Rebirth {
        /// The new process.
        run_id: RunId,
    },
    /// The recorded master says it is a replica, for so long, in milliseconds.
    WrongRole {
        /// Since it was first seen.
        for_ms: u64,
    },
    /// It refuses writes because its disk does not work, for so long, in milliseconds, and a
    /// replica's disk does.
    WriteImpaired {
        /// Since the first such answer.
        for_ms: u64,
    },
}

impl Evidence {
    /// Whether it proves that the process is gone or holds nothing worth waiting for. What is not
    /// hard may come and go, and counts for flapping.
    pub const fn is_hard(&self) -> bool {
        match self {
            Self::Crash { .. } | Self::Rebirth { .. } => true,
            Self::Silence { .. }
            | Self::Busy { .. }
            | Self::Loading { .. }
            | Self::WrongRole { .. }
            | Self::WriteImpaired { .. } => false,
        }
    }
}

impl core::fmt::Display for Evidence {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Silence { for_ms } => write!(f, "silent for {for_ms} ms"),
            Self::Crash { refused } => {
                write!(f, "link broken, {refused} reconnects refused")
            }
            Self::Busy { for_ms } => write!(f, "busy for {for_ms} ms"),
            Self::Loading { for_ms } => write!(f, "loading for {for_ms} ms"),
            Self::Rebirth { run_id } => {
                write!(f, "reborn as {run_id} without the group's history")
            }
            Self::WrongRole { for_ms } => write!(f, "says it is a replica, for {for_ms} ms"),
            Self::WriteImpaired { for_ms } => write!(f, "refuses writes for {for_ms} ms"),
        }
    }
}

/// A voter's heartbeat as heard by a prober.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Echo {
    /// The voter.
    pub voter: VoterId,
    /// Which life of it.
    pub incarnation: u64,
    /// [`Heartbeat::tick`] of the newest one heard.
    pub tick: u64,
}

/// What a node said of itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeReport {
    /// The group.
    pub group: GroupName,
    /// The node.
    pub node: NodeAddr,
    /// Who asked.
    pub prober: ProberId,
    /// What it said.
    pub view: NodeView,
}

/// A voter's verdict on the recorded master.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OdownVerdict {
    /// The group.
    pub group: GroupName,
    /// The epoch judged.
    pub epoch: Epoch,
    /// The master judged.
    pub master: NodeAddr,
    /// Who judges.
    pub voter: VoterId,
    /// Whether the quorum is reached; false withdraws.
    pub reached: bool,
    /// The quorum asked for.
    pub quorum: Quorum,
    /// The fresh reports counted, one per prober.
    pub tally: Vec<Opinion>,
}

/// One prober's report as counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Opinion {
    /// Who.
    pub prober: ProberId,
    /// From where.
    pub place: Place,
    /// Why.
    pub evidence: Evidence,
}

/// A record that a majority of voters accepted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RecordCommitted {
    /// The ballot it was committed under.
    pub ballot: BallotNumber,
    /// The record.
    pub record: GroupRecord,
}

/// Where a failover stands.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FailoverStep {
    /// The group.
    pub group: GroupName,
    /// The leader's ballot; absent before there is one.
    pub ballot: Option<BallotNumber>,
    /// The step just finished.
    pub step: Step,
    /// Microseconds since the leader-to-be had a majority of ODOWN verdicts.
    pub elapsed_us: u64,
    /// The trace of the incident.
    pub trace_id: TraceId,
    /// The voters that promised; with [`Step::Claimed`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub votes: Vec<VoterId>,
    /// Why each other node was not chosen; with [`Step::Selected`], and with [`Step::Aborted`] if
    /// nobody could be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rejected: Vec<Rejection>,
    /// What may be lost at most; with [`Step::Selected`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossBound>,
}

/// The steps of a failover, each named for what has just been finished.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// A majority of voters reported ODOWN.
    Odown,
    /// A majority of voters promised.
    Claimed,
    /// The replicas answered the survey or its time was over.
    Surveyed {
        /// How many answered.
        answered: u32,
        /// How many were asked.
        asked: u32,
    },
    /// The plan is written down.
    Selected {
        /// Whom it promotes.
        target: NodeAddr,
    },
    /// Clients' writes wait at the old master, which hands over.
    Paused,
    /// The target holds all that the old master took.
    Level {
        /// The target.
        target: NodeAddr,
    },
    /// The old master takes no writes any more.
    Frozen,
    /// The target's `ROLE` says master.
    Promoted {
        /// Whom.
        target: NodeAddr,
    },
    /// The record names the new master.
    Committed {
        /// Under which epoch.
        epoch: Epoch,
    },
    /// One node follows the new master.
    Repaired {
        /// Which.
        node: NodeAddr,
    },
    /// The failover is over.
    Ended,
    /// The attempt was given up.
    Aborted {
        /// Why.
        why: String,
    },
    /// Some voter says that the master is down, and for a second there was no attempt.
    Waiting {
        /// What is missing.
        why: String,
    },
}

/// What the asker knows.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Digest {
    /// The revision it holds of each group; groups it does not name it does not know.
    pub have: Vec<(GroupName, Revision)>,
}

/// What a voter holds beyond a digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DigestReply {
    /// Who answers.
    pub voter: VoterId,
    /// Committed records newer than the asker's, at most [`DigestReply::LIMIT`]; ask again for
    /// the rest.
    pub records: Vec<RecordCommitted>,
    /// Groups whose newest accepted record is not known to be committed: whoever accepted it may
    /// have been cut off in between, and its owner should settle it.
    pub unsettled: Vec<GroupName>,
    /// Whether there are more newer records than fit.
    pub more: bool,
}

impl DigestReply {
    /// Records in one reply: so many of the largest fit one message.
    pub const LIMIT: usize = 32;
}

/// A service lives.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The kind of process.
    pub service: Service,
    /// Its id.
    pub id: String,
    /// Which life of it.
    pub incarnation: u64,
    /// Counts this life's heartbeats.
    pub tick: u64,
    /// Where it runs.
    pub place: Place,
    /// How it is.
    pub health: Health,
    /// The roster it goes by; voters and orchestrators only.
    pub roster: Option<Roster>,
    /// What it has to say of each group; only in answers to a [`StatusQuery`].
    pub standings: Vec<Standing>,
    /// Where clients reach it; gateways only.
    #[serde(default)]
    pub serves: Option<NodeAddr>,
    /// It has just come back to the bus: what was said meanwhile it may have missed, and what it
    /// said last may be lost.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub back: bool,
    /// On which machine; a version before did not tell it. What carries the heartbeat adds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
}

/// A service's own health.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// All is well.
    Well,
    /// It works, but something is missing; the text says what and what to do.
    Impaired(String),
}

/// What one service has to say of one group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Standing {
    /// The group.
    pub group: GroupName,
    /// The epoch it goes by.
    pub epoch: Epoch,
    /// In words: what it sees, what it waits for, what stands in the way.
    pub text: String,
}

/// Asks every service how it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct StatusQuery {}

/// Asks who is master.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MasterQuery {
    /// Of which group.
    pub group: GroupName,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_fact_has_a_word_of_its_own() {
        let words: alloc::collections::BTreeSet<_> =
            FactKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), FactKind::ALL.len());
        assert_eq!(Fact::from(StatusQuery {}).kind(), FactKind::StatusQuery);
    }
}
