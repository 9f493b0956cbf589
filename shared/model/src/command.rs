//! What an orchestrator asks of a node, and what comes back.

use crate::{NodeAddr, NodeView, RunId};
use alloc::string::String;
use serde::{Deserialize, Serialize};

/// A command to one node. Each is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Command {
    /// `INFO`: look, change nothing.
    Inspect,
    /// `MULTI; REPLICAOF NO ONE; CLIENT KILL TYPE normal; CLIENT KILL TYPE pubsub; EXEC`, then
    /// `ROLE` must say master, then `INFO`. [`Command::Save`] comes later: nobody waits for a disk.
    Promote {
        /// The process that was looked at. Another one is left as it is: it may have been started
        /// with less data. `INFO` is asked first, on the same connection. Absent if nobody looked.
        run_id: Option<RunId>,
    },
    /// `CLIENT PAUSE for_ms WRITE`, then `INFO`: clients' writes wait. The pause ends by itself.
    PauseWrites {
        /// For so many milliseconds.
        for_ms: u64,
    },
    /// `REPLICAOF` the node itself, then `ROLE` must say replica, then `INFO`: it takes no writes
    /// any more, and keeps all that it has, because a node cannot synchronise with itself. Nothing
    /// is written to its configuration file.
    Freeze,
    /// `CLIENT UNPAUSE`, then `INFO`.
    Unpause,
    /// `CONFIG REWRITE`, then `INFO`: the node's role outlives its restart.
    Save,
    /// `MULTI; REPLICAOF host port; CONFIG REWRITE; [CLIENT KILL …; CLIENT UNPAUSE]; EXEC`, then
    /// `INFO`.
    Follow {
        /// Whom to follow.
        master: NodeAddr,
        /// Whether the node's normal and pubsub clients are closed, and its clients' writes wait no
        /// longer: yes for a demoted master.
        cut_clients: bool,
        /// Whether `CLIENT LIST` is asked first who changed the node's role last.
        ask_who: bool,
    },
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer {
    /// It worked; this is the node afterwards.
    Done {
        /// The node's `INFO` after the command.
        view: NodeView,
        /// The server's words if `CONFIG REWRITE` failed: the role holds until the node's next
        /// restart only.
        rewrite_error: Option<String>,
        /// The client whose last command changed the node's role, in words, if that was asked,
        /// permitted, and the client is still connected.
        changed_by: Option<String>,
    },
    /// It did not work; the node's state is unknown if the fault says so.
    Failed(NodeFault),
}

/// Why a node could not be talked to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeFault {
    /// Connecting was refused: nobody listens there.
    Refused,
    /// The link broke.
    Broken(String),
    /// No answer within the limit.
    TimedOut,
    /// The command's permission ended before it was sent; nothing was sent.
    Expired,
    /// Another process answers there than the one that was looked at; nothing was sent.
    Replaced,
    /// The name did not resolve.
    Unresolved(String),
    /// `NOAUTH`, `WRONGPASS` or `NOPERM`: the monitoring is at fault, not the node.
    Denied(String),
    /// Any other error reply, or one that could not be understood.
    Error(String),
}

impl core::fmt::Display for NodeFault {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused => f.write_str("connection refused"),
            Self::Broken(text) => write!(f, "link broken: {text}"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Expired => f.write_str("not sent: the permission to send it had ended"),
            Self::Replaced => f.write_str("it was restarted after it had been looked at"),
            Self::Unresolved(text) => write!(f, "name not resolved: {text}"),
            Self::Denied(text) => write!(f, "access denied: {text}"),
            Self::Error(text) => write!(f, "error reply: {text}"),
        }
    }
}
