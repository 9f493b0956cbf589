//! The facts of changing the voters' roster, and of a voter that has no memory.

use crate::{
    BallotNumber, Epoch, GroupName, GroupRecord, NodeAddr, Quorum, RecordCommitted, Revision,
    Roster, RosterVersion, Setting, VoterId,
};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// One round of deciding the next roster: prepare, or accept. Each version is one Paxos decision
/// of the voters of the version before.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RosterBallot {
    /// The ballot.
    pub ballot: BallotNumber,
    /// The roster that decides; voters of another version refuse.
    pub from: RosterVersion,
    /// What is asked.
    pub ask: RosterAsk,
}

/// What a [`RosterBallot`] asks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterAsk {
    /// Promise to accept nothing lower.
    Prepare,
    /// Accept this roster as the next version.
    Accept(Roster),
    /// It is decided: go by it.
    Adopt(Roster),
}

/// A voter's answer to a [`RosterBallot`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RosterAnswer {
    /// Who answers.
    pub voter: VoterId,
    /// The ballot answered.
    pub ballot: BallotNumber,
    /// The answer.
    pub answer: RosterVote,
}

/// Promise, acceptance or refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterVote {
    /// Nothing lower will be accepted; with what was accepted so far as the next roster.
    Promise {
        /// The next roster accepted so far, with its ballot.
        accepted: Option<(BallotNumber, Roster)>,
    },
    /// On this voter's disk as the next roster.
    Accepted,
    /// This voter goes by the new roster.
    Adopted,
    /// No.
    Refused(RosterRefusal),
}

/// Why a roster ballot was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RosterRefusal {
    /// A higher ballot is promised: this one.
    OlderBallot(BallotNumber),
    /// The voter goes by this roster.
    OtherRoster(Roster),
    /// The proposed roster differs from the present one by more or less than one voter.
    NotOneVoter,
    /// These groups' records are not yet known to be committed under the present roster, so that
    /// a further change could lose them.
    Unsettled(Vec<GroupName>),
    /// The voter has no memory yet.
    Joining,
    /// The voter's store does not work.
    StoreFailed,
}

impl core::fmt::Display for RosterRefusal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OlderBallot(ballot) => write!(f, "a higher ballot ({ballot}) is promised"),
            Self::OtherRoster(roster) => write!(f, "the voter goes by roster {}", roster.version),
            Self::NotOneVoter => f.write_str("a change adds or removes exactly one voter"),
            Self::Unsettled(groups) => {
                write!(f, "{} groups are not settled under the present roster yet", groups.len())
            }
            Self::Joining => f.write_str("the voter has no memory yet"),
            Self::StoreFailed => f.write_str("the voter's store failed"),
        }
    }
}

/// A voter that has no memory (a new one, or one that lost its file) asks the others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rejoin {
    /// Who asks.
    pub voter: VoterId,
    /// Which life of it.
    pub incarnation: u64,
    /// What it asks.
    pub ask: RejoinAsk,
}

/// What a voter without memory asks, one after the other.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejoinAsk {
    /// Does anybody remember anything?
    Memory,
    /// Which ballot numbers have been used?
    Floor,
    /// Refuse every ballot number up to this one from now on, and say what was accepted.
    Records {
        /// At least every ballot number that the asker may have promised or accepted.
        floor: u64,
        /// Only groups after this one; absent at first.
        after: Option<GroupName>,
    },
}

/// A voter's answer to a [`Rejoin`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RejoinAnswer {
    /// Who answers.
    pub voter: VoterId,
    /// Which life of it.
    pub incarnation: u64,
    /// The life that was answered.
    pub to: u64,
    /// The roster it goes by; of a voter without memory, the one it is configured with.
    pub roster: Roster,
    /// The answer.
    pub memory: Memory,
}

/// What a voter can tell one without memory.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memory {
    /// It has no memory either.
    Blank,
    /// It was there when all voters were blank, the asker in its present life among them.
    Founded,
    /// It remembers: ask for more.
    Remembers,
    /// At least every ballot number that it ever promised or accepted.
    Floor(u64),
    /// What it holds, and it refuses every ballot number up to `floor` from now on.
    Records {
        /// At least the one asked for.
        floor: u64,
        /// The page that was asked for.
        after: Option<GroupName>,
        /// What it accepted last, group by group, at most [`Memory::LIMIT`].
        accepted: Vec<(BallotNumber, GroupRecord)>,
        /// What it knows to be committed of these groups.
        committed: Vec<RecordCommitted>,
        /// Ask again after this group: there are more.
        more_after: Option<GroupName>,
        /// The roster it went by before; absent if it goes by the first one.
        previous: Option<Roster>,
        /// What it accepted as the next roster.
        next: Option<(BallotNumber, Roster)>,
    },
}

