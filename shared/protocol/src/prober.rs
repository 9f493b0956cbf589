//! The prober's role: who is watched, and what is said of it.

use vedette_model::{Credentials, Fact, GroupName, NodeAddr, NodeFault, NodeView};

/// One watched node: the same address in two groups is watched twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    /// The group.
    pub group: GroupName,
    /// The node.
    pub node: NodeAddr,
}

/// What a prober hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus.
    Fact(Fact),
    /// Something happened on the link to a watched node.
    Link {
        /// Which node.
        watch: Watch,
        /// The number of the connection attempt it belongs to; of an older one it is ignored.
        attempt: u64,
        /// What happened.
        what: LinkEvent,
    },
}

/// What happens on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The connection is up and logged in.
    Connected,
    /// Connecting or logging in failed.
    ConnectFailed(NodeFault),
    /// An established connection was reset or closed.
    Lost,
    /// `PING` was answered.
    Pong(PingReply),
    /// `INFO` was answered.
    Info(Result<NodeView, NodeFault>),
}

/// Every kind of answer to `PING`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PingReply {
    /// `+PONG`.
    Pong,
    /// `-LOADING`: alive.
    Loading,
    /// `-MASTERDOWN`: alive.
    MasterDown,
    /// `-BUSY`: alive for as long as its budget.
    Busy,
    /// `-MISCONF`: alive, cannot write its disk.
    Misconf,
    /// `-NOAUTH`, `-WRONGPASS`, `-NOPERM`: monitoring is at fault.
    Denied(alloc::string::String),
    /// Any other reply: not a valid one.
    Other(alloc::string::String),
}

/// What a prober does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the bus.
    Publish(Fact),
    /// Open a connection to the node and log in, dropping the one before. Must answer within one
    /// second with `Connected` or `ConnectFailed`.
    Connect {
        /// Which node.
        watch: Watch,
        /// The attempt's number; all that happens on this connection carries it.
        attempt: u64,
        /// How to log in.
        credentials: Option<Credentials>,
    },
    /// Send `PING` on the node's connection; the answer may never come.
    Ping {
        /// Which node.
        watch: Watch,
    },
    /// Send `INFO` on the node's connection; the answer may never come.
    Info {
        /// Which node.
        watch: Watch,
    },
    /// The node is not watched any more: close its connection.
    Forget {
        /// Which node.
        watch: Watch,
    },
}
