//! One group's nodes taken together: is the process at the master's address still the group's
//! master, and who could take its place?
//!
//! A master that restarts faster than it is missed, with an empty or an older data set, would be
//! copied by its replicas: the data would be gone everywhere. So another process at the master's
//! address must show that it continues the group's history.

use alloc::collections::BTreeMap;
use core::time::Duration;
use vedette_model::{GroupRecord, Instant, NodeAddr, NodeView, ReplId, Role, RunId};

/// What a disk does now is known by a view at most so old.
const DISK_VIEW_EXPIRY: Duration = Duration::from_secs(3);

/// What this prober knows of a member.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    /// The newest view and its time.
    pub(super) view: Option<(&'a NodeView, Instant)>,
    pub(super) down: bool,
}

impl Seen<'_> {
    fn view(&self) -> Option<&NodeView> {
        self.view.map(|(view, _)| view)
    }
}

/// What is known of the nodes of a group, by address.
pub(super) type Nodes<'a> = BTreeMap<&'a NodeAddr, Seen<'a>>;

/// The master's process that fitted the record last.
#[derive(Debug, Clone)]
struct Former {
    run_id: RunId,
    replid: ReplId,
    /// The highest offset of this history seen at any node.
    offset: u64,
    /// Whether a node of this history held data.
    data: bool,
}

/// A process at the master's address that does not continue the group's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reborn {
    pub(super) run_id: RunId,
    /// Whether its history was known, so that the record takes it without a decision: then only
    /// what is left to save counts.
    known_history: bool,
    /// What is at stake, in words.
    pub(super) why: &'static str,
    /// Whether another node may hold what this one lost.
    pub(super) can_be_saved: bool,
}

/// One reign: the time of one master.
#[derive(Debug, Clone, Default)]
pub(super) struct Reign {
    former: Option<Former>,
    reborn: Option<Reborn>,
}

impl Reign {
    /// The process that is not the group's, if one is at the master's address.
    pub(super) const fn reborn(&self) -> Option<&Reborn> {
        self.reborn.as_ref()
    }

    /// Compares what is known of the nodes now with the record.
    pub(super) fn look(&mut self, record: &GroupRecord, nodes: &Nodes<'_>) {
        let Some(view) = nodes.get(&record.master).and_then(Seen::view) else { return };
        if view.loading {
            return;
        }
        if view.role == Role::Replica {
            self.reborn = None;
            return;
        }
        let others = others(record, nodes);
        let why = match &self.reborn {
            Some(reborn) if reborn.run_id == view.run_id => {
                let taken = !reborn.known_history && has_taken(record, view);
                (!taken).then_some(reborn.why)
            }
            Some(_) | None => self.lost(record, view, nodes),
        };
        let Some(why) = why.filter(|_| others != Others::Unknown) else {
            if why.is_none() {
                self.reborn = None;
                self.fits(record, view, nodes);
            }
            return;
        };
        let can_be_saved = others == Others::Hold;
        if let Some(reborn) = self.reborn.as_mut().filter(|r| r.run_id == view.run_id) {
            reborn.can_be_saved = can_be_saved;
            return;
        }
        let known_history = record.lineage.knows(view);
        let run_id = view.run_id.clone();
        self.reborn = Some(Reborn { run_id, known_history, why, can_be_saved });
    }

    /// What another process than the known one has lost; none if it continues the history.
    fn lost(
        &self,
        record: &GroupRecord,
        view: &NodeView,
        nodes: &Nodes<'_>,
    ) -> Option<&'static str> {
        let recorded = record.member(&record.master).and_then(|m| m.run_id.as_ref())?;
        let former = self.former.as_ref();
        let known = *recorded == view.run_id || former.is_some_and(|f| f.run_id == view.run_id);
        if known || record.lineage.is_empty() {
            return None;
        }
        if !record.lineage.knows(view) {
            return Some(if view.empty {
                "an empty data set"
            } else if record.is_outdated(&record.master, view) {
                "what its disk held before it was synchronised and promoted"
            } else {
                "a data set of other origin"
            });
        }
        let (offset, data) = held(record, former, nodes);
        if view.offset < offset {
            return Some("an older data set");
        }
        (view.empty && data).then_some("an empty data set")
    }

    fn fits(&mut self, record: &GroupRecord, view: &NodeView, nodes: &Nodes<'_>) {
        let same = self.former.take().filter(|f| f.run_id == view.run_id);
        let offset = same.map_or(0, |former| former.offset);
        let mut former = Former {
            run_id: view.run_id.clone(),
            replid: view.replid.clone(),
            offset: offset.max(view.offset),
            // What its clients have emptied is nothing that a restart could lose.
            data: !view.empty,
        };
        (former.offset, former.data) = held(record, Some(&former), nodes);
        self.former = Some(former);
    }
}

