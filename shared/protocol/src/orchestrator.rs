//! The orchestrator's role: candidacy, failover and reconciliation of all groups.

use alloc::string::String;
use vedette_model::{Answer, Command, Credentials, Fact, Instant, MasterRecord, NodeAddr};

/// What an orchestrator hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus, with the subject its answer goes to if it wants one.
    Fact {
        /// The message.
        fact: Fact,
        /// Where to answer.
        reply_to: Option<String>,
    },
    /// What came of an [`Output::Command`].
    Answer {
        /// The command's ticket.
        ticket: u64,
        /// What came of it.
        answer: Answer,
    },
}

/// What an orchestrator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the bus.
    Publish(Fact),
    /// Answer.
    Reply {
        /// The subject.
        to: String,
        /// The answer.
        fact: Fact,
    },
    /// Send a command to a node over a fresh connection, and answer with the ticket within
    /// `limit_ms`, whatever happens.
    Command {
        /// Comes back with the answer.
        ticket: u64,
        /// The node.
        node: NodeAddr,
        /// What to do.
        command: Command,
        /// How to log in.
        credentials: Option<Credentials>,
        /// The end of the lease: after it the command must not be sent any more
        /// (`NodeFault::Expired`). Absent for `Inspect`, which changes nothing.
        not_after: Option<Instant>,
        /// Milliseconds for connecting, sending and all answers.
        limit_ms: u64,
    },
    /// Keep as the group's last known master for late subscribers, unless what is kept there is
    /// newer. Never waited for.
    Retain(MasterRecord),
}
