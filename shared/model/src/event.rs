//! The public facts: what applications, people and hooks hear.

use crate::{
    Epoch, GroupName, GroupRecord, LossBound, NameError, NodeAddr, Revision, SwitchReason, TraceId,
};
use alloc::string::{String, ToString};
use core::fmt;
use serde::{Deserialize, Serialize};

macro_rules! event_names {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// What happened, by Sentinel's name where Sentinel has one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub enum EventName {
            $($(#[$doc])* $variant,)+
        }

        impl EventName {
            /// Every name.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The name as it stands in subjects, logs and scripts' arguments.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

event_names! {
    /// A group has its first record, or the first after it was removed.
    Monitor = "+monitor",
    /// An operator removed the group.
    Removed = "-monitor",
    /// An operator had dead replicas forgotten.
    Reset = "+reset-master",
    /// A replica was admitted to the group.
    Slave = "+slave",
    /// A prober calls a node subjectively down.
    Sdown = "+sdown",
    /// A prober takes that back.
    SdownOver = "-sdown",
    /// A voter calls the master objectively down.
    Odown = "+odown",
    /// A voter takes that back.
    OdownOver = "-odown",
    /// An orchestrator asks for votes.
    TryFailover = "+try-failover",
    /// An orchestrator was elected.
    ElectedLeader = "+elected-leader",
    /// An orchestrator took over a failover that its leader left unfinished.
    TakeOver = "+takeover",
    /// The replica to promote was chosen and written down.
    SelectedSlave = "+selected-slave",
    /// The promotion is being sent.
    SendSlaveofNoOne = "+failover-state-send-slaveof-noone",
    /// The promoted replica says it is a master.
    PromotedSlave = "+promoted-slave",
    /// The master changed. Comes right after the commit.
    SwitchMaster = "+switch-master",
    /// The other nodes are being moved.
    ReconfSlaves = "+failover-state-reconf-slaves",
    /// A replica was told to follow the new master.
    SlaveReconfSent = "+slave-reconf-sent",
    /// A replica follows the new master and its link is up.
    SlaveReconfDone = "+slave-reconf-done",
    /// The failover ended with every reachable node in line.
    FailoverEnd = "+failover-end",
    /// The failover ended because its time was over; the reconciler goes on.
    FailoverEndForTimeout = "+failover-end-for-timeout",
    /// No replica is eligible.
    AbortNoGoodSlave = "-failover-abort-no-good-slave",
    /// The chosen replica could not be promoted.
    AbortSlaveTimeout = "-failover-abort-slave-timeout",
    /// A switchover was given up before anybody was promoted: the master goes on.
    AbortMasterTimeout = "-failover-abort-master-timeout",
    /// A node that is not the master says it is: it is told to follow.
    ConvertToSlave = "+convert-to-slave",
    /// A replica follows the wrong master: it is told whom to follow.
    FixSlaveConfig = "+fix-slave-config",
    /// A node came back as another process.
    Reboot = "+reboot",
    /// A node refuses our credentials or commands: monitoring is at fault, nothing is voted.
    AuthError = "auth-error",
    /// A node's name does not resolve: monitoring is at fault, nothing is voted.
    DnsError = "dns-error",
    /// A node is busy with a script and has its own budget.
    Busy = "busy",
    /// A node answers but cannot write to its disk.
    WriteImpaired = "write-impaired",
    /// The trouble named before is over.
    TroubleOver = "trouble-over",
    /// An address hosts a node whose history is not the group's; it is left alone.
    IdentityConflict = "identity-conflict",
    /// Two declarations claim the same node.
    ConfigConflict = "config-conflict",
    /// A node is loading its data set and has its own budget.
    Loading = "loading",
    /// The master came back as another process without the group's data.
    DataLossRisk = "data-loss-risk",
    /// Somebody else changed a node's role or whom it follows.
    ExternalChange = "external-change",
    /// A member's address changed; it is the same process.
    AddressChanged = "address-changed",
    /// A replica has not been seen for long: it is no longer shown nor waited for.
    SlaveGone = "-slave",
    /// The group failed over too often and is left alone until a person releases it.
    Held = "held",
    /// A person released it.
    Released = "released",
    /// An operator paused the group.
    Paused = "paused",
    /// An operator resumed it.
    Resumed = "resumed",
    /// An operator changed a setting.
    Set = "+set",
    /// An operator changed the nodes' password; the one before goes on being taken.
    CredentialRotated = "credential-rotated",
    /// `CONFIG REWRITE` failed on a node: its role holds until its next restart only.
    RewriteFailed = "config-rewrite-failed",
    /// A prober noticed that it had been stalled and threw its samples away.
    SelfSuspect = "+tilt",
    /// It trusts itself again.
    SelfSuspectOver = "-tilt",
    /// A person tries whether notifications arrive; nothing has happened.
    NotifyTest = "notify-test",
}

impl EventName {
    /// Parses a name.
    ///
    /// # Errors
    /// [`NameError::Form`] for a name that is not in [`EventName::ALL`].
    pub fn parse(text: &str) -> Result<Self, NameError> {
        Self::ALL
            .iter()
            .find(|name| name.as_str() == text)
            .copied()
            .ok_or_else(|| NameError::Form { what: "an event name", given: text.to_string() })
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl TryFrom<String> for EventName {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl From<EventName> for String {
    fn from(name: EventName) -> Self {
        name.as_str().into()
    }
}

/// A happening, for people, hooks and applications. Public: JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Event {
    /// The same for every copy and every repetition of one happening.
    pub id: String,
    /// Whose.
    pub group: GroupName,
    /// What.
    pub name: EventName,
    /// Sentinel's payload: `master <name> <ip> <port>`, `slave <ip:port> <ip> <port> @ <name>
    /// <ip> <port>` or, for `+switch-master`, `<name> <old-ip> <old-port> <new-ip> <new-port>`;
    /// with more words behind it where Sentinel has them.
    pub payload: String,
    /// Why, in words; where something is wrong, with what to do about it.
    pub cause: String,
    /// The epoch it happened in.
    pub epoch: Epoch,
    /// Who says so, as `service/id`.
    pub source: String,
    /// The incident it belongs to.
    pub trace_id: TraceId,
}

/// Who is master. Public: JSON. Published after the commit, retained for late subscribers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MasterRecord {
    /// Version of this form; 1.
    pub schema: u32,
    /// Whose.
    pub group: GroupName,
    /// A record with a lower epoch is older: never let it replace one with a higher.
    pub epoch: Epoch,
    /// The revision of the group record this was taken from.
    pub revision: Revision,
    /// The master's address, `host:port`.
    pub master: NodeAddr,
    /// The master's host alone.
    pub host: String,
    /// The master's port alone.
    pub port: u16,
    /// The master before, if there was one.
    pub previous: Option<NodeAddr>,
    /// Why it changed.
    pub reason: SwitchReason,
    /// What the change may have lost at most.
    pub loss: LossBound,
    /// The trace of the incident.
    pub trace_id: TraceId,
}

impl From<&GroupRecord> for MasterRecord {
    fn from(record: &GroupRecord) -> Self {
        Self {
            schema: 1,
            group: record.group.clone(),
            epoch: record.epoch,
            revision: record.revision,
            master: record.master.clone(),
            host: record.master.host().into(),
            port: record.master.port(),
            previous: record.switch.previous.clone(),
            reason: record.switch.reason,
            loss: record.switch.loss,
            trace_id: record.switch.trace_id,
        }
    }
}

impl MasterRecord {
    /// W3C's `traceparent` of the incident that led to this master: for a link from a span of the
    /// application's own to the incident's trace.
    pub fn traceparent(&self) -> String {
        self.trace_id.traceparent(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_name_is_read_as_it_is_written_and_stands_once() {
        for name in EventName::ALL {
            assert_eq!(EventName::parse(name.as_str()), Ok(*name));
            let json = serde_json::to_string(name).unwrap();
            assert_eq!(json, alloc::format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<EventName>(&json).unwrap(), *name);
        }
        for text in ["", "+switch_master", "switch-master", "+SDOWN"] {
            assert!(EventName::parse(text).is_err(), "{text:?}");
        }
    }
}
