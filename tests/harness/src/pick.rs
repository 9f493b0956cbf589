//! Looks into a fact for one kind.

use vedette_model::{
    Event, EventName, Fact, FailoverStep, GroupRecord, Heartbeat, MasterRecord, NodeReport,
    OdownVerdict, Proposal, SdownReport,
};

macro_rules! pickers {
    ($($(#[$doc:meta])* $function:ident: $kind:ident,)+) => {
        $($(#[$doc])*
        pub const fn $function(fact: &Fact) -> Option<&$kind> {
            if let Fact::$kind(found) = fact { Some(found) } else { None }
        })+
    };
}

pickers! {
    /// A prober's opinion.
    sdown: SdownReport,
    /// What a node said of itself.
    node: NodeReport,
    /// A voter's verdict.
    odown: OdownVerdict,
    /// What a leader wants to be written.
    proposal: Proposal,
    /// A step of a failover.
    step: FailoverStep,
    /// A heartbeat.
    heartbeat: Heartbeat,
    /// An announced master.
    master: MasterRecord,
    /// A happening of any name.
    any_event: Event,
}

/// A committed record.
pub const fn record(fact: &Fact) -> Option<&GroupRecord> {
    if let Fact::RecordCommitted(commit) = fact { Some(&commit.record) } else { None }
}

/// A happening of this name.
pub fn event(fact: &Fact, name: EventName) -> Option<&Event> {
    any_event(fact).filter(|event| event.name == name)
}