impl Memory {
    /// Groups in one answer: so many of the largest records fit one message.
    pub const LIMIT: usize = 16;
}

/// What an operator wants done to a group, or to the roster. Each is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Instruction {
    /// The group; absent for the roster, which is everybody's.
    pub group: Option<GroupName>,
    /// What.
    pub verb: Verb,
}

/// What an operator wants done.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Observe the group and do nothing to it.
    Pause {
        /// Why, in the operator's words.
        reason: String,
        /// Milliseconds after which the pause ends by itself, 1,000 to 2,592,000,000 (30 days).
        /// Absent means that a person ends it.
        #[serde(default)]
        for_ms: Option<u64>,
    },
    /// End a pause.
    Resume,
    /// Let a held group fail over again.
    Release,
    /// Change some of the group's settings and leave the others.
    Set {
        /// What to change, in this order; all of it or nothing.
        changes: Vec<Setting>,
    },
    /// Watch a group from now on: a new one, or one that was removed.
    Monitor {
        /// Its master.
        master: NodeAddr,
        /// Its quorum.
        quorum: Quorum,
        /// What is not to have its default.
        changes: Vec<Setting>,
    },
    /// Watch the group no longer and forget its nodes.
    Remove,
    /// Forget replicas that nobody sees any more; nothing while the master is not well.
    Reset,
    /// Make another node master without losing a write; the master must answer.
    Switchover {
        /// The epoch in which it is wanted: asked for twice, it is done once.
        epoch: Epoch,
        /// Whom to promote; by the selection rule if absent.
        to: Option<NodeAddr>,
        /// Change nothing: only say who would be promoted, or what stands in the way.
        dry_run: bool,
    },
    /// Make another node master, agreed to be down or not: as a switchover if the master answers,
    /// otherwise without it.
    Failover {
        /// The epoch in which it is wanted: asked for twice, it is done once.
        epoch: Epoch,
    },
    /// Add a voter to the roster.
    AddVoter(VoterId),
    /// Take a voter off the roster.
    RemoveVoter(VoterId),
}

/// That another node is to be master.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted<'a> {
    /// The epoch in which it is wanted.
    pub epoch: Epoch,
    /// Whom to promote, if that is said.
    pub to: Option<&'a NodeAddr>,
    /// Also without the master, if that does not answer.
    pub forced: bool,
    /// Only to know what would come of it.
    pub dry_run: bool,
}

impl Verb {
    /// Another master, if that is what is wanted.
    pub const fn wanted_master(&self) -> Option<Wanted<'_>> {
        match self {
            Self::Switchover { epoch, to, dry_run } => {
                let (to, dry_run) = (to.as_ref(), *dry_run);
                Some(Wanted { epoch: *epoch, to, forced: false, dry_run })
            }
            Self::Failover { epoch } => {
                Some(Wanted { epoch: *epoch, to: None, forced: true, dry_run: false })
            }
            Self::Pause { .. }
            | Self::Resume
            | Self::Release
            | Self::Set { .. }
            | Self::Monitor { .. }
            | Self::Remove
            | Self::Reset
            | Self::AddVoter(_)
            | Self::RemoveVoter(_) => None,
        }
    }
}

/// What came of an [`Instruction`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstructionReply {
    /// Which was answered.
    pub instruction: Instruction,
    /// What came of it.
    pub outcome: Outcome,
    /// If it is done: a record of this revision shows it, or a later one. Absent for the roster.
    #[serde(default)]
    pub revision: Option<Revision>,
}

/// What came of an instruction.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has begun, and another answer follows when it has ended.
    Started {
        /// What is being done, in words.
        now: String,
    },
    /// Not done: nobody can be promoted.
    NoCandidate {
        /// Why not, for each node.
        why: String,
    },
    /// Committed by a majority of voters; or it was so already.
    Done {
        /// What holds now, in words.
        now: String,
    },
    /// Not done, and why, with what to do about it.
    Refused {
        /// Why.
        why: String,
    },
}
