//! The group record: the one authoritative value of a group.

use crate::{
    Epoch, GroupName, Lineage, NodeAddr, NodeView, OrchestratorId, Revision, RosterVersion, RunId,
    Settings, TraceId,
};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Everything the system knows and agrees on about one group. One CASPaxos register holds it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Whose record this is.
    pub group: GroupName,
    /// Raised by one with every committed change.
    pub revision: Revision,
    /// The configuration's number: the epoch in which `master` became master.
    pub epoch: Epoch,
    /// The highest epoch ever given to a plan; the next plan takes a higher one, so that no two
    /// nodes are ever promoted under the same epoch.
    pub top_epoch: Epoch,
    /// Who is master.
    pub master: NodeAddr,
    /// All nodes of the group, the master among them, ordered by address, at most
    /// [`GroupRecord::MEMBER_LIMIT`].
    pub members: Vec<Member>,
    /// The histories that are this group's.
    pub lineage: Lineage,
    /// The group's settings.
    pub settings: Settings,
    /// The failover under way.
    pub failover: Option<Failover>,
    /// While set, the group is observed and nothing is done to it.
    pub pause: Option<Pause>,
    /// How `master` came to be.
    pub switch: Switch,
    /// The roster whose majority committed this.
    #[serde(default = "first_roster")]
    pub roster: RosterVersion,
    /// How often the group failed over lately.
    #[serde(default)]
    pub flapping: Flapping,
    /// Members that a plan chose and no record named as master since, at most one entry each.
    #[serde(default)]
    pub branches: Vec<Branch>,
    /// A tombstone: an operator removed the group. Nobody is watched and nothing is done, until an
    /// operator has it watched again, which is the next revision of this record. So whoever slept
    /// through the removal finds a newer record, not none.
    #[serde(default)]
    pub removed: bool,
}

/// A member that may have been promoted without a record of it: then it has a history of its own
/// since, which nobody has heard of, and restarted once it cannot be told by that any more.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Branch {
    /// Where it listens.
    pub node: NodeAddr,
    /// How many bytes of the group's history it had when it was chosen.
    pub offset: u64,
}

const fn first_roster() -> RosterVersion {
    RosterVersion(1)
}

impl GroupRecord {
    /// Members a group may have.
    pub const MEMBER_LIMIT: usize = 256;

    /// The first record of a group: revision 1, epoch 1, the given master and nothing else known.
    pub fn first(group: GroupName, master: NodeAddr, settings: Settings) -> Self {
        let trace_id = TraceId::of(&group, Epoch(0), &master, None);
        Self {
            group,
            revision: Revision(1),
            epoch: Epoch(1),
            top_epoch: Epoch(1),
            members: alloc::vec![Member::new(master.clone(), None)],
            master,
            lineage: Lineage::default(),
            settings,
            failover: None,
            pause: None,
            switch: Switch {
                previous: None,
                reason: SwitchReason::Seeded,
                loss: LossBound::default(),
                trace_id,
            },
            roster: first_roster(),
            flapping: Flapping::default(),
            branches: Vec::new(),
            removed: false,
        }
    }

    /// The record of the group once it is removed, of the same revision. What is secret or of no
    /// use any more is not kept.
    pub fn buried(&self) -> Self {
        Self {
            members: alloc::vec![Member::new(self.master.clone(), None)],
            lineage: Lineage::default(),
            settings: Settings { credentials: None, ..self.settings.clone() },
            failover: None,
            pause: None,
            flapping: Flapping::default(),
            branches: Vec::new(),
            removed: true,
            ..self.clone()
        }
    }

    /// The record of a removed group that is watched again, of the same revision: as a first one,
    /// but in a new epoch, so that nobody takes it for older than what was before. Another master
    /// than before is a change of master.
    pub fn revived(&self, master: NodeAddr, settings: Settings) -> Self {
        let epoch = self.top_epoch.next();
        let first = Self::first(self.group.clone(), master, settings);
        let previous = Some(self.master.clone()).filter(|before| *before != first.master);
        let trace_id = TraceId::of(&self.group, self.epoch, &self.master, None);
        let switch = Switch { previous, trace_id, ..first.switch };
        let (revision, roster) = (self.revision, self.roster);
        Self { revision, epoch, top_epoch: epoch, roster, switch, ..first }
    }

