//! What a message's headers say of its incident.

use vedette_model::{Fact, GroupRecord, TraceId};

/// The incident that a group's messages belong to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Context {
    /// Its trace; in quiet times that of the incident that would end the present reign.
    pub trace: TraceId,
    /// Whether it is under way: then whoever hears of it records spans.
    pub live: bool,
    /// When it began by the wall clock, in microseconds since 1970: the last good reply, as far as
    /// that is known.
    pub began_us: Option<u64>,
}

impl Context {
    /// Nothing is wrong.
    pub const fn quiet(trace: TraceId) -> Self {
        Self { trace, live: false, began_us: None }
    }
}

/// A message that came.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// What it says.
    pub fact: &'a Fact,
    /// What its headers say.
    pub context: Option<Context>,
    /// When it came by the wall clock, in microseconds since 1970.
    pub at_us: u64,
}

impl Heard<'_> {
    /// The context of a message that belongs to an incident under way.
    pub(crate) fn live(&self) -> Option<Context> {
        self.context.filter(|context| context.live)
    }

    /// The records that the message brings.
    pub(crate) fn records(&self) -> impl Iterator<Item = &GroupRecord> {
        let (one, many) = match self.fact {
            Fact::RecordCommitted(committed) => (Some(&committed.record), None),
            Fact::DigestReply(reply) => (None, Some(&reply.records)),
            Fact::SdownReport(_)
            | Fact::NodeReport(_)
            | Fact::OdownVerdict(_)
            | Fact::Candidacy(_)
            | Fact::Ballot(_)
            | Fact::Proposal(_)
            | Fact::ProposalReply(_)
            | Fact::Beat(_)
            | Fact::BeatReply(_)
            | Fact::FailoverStep(_)
            | Fact::Digest(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::Heartbeat(_)
            | Fact::StatusQuery(_)
            | Fact::MasterQuery(_)
            | Fact::MasterRecord(_)
            | Fact::Event(_) => (None, None),
        };
        one.into_iter().chain(many.into_iter().flatten().map(|committed| &committed.record))
    }
}

/// The trace that a group's messages belong to by its record.
pub(crate) fn trace_of(record: &GroupRecord) -> TraceId {
    record.failover.as_ref().map_or_else(|| record.trace_id(), |plan| plan.trace_id)
}