/// The record has taken the process for the group's master: by its id or by its history.
fn has_taken(record: &GroupRecord, view: &NodeView) -> bool {
    let recorded = record.member(&record.master).and_then(|m| m.run_id.as_ref());
    recorded == Some(&view.run_id) || record.lineage.contains(&view.replid)
}

/// The highest offset of the master's history that is known, and whether any of it is data.
fn held(record: &GroupRecord, former: Option<&Former>, nodes: &Nodes<'_>) -> (u64, bool) {
    let (offset, data) = former.map_or((0, false), |f| (f.offset, f.data));
    let of_history = |view: &&NodeView| {
        view.role == Role::Replica
            && !view.loading
            && former.map_or_else(
                || record.lineage.is_current(&view.replid),
                |former| former.replid == view.replid,
            )
    };
    nodes
        .values()
        .filter_map(Seen::view)
        .filter(of_history)
        .fold((offset, data), |(offset, data), view| (offset.max(view.offset), data || !view.empty))
}

/// What the other members hold, when the master has lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Others {
    /// One holds what is lost, or may if it comes back.
    Hold,
    /// What answers has copied what the master shows now, or cannot be promoted; or there are no
    /// others.
    Share,
    /// Nothing was heard of some, and they are not known to be down either.
    Unknown,
}

fn others(record: &GroupRecord, nodes: &Nodes<'_>) -> Others {
    let Some(master) = nodes.get(&record.master).and_then(Seen::view) else {
        return Others::Unknown;
    };
    // Its address vouches for nothing then, and the others' do instead.
    let addresses =
        record.settings.trust_recorded_address && record.is_outdated(&record.master, master);
    let (mut unknown, mut down, mut shared) = (false, false, false);
    for member in record.members.iter().filter(|m| m.addr != record.master && !m.gone) {
        let Some(seen) = nodes.get(&member.addr) else { return Others::Unknown };
        match seen.view() {
            _ if seen.down => down = true,
            None => unknown = true,
            Some(view) if view.role == Role::Replica && view.replid == master.replid => {
                shared = true;
            }
            // A stray master of this history could not be promoted either.
            Some(view) if view.role == Role::Replica && record.lineage.knows(view) => {
                return Others::Hold;
            }
            Some(view) if addresses && !view.loading && !view.empty => return Others::Hold,
            Some(_) => {}
        }
    }
    match (unknown, down && !shared) {
        (true, _) => Others::Unknown,
        (false, true) => Others::Hold,
        (false, false) => Others::Share,
    }
}

/// Whether another member could take the master's place: a loaded replica of the
/// group's history that answers; and whether one of these has its link up and its disk works.
pub(super) fn spares(record: &GroupRecord, nodes: &Nodes<'_>, now: Instant) -> (bool, bool) {
    let members = record.members.iter().filter(|m| m.addr != record.master);
    let seen = members.filter_map(|m| nodes.get(&m.addr)).filter(|seen| !seen.down);
    let spares = seen.filter_map(|seen| seen.view).filter(|(view, _)| {
        let known = record.lineage.is_empty() || record.lineage.knows(view);
        let syncing = view.upstream.as_ref().is_none_or(|up| up.syncing);
        view.role == Role::Replica && !view.loading && !syncing && known && view.priority > 0
    });
    spares.fold((false, false), |(_, writable), (view, at)| {
        let linked = view.upstream.as_ref().is_some_and(|up| up.link_up);
        let fresh = now.since(at) < DISK_VIEW_EXPIRY;
        (true, writable || linked && fresh && view.persistence_ok)
    })
}