    /// Whether this may be a member that was promoted without a record of it, whatever its history
    /// is now: it has a former history too, and has not less than it had then.
    pub fn is_branch(&self, addr: &NodeAddr, view: &NodeView) -> bool {
        let had = self.branches.iter().find(|branch| branch.node == *addr);
        view.replid2.is_some() && had.is_some_and(|branch| branch.offset <= view.offset)
    }

    /// Whether another process than the known one came up there with what its disk held before
    /// the known one had written its data set down.
    pub fn is_outdated(&self, addr: &NodeAddr, view: &NodeView) -> bool {
        let before = self.member(addr).filter(|m| m.run_id.as_ref() != Some(&view.run_id));
        before.is_some_and(|m| m.unsaved) && !self.lineage.knows(view)
    }

    /// The member at an address.
    pub fn member(&self, addr: &NodeAddr) -> Option<&Member> {
        self.members.iter().find(|m| &m.addr == addr)
    }

    /// Whether the failover under way has its new master recorded, so that only the other nodes
    /// are still to be moved.
    pub fn is_switched(&self) -> bool {
        self.failover.as_ref().is_some_and(|plan| plan.epoch <= self.epoch)
    }

    /// The trace of the incident that would end the present master's reign.
    pub fn trace_id(&self) -> TraceId {
        let run_id = self.member(&self.master).and_then(|m| m.run_id.as_ref());
        TraceId::of(&self.group, self.epoch, &self.master, run_id)
    }
}

/// One node of a group.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Member {
    /// Where it was last known to listen.
    pub addr: NodeAddr,
    /// The process last known there.
    pub run_id: Option<RunId>,
    /// A tombstone: it has not been seen for `tombstone_after_ms`. It is not shown and not waited
    /// for, still watched, and made a replica again if it comes back.
    #[serde(default)]
    pub gone: bool,
    /// The process last known there had not written its data set down yet when it was seen last
    /// (see [`NodeView::unsaved`]): another process there may hold an older one.
    #[serde(default)]
    pub unsaved: bool,
}

impl Member {
    /// A member that is there, as far as anybody knows.
    pub const fn new(addr: NodeAddr, run_id: Option<RunId>) -> Self {
        Self { addr, run_id, gone: false, unsaved: false }
    }

    /// Takes the process that is in line there for the known one.
    pub fn learn(&mut self, view: &NodeView) {
        let same = self.run_id.as_ref() == Some(&view.run_id);
        // A known process that writes its file anew has the whole of it on disk already.
        self.unsaved = view.unsaved && (self.unsaved || !same);
        self.run_id = Some(view.run_id.clone());
    }
}

/// A failover that is being carried out: the plan, stored so that another leader can go on.
///
/// While `epoch` is above the record's, `target` is being promoted; from then on the other nodes
/// are being moved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failover {
    /// The epoch the target is promoted under.
    pub epoch: Epoch,
    /// Who wrote the plan.
    pub leader: OrchestratorId,
    /// The master that failed.
    pub failed: NodeAddr,
    /// The replica that is to be master; `failed` itself if that came back as a replica.
    pub target: NodeAddr,
    /// Why each other node was not chosen.
    pub rejected: Vec<Rejection>,
    /// What may be lost at most.
    pub loss: LossBound,
    /// The trace of the incident.
    pub trace_id: TraceId,
    /// What the record's `flapping` becomes with the new master.
    #[serde(default)]
    pub flapping: Flapping,
    /// Why there is a plan.
    #[serde(default)]
    pub reason: PlanReason,
    /// A leader that fell silent may have announced its target, or somebody that of a plan which it
    /// replaced. Written under its first name, when only switchovers were announced ahead: an older
    /// orchestrator that takes such a plan over obeys it too.
    #[serde(default, rename = "after_handover")]
    pub perhaps_announced: bool,
}

