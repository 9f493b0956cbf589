//! The nouns of Vedette: names, ids, epochs, ballots, instants, records and facts.
//!
//! Everything here is a plain value. A value that exists is valid: constructors parse, and
//! deserialisation of names, addresses, numbers and rosters goes through the same constructors. No clocks, no sockets, no files: the crate
//! is `no_std` so that these have no name in it.

#![no_std]
extern crate alloc;

mod change;
mod command;
mod event;
mod fact;
mod glob;
mod host;
mod name;
mod node;
mod order;
mod record;
mod roster;
mod settings;
mod time;
mod trace;
mod vote;
mod words;

pub use change::{Setting, SettingError};
pub use command::{Answer, Command, NodeFault};
pub use event::{Event, EventName, MasterRecord};
pub use fact::{
    Digest, DigestReply, Echo, Evidence, Fact, FactKind, FailoverStep, Health, Heartbeat,
    MasterQuery, NodeReport, NodeState, OdownVerdict, Opinion, RecordCommitted, SdownReport,
    Standing, StatusQuery, Step,
};
pub use glob::fits;
pub use host::{Host, HostName};
pub use name::{GroupName, NameError, OrchestratorId, Place, ProberId, Sender, Service, VoterId};
pub use node::{Lineage, NodeAddr, NodeView, ReplId, ReplicaSeen, Role, RunId, Upstream};
pub use order::{BallotNumber, Epoch, Majority, Quorum, Revision, Roster, RosterVersion};
pub use record::{
    Branch, Failover, Flapping, GroupRecord, LossBound, Member, Pause, PlanReason, RejectReason,
    Rejection, Switch, SwitchReason,
};
pub use roster::{
    Instruction, InstructionReply, Memory, Outcome, Rejoin, RejoinAnswer, RejoinAsk, RosterAnswer,
    RosterAsk, RosterBallot, RosterRefusal, RosterVote, Verb, Wanted,
};
pub use settings::{Credentials, NodePlace, Secret, Settings, SettingsError};
pub use time::Instant;
pub use trace::TraceId;
pub use vote::{
    Ballot, BallotAnswer, Beat, BeatReply, Candidacy, Proposal, ProposalAnswer, ProposalReply,
    Purpose, Refusal,
};
