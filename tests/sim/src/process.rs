//! A process of ours: a role machine, the life it is in, and its disk.

use crate::clock::Clock;
use crate::links::Conn;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use vedette_model::{
    BallotNumber, FactKind, GroupName, GroupRecord, Instant, Place, Revision, Sender,
};
use vedette_protocol::roster::Meta;
use vedette_protocol::voter::Stored;
use vedette_protocol::{Machine, orchestrator, prober, voter};

/// A role machine.
#[derive(Debug, Clone)]
pub enum Role {
    /// A prober.
    Prober(prober::Prober),
    /// A voter.
    Voter(voter::Voter),
    /// An orchestrator.
    Orchestrator(orchestrator::Orchestrator),
}

/// An input to one of them.
#[derive(Debug, Clone)]
pub enum Input {
    /// To a prober.
    Prober(prober::Input),
    /// To a voter.
    Voter(voter::Input),
    /// To an orchestrator.
    Orchestrator(orchestrator::Input),
}

/// An output of one of them.
#[derive(Debug, Clone)]
pub enum Output {
    /// Of a prober.
    Prober(prober::Output),
    /// Of a voter.
    Voter(voter::Output),
    /// Of an orchestrator.
    Orchestrator(orchestrator::Output),
}

impl Role {
    /// Hands over an input; one meant for another role is a bug of the simulator.
    pub fn handle(&mut self, input: Input, now: Instant) {
        match (self, input) {
            (Self::Prober(m), Input::Prober(i)) => m.handle(i, now),
            (Self::Voter(m), Input::Voter(i)) => m.handle(i, now),
            (Self::Orchestrator(m), Input::Orchestrator(i)) => m.handle(i, now),
            (role, input) => panic!("{input:?} was handed to {role:?}"),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self {
            Self::Prober(m) => m.handle_timeout(now),
            Self::Voter(m) => m.handle_timeout(now),
            Self::Orchestrator(m) => m.handle_timeout(now),
        }
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self {
            Self::Prober(m) => m.poll_timeout(),
            Self::Voter(m) => m.poll_timeout(),
            Self::Orchestrator(m) => m.poll_timeout(),
        }
    }

    /// The next effect.
    pub fn poll_output(&mut self) -> Option<Output> {
        match self {
            Self::Prober(m) => m.poll_output().map(Output::Prober),
            Self::Voter(m) => m.poll_output().map(Output::Voter),
            Self::Orchestrator(m) => m.poll_output().map(Output::Orchestrator),
        }
    }

    /// What the role subscribes to, besides replies to it.
    pub const fn hears(&self, kind: FactKind) -> bool {
        match self {
            Self::Prober(_) => matches!(
                kind,
                FactKind::RecordCommitted | FactKind::Heartbeat | FactKind::StatusQuery
            ),
            Self::Voter(_) => matches!(
                kind,
                FactKind::SdownReport
                    | FactKind::Candidacy
                    | FactKind::Proposal
                    | FactKind::Beat
                    | FactKind::Digest
                    | FactKind::RecordCommitted
                    | FactKind::RosterBallot
                    | FactKind::Rejoin
                    | FactKind::Heartbeat
                    | FactKind::StatusQuery
            ),
            Self::Orchestrator(_) => matches!(
                kind,
                FactKind::NodeReport
                    | FactKind::OdownVerdict
                    | FactKind::Beat
                    | FactKind::RecordCommitted
                    | FactKind::Heartbeat
                    | FactKind::Instruction
                    | FactKind::StatusQuery
            ),
        }
    }

    /// The committed record the role's directory shows; voters have none.
    pub fn known(&self, group: &GroupName) -> Option<&GroupRecord> {
        match self {
            Self::Prober(m) => m.known(group),
            Self::Orchestrator(m) => m.known(group),
            Self::Voter(_) => None,
        }
    }
}

/// Something that a voter writes.
#[derive(Debug, Clone)]
pub enum Write {
    /// What it holds of one group.
    Group(Stored),
    /// What is not of one group.
    Meta(Meta),
}

/// One process.
#[derive(Debug, Clone)]
pub struct Process {
    /// Who it is; the incarnation changes with every start.
    pub sender: Sender,
    /// The machine; none while the process is dead.
    pub role: Option<Role>,
    /// Stopped by a signal: nothing runs, inputs pile up.
    pub stopped: bool,
    /// Inputs that have arrived and wait for the loop.
    pub inbox: VecDeque<Input>,
    /// An output that was held back by a signal; all others wait in the machine.
    pub held: Option<Output>,
    /// Whether a write is being synced.
    pub syncing: bool,
    /// What is on the disk: survives everything.
    pub disk: BTreeMap<GroupName, Stored>,
    /// The same, for what is not of one group.
    pub meta: Option<Meta>,
    /// Messages sent in this life.
    pub sequence: u64,
    /// The earliest timer event scheduled, on the world's clock.
    pub timer: Option<Instant>,
    /// Its clock.
    pub clock: Clock,
    /// A prober's connections.
    pub(crate) conns: BTreeMap<prober::Watch, Conn>,
    /// Where it lives.
    pub place: Place,
    /// Where replies to this life of it go.
    pub mailbox: Rc<str>,
    /// The ballot it stood with last, for each group.
    pub ballots: BTreeMap<usize, BallotNumber>,
    /// The revision its directory showed last, for each group.
    pub shown: BTreeMap<usize, Revision>,
}

/// The loop of a process takes at most so many inputs that wait; a real one waits on its socket.
pub const INBOX_LIMIT: usize = 4_096;