impl Failover {
    /// Whether the old master hands over: it is paused and frozen before another is promoted.
    pub fn is_handover(&self) -> bool {
        self.reason == PlanReason::Switchover && self.target != self.failed
    }

    /// Whether the master of a switchover that failed gets the role back.
    pub fn is_given_back(&self) -> bool {
        self.reason == PlanReason::Switchover && self.target == self.failed
    }

    /// Whether applications may have been told of a new master that no record names: a target is
    /// announced once it is promoted, and committed after that. Whoever gives such a plan up must have
    /// a master announced under a higher epoch.
    pub fn may_be_announced(&self) -> bool {
        self.is_handover() || self.perhaps_announced
    }
}

/// Why there is a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanReason {
    /// The master was objectively down.
    #[default]
    Odown,
    /// A person wanted another master, and the old one answered. Where `target` is `failed`, that
    /// did not work, and the old master becomes master again.
    Switchover,
    /// A person wanted another master, and the old one did not answer.
    Forced,
}

/// Automatic failovers in quick succession whose cause may come and go (see
/// [`crate::Evidence::is_hard`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Flapping {
    /// How many, each within `flap_window_ms` of the one before.
    pub count: u32,
    /// There were `flap_limit` of them: there is no further automatic failover before a person
    /// releases the group.
    pub held: bool,
}

/// A node that was not chosen, and why.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rejection {
    /// The node.
    pub node: NodeAddr,
    /// Why.
    pub reason: RejectReason,
}

/// Why a node was not chosen for promotion.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// It is the master that failed.
    FailedMaster,
    /// It did not answer the survey; the text says how.
    NoAnswer(String),
    /// It was promoted or failed in an earlier attempt of this incident.
    FailedBefore,
    /// Its history is not the group's.
    Stranger,
    /// It says it is a master, and patience with the others is not over.
    NotAReplica,
    /// Its disk does not work, and another's does.
    WriteImpaired,
    /// It is loading its data set.
    Loading,
    /// Its priority is 0.
    PriorityZero,
    /// Another holds a newer one of the group's histories.
    OlderHistory,
    /// It never finished a synchronisation, so it holds nothing of the group.
    NeverSynced,
    /// Its link to the master has been down longer than allowed, both in milliseconds.
    LinkDown {
        /// How long.
        for_ms: u64,
        /// How long at most.
        limit_ms: u64,
    },
    /// It lacks more bytes than `max_lag_bytes` compared with the furthest.
    TooFarBehind {
        /// Bytes it lacks.
        bytes: u64,
    },
    /// Eligible, but the chosen one ranks higher by priority, offset or run id.
    RanksLower,
    /// It is the master that hands over.
    Master,
    /// Eligible, but a person named another one.
    NotNamed,
}

impl core::fmt::Display for RejectReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::FailedMaster => f.write_str("the failed master"),
            Self::NoAnswer(how) => f.write_str(how),
            Self::FailedBefore => f.write_str("failed in an earlier attempt"),
            Self::Stranger => f.write_str("its history is not the group's"),
            Self::NotAReplica => f.write_str("it says it is a master"),
            Self::WriteImpaired => f.write_str("its disk does not work"),
            Self::Loading => f.write_str("loading its data set"),
            Self::PriorityZero => f.write_str("priority 0"),
            Self::OlderHistory => f.write_str("another holds a newer history of the group"),
            Self::NeverSynced => f.write_str("never finished a synchronisation"),
            Self::LinkDown { for_ms, limit_ms } => {
                write!(f, "link down for {for_ms} ms, limit {limit_ms} ms")
            }
            Self::TooFarBehind { bytes } => write!(f, "{bytes} bytes behind the furthest"),
            Self::RanksLower => f.write_str("eligible, ranks lower"),
            Self::Master => f.write_str("the master itself"),
            Self::NotNamed => f.write_str("eligible, another was named"),
        }
    }
}

/// An upper bound of what a switch lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct LossBound {
    /// The failed master's last known offset minus the target's, in bytes; absent if the former
    /// was never seen.
    pub bytes: Option<u64>,
    /// How old that last known offset was at selection, in milliseconds: what the master took
    /// after that is not in `bytes`.
    pub as_of_ms: Option<u64>,
}

