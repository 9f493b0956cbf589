//! What of all that happens is a problem, and what ends it: for sinks that keep problems open.

use vedette_model::{Event, EventName};

/// The problem of a test, which ends by itself.
pub const TEST: &str = "test";

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// A person now.
    Critical,
    /// A person soon.
    Warning,
    /// Nobody: it is a test.
    Info,
}

impl Severity {
    /// As PagerDuty and usual alert rules have it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// What an event says of a problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is there.
    Begins(Severity),
    /// It is over.
    Ends,
}

/// A problem's beginning or end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// One word for the problem, the same at its beginning and its end.
    pub problem: &'static str,
    /// Whether it begins or ends.
    pub change: Change,
    /// What has it: the group, or a node of it.
    pub of: String,
}

impl Alert {
    /// The same for all that is said of one problem.
    pub fn key(&self, event: &Event) -> String {
        format!("vedette/{}/{}/{}", event.group, self.problem, self.of)
    }
}

/// The events that an alert is made of.
pub fn names() -> Vec<EventName> {
    EventName::ALL.iter().copied().filter(|name| problem(*name).is_some()).collect()
}

/// What the event says of a problem; nothing if it is about none.
pub fn alert(event: &Event) -> Option<Alert> {
    let (problem, change) = problem(event.name)?;
    let of = match problem {
        // Troubles of one node each, and the end does not name the kind.
        "node-trouble" => node(&event.payload),
        _ => event.group.to_string(),
    };
    Some(Alert { problem, change, of })
}

/// `slave <ip:port> …`: the node; `master <name> <ip> <port>`: its address.
fn node(payload: &str) -> String {
    match payload.split(' ').collect::<Vec<_>>().as_slice() {
        ["slave", node, ..] => (*node).into(),
        ["master", _, host, port, ..] => format!("{host}:{port}"),
        _ => payload.into(),
    }
}

const fn problem(name: EventName) -> Option<(&'static str, Change)> {
    let begins = Change::Begins(Severity::Critical);
    let warns = Change::Begins(Severity::Warning);
    Some(match name {
        EventName::Odown | EventName::AbortNoGoodSlave | EventName::AbortSlaveTimeout => {
            ("master-down", begins)
        }
        EventName::OdownOver | EventName::SwitchMaster => ("master-down", Change::Ends),
        EventName::DataLossRisk => ("data-loss-risk", begins),
        EventName::Held => ("held", begins),
        EventName::Released => ("held", Change::Ends),
        EventName::AuthError | EventName::DnsError | EventName::WriteImpaired => {
            ("node-trouble", warns)
        }
        EventName::TroubleOver => ("node-trouble", Change::Ends),
        EventName::IdentityConflict => ("identity-conflict", warns),
        EventName::ConfigConflict => ("config-conflict", warns),
        EventName::ExternalChange => ("external-change", warns),
        EventName::RewriteFailed => ("config-rewrite-failed", warns),
        EventName::FailoverEndForTimeout => ("failover-timeout", warns),
        EventName::NotifyTest => (TEST, Change::Begins(Severity::Info)),
        EventName::Monitor
        | EventName::Removed
        | EventName::Reset
        | EventName::Slave
        | EventName::Sdown
        | EventName::SdownOver
        | EventName::TryFailover
        | EventName::ElectedLeader
        | EventName::TakeOver
        | EventName::SelectedSlave
        | EventName::SendSlaveofNoOne
        | EventName::PromotedSlave
        | EventName::ReconfSlaves
        | EventName::SlaveReconfSent
        | EventName::SlaveReconfDone
        | EventName::FailoverEnd
        | EventName::AbortMasterTimeout
        | EventName::ConvertToSlave
        | EventName::FixSlaveConfig
        | EventName::Reboot
        | EventName::Busy
        | EventName::Loading
        | EventName::AddressChanged
        | EventName::SlaveGone
        | EventName::Paused
        | EventName::Resumed
        | EventName::Set
        | EventName::CredentialRotated
        | EventName::SelfSuspect
        | EventName::SelfSuspectOver => return None,
    })
}
