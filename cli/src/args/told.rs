//! What logs and traces tell of a verb.

use super::{Notify, NotifyVerb, Roster, RosterChange, Verb};
use vedette_model::GroupName;

impl Verb {
    /// One word, for logs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Up(_) => "up",
            Self::Status(_) => "status",
            Self::Watch(_) => "watch",
            Self::History(_) => "history",
            Self::Explain(_) => "explain",
            Self::Master(_) => "master",
            Self::Groups(_) => "groups",
            Self::Nodes(_) => "nodes",
            Self::Doctor(_) => "doctor",
            Self::Survive(_) => "survive",
            Self::Completions { .. } => "completions",
            Self::Pause(_) => "pause",
            Self::Resume(_) => "resume",
            Self::Release(_) => "release",
            Self::Set(_) => "set",
            Self::Monitor(_) => "monitor",
            Self::Remove(_) => "remove",
            Self::Apply(_) => "apply",
            Self::Reset(_) => "reset",
            Self::Switchover(_) => "switchover",
            Self::Failover(_) => "failover",
            Self::Drain(_) => "drain",
            Self::Roster(_) => "roster",
            Self::Notify(_) => "notify",
            Self::Sentinel(_) => "sentinel",
            Self::Import(_) => "import",
        }
    }

    /// The verb with the one below it, for traces.
    pub const fn words(&self) -> &'static str {
        if let Self::Roster(Roster { change: Some(change), .. }) = self {
            return match change {
                RosterChange::Add { .. } => "roster add",
                RosterChange::Remove { .. } => "roster remove",
            };
        }
        if let Self::Notify(Notify { verb: Some(verb), .. }) = self {
            return match verb {
                NotifyVerb::Test { .. } => "notify test",
                NotifyVerb::Dead { .. } => "notify dead",
                NotifyVerb::Replay(_) => "notify replay",
                NotifyVerb::Forget(_) => "notify forget",
            };
        }
        self.name()
    }

    /// The group that is named, if one is.
    pub const fn group(&self) -> Option<&GroupName> {
        match self {
            Self::Pause(wanted) => Some(&wanted.plain.group),
            Self::Resume(wanted)
            | Self::Release(wanted)
            | Self::Remove(wanted)
            | Self::Failover(wanted) => Some(&wanted.group),
            Self::Set(wanted) => Some(&wanted.plain.group),
            Self::Monitor(wanted) => Some(&wanted.plain.group),
            Self::Switchover(wanted) => Some(&wanted.plain.group),
            Self::Master(wanted) => Some(&wanted.group),
            Self::Nodes(wanted) => wanted.group.as_ref(),
            Self::History(wanted) => wanted.group.as_ref(),
            Self::Watch(wanted) => wanted.group.as_ref(),
            Self::Up(_)
            | Self::Status(_)
            | Self::Explain(_)
            | Self::Groups(_)
            | Self::Doctor(_)
            | Self::Survive(_)
            | Self::Completions { .. }
            | Self::Apply(_)
            | Self::Reset(_)
            | Self::Drain(_)
            | Self::Roster(_)
            | Self::Notify(_)
            | Self::Sentinel(_)
            | Self::Import(_) => None,
        }
    }

    /// Whether it runs services of its own, which tell what they do themselves.
    pub const fn runs_services(&self) -> bool {
        matches!(self, Self::Up(_) | Self::Sentinel(_))
    }
}