/// A pause: observe and notify, never act.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pause {
    /// Why, in the operator's words.
    pub reason: String,
    /// Milliseconds that were left when this was written; absent means that a person ends it. It
    /// is written down anew from time to time, so that a new owner does not begin from the start.
    #[serde(default)]
    pub left_ms: Option<u64>,
    /// The revision in which an operator set it, if it ends by itself: of two alike the later one
    /// is another.
    #[serde(default)]
    pub set_at: Option<Revision>,
}

impl Pause {
    /// A pause that a person ends.
    pub const fn for_good(reason: String) -> Self {
        Self { reason, left_ms: None, set_at: None }
    }
}

/// How the present master came to be.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Switch {
    /// The master before; absent on the first record.
    pub previous: Option<NodeAddr>,
    /// Why it changed.
    pub reason: SwitchReason,
    /// What may have been lost at most.
    pub loss: LossBound,
    /// The trace of the incident.
    pub trace_id: TraceId,
}

/// Why a master became master.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SwitchReason {
    /// Declared in the configuration.
    Seeded,
    /// Its predecessor was objectively down, or did not answer a person who wanted another.
    Failover,
    /// Its predecessor handed over to it: a planned switchover, nothing lost.
    Switchover,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Quorum;

    fn first() -> GroupRecord {
        let group = GroupName::parse("g").unwrap();
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        GroupRecord::first(group, master, Settings::with_quorum(Quorum::parse(2).unwrap()))
    }

    #[test]
    fn the_first_record_knows_the_master_and_nothing_else() {
        let record = first();
        assert_eq!(
            (record.revision, record.epoch, record.top_epoch),
            (Revision(1), Epoch(1), Epoch(1))
        );
        assert_eq!(record.members, [Member::new(record.master.clone(), None)]);
        assert!(record.lineage.is_empty() && record.failover.is_none() && record.pause.is_none());
        assert_eq!(
            (record.switch.previous.as_ref(), record.switch.reason),
            (None, SwitchReason::Seeded)
        );
    }

    #[test]
    fn a_member_is_found_by_its_address() {
        let record = first();
        assert_eq!(record.member(&record.master), Some(&record.members[0]));
        assert_eq!(record.member(&NodeAddr::parse("10.0.0.1:6380").unwrap()), None);
    }

    #[test]
    fn a_group_that_is_watched_again_is_newer_than_everything_before() {
        let mut record = first();
        (record.revision, record.epoch, record.top_epoch) = (Revision(9), Epoch(3), Epoch(5));
        let password = crate::Secret::new("hush".into());
        record.settings.credentials = Some(crate::Credentials::new(None, password));
        let buried = record.buried();
        assert!(buried.removed && buried.settings.credentials.is_none());
        assert_eq!((buried.revision, buried.epoch), (Revision(9), Epoch(3)));
        let master = NodeAddr::parse("10.0.0.9:6379").unwrap();
        let again = buried.revived(master.clone(), first().settings);
        assert_eq!((again.epoch, again.top_epoch), (Epoch(6), Epoch(6)));
        assert_eq!((again.master, again.removed), (master, false));
        assert_eq!(
            (again.revision, again.switch.previous),
            (Revision(9), Some(record.master.clone()))
        );
        let same = buried.revived(record.master, first().settings);
        assert_eq!(same.switch.previous, None, "no change of master");
    }

    #[test]
    fn the_trace_of_an_incident_changes_with_the_reign_and_not_with_the_revision() {
        let record = first();
        let mut later = record.clone();
        later.revision = later.revision.next();
        assert_eq!(later.trace_id(), record.trace_id());
        later.epoch = later.epoch.next();
        assert_ne!(later.trace_id(), record.trace_id());
        assert_ne!(record.switch.trace_id, record.trace_id(), "how it began is another incident");
    }

    #[test]
    fn a_record_that_is_read_again_is_the_same() {
        let record = first();
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<GroupRecord>(&text).unwrap(), record);
    }
}
