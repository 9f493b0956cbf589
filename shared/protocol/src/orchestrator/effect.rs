//! What a group asks its orchestrator to do, and how long nodes may take.

use crate::happening::Happening;
use alloc::string::String;
use vedette_model::{
    Command, Credentials, Fact, GroupRecord, Instant, NodeAddr, RecordCommitted, TraceId,
};

/// Milliseconds an inspection may take.
pub(super) const INSPECT_LIMIT_MS: u64 = 200;
/// Milliseconds a promotion or a re-pointing may take.
pub(super) const COMMAND_LIMIT_MS: u64 = 1_000;
/// What a group asks its orchestrator to do.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    Publish(Fact),
    Reply {
        to: String,
        fact: Fact,
    },
    Committed(RecordCommitted),
    Announce(GroupRecord),
    Event(Happening, GroupRecord, TraceId),
    Command {
        node: NodeAddr,
        command: Command,
        credentials: Option<Credentials>,
        lease: Option<Instant>,
    },
}
