//! What each instruction makes of a record, and how that is said.

use super::pause::{PauseClock, span};
use crate::reconcile::Reconciler;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use vedette_model::{
    Flapping, GroupRecord, Instant, NodeAddr, Quorum, Setting, Settings, SettingsError, Verb,
};

/// Instructions that may wait for one group.
const WAITING_LIMIT: usize = 8;
/// Settings that one instruction may change.
const CHANGES_LIMIT: usize = 64;
/// Bytes a reason may have.
const REASON_LIMIT: usize = 512;
/// Milliseconds a pause with an end may last: a second to 30 days.
const PAUSE_LIMITS: core::ops::RangeInclusive<u64> = 1_000..=2_592_000_000;

/// What is known besides the record.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    pub(super) reconciler: &'a Reconciler,
    pub(super) pause: &'a PauseClock,
    pub(super) now: Instant,
}

/// What is wrong with the instruction itself.
pub(super) fn objection(verb: &Verb, waiting: usize) -> Option<String> {
    match verb {
        Verb::AddVoter(_) | Verb::RemoveVoter(_) => {
            return Some("the roster is no group's: name no group".into());
        }
        Verb::Pause { reason, .. } if reason.trim().is_empty() => {
            return Some("a pause needs a reason, for whoever finds the group paused".into());
        }
        Verb::Pause { reason, .. } if reason.len() > REASON_LIMIT => {
            let len = reason.len();
            return Some(format!("the reason has {len} bytes, {REASON_LIMIT} are allowed"));
        }
        Verb::Pause { for_ms: Some(ms), .. } if !PAUSE_LIMITS.contains(ms) => {
            return Some(format!("a pause lasts 1 s to 30 days, not {ms} ms"));
        }
        Verb::Set { changes } if changes.is_empty() || changes.len() > CHANGES_LIMIT => {
            let count = changes.len();
            return Some(format!("name 1 to {CHANGES_LIMIT} settings to change, not {count}"));
        }
        Verb::Monitor { changes, .. } if changes.len() > CHANGES_LIMIT => {
            return Some(format!("name at most {CHANGES_LIMIT} settings, not {}", changes.len()));
        }
        Verb::Monitor { quorum, changes, .. } => {
            if let Err(error) = declared(*quorum, changes) {
                return Some(error.to_string());
            }
        }
        Verb::Pause { .. }
        | Verb::Resume
        | Verb::Release
        | Verb::Set { .. }
        | Verb::Remove
        | Verb::Reset
        | Verb::Switchover { .. }
        | Verb::Failover { .. } => {}
    }
    (waiting >= WAITING_LIMIT)
        .then(|| format!("{waiting} instructions are waiting already: try again in a moment"))
}

/// The settings of a group that is watched from now on.
pub(super) fn declared(quorum: Quorum, changes: &[Setting]) -> Result<Settings, SettingsError> {
    Settings::with_quorum(quorum).with(changes)
}

/// The record with that done, of the same revision, and what holds then; or why it cannot be.
pub(super) fn carried_out(
    record: &GroupRecord,
    verb: &Verb,
    scene: Scene<'_>,
) -> Result<(GroupRecord, String), String> {
    let group = &record.group;
    if record.removed && !matches!(verb, Verb::Monitor { .. } | Verb::Remove) {
        return Err(format!("{group} was removed: `vedette monitor {group}` brings it back"));
    }
    let mut next = record.clone();
    let words = match verb {
        Verb::Pause { reason, for_ms } => {
            next = scene.pause.set(record, reason, *for_ms, scene.now);
            paused(group.as_str(), reason, *for_ms)
        }
        Verb::Resume => {
            next.pause = None;
            format!("{group} is not paused: it is looked after again")
        }
        Verb::Release => {
            next.flapping = Flapping::default();
            format!("{group} is not held: it may fail over again")
        }
        Verb::Set { changes } => {
            next.settings = next.settings.with(changes).map_err(|error| error.to_string())?;
            let each: Vec<_> = changes.iter().map(ToString::to_string).collect();
            format!("{group} has {}", each.join(" "))
        }
        Verb::Monitor { master, quorum, changes } => {
            next = monitored(record, master, *quorum, changes)?;
            format!("{group} is watched: its master is {master}, its quorum {quorum}")
        }
        Verb::Remove => {
            next = if record.removed { next } else { record.buried() };
            format!(
                "{group} is not watched any more; no declaration brings it back, only `vedette \
                 monitor {group}` does"
            )
        }
        Verb::Reset => {
            let (without, well) = scene.reconciler.without_dead(record, scene.now);
            next = without;
            if well { reset(record) } else { not_reset(record) }
        }
        // No changes of the record alone: see `wishes`.
        Verb::Switchover { .. } | Verb::Failover { .. } => String::new(),
        Verb::AddVoter(_) | Verb::RemoveVoter(_) => String::new(),
    };
    Ok((next, words))
}

fn paused(group: &str, reason: &str, for_ms: Option<u64>) -> String {
    let end = for_ms.map(|ms| {
        format!(
            " for {}, and at most a minute more for each orchestrator \
        that dies meanwhile,",
            span(ms)
        )
    });
    format!(
        "{group} is paused ({reason}){}: it is observed, and nothing is done to it before `vedette \
         resume {group}`",
        end.unwrap_or_default()
    )
}

fn monitored(
    record: &GroupRecord,
    master: &NodeAddr,
    quorum: Quorum,
    changes: &[Setting],
) -> Result<GroupRecord, String> {
    let words = |error: SettingsError| error.to_string();
    if record.removed {
        return Ok(record.revived(master.clone(), declared(quorum, changes).map_err(words)?));
    }
    let named: Vec<_> = [Setting::Quorum(quorum)].into_iter().chain(changes.to_vec()).collect();
    if record.master == *master && record.settings.with(&named).map_err(words)? == record.settings {
        return Ok(record.clone());
    }
    let group = &record.group;
    Err(format!(
        "there is a group {group} already, with master {} and quorum {}: `vedette set` changes its \
         settings, `vedette remove {group}` ends it",
        record.master, record.settings.quorum
    ))
}

fn reset(record: &GroupRecord) -> String {
    let shown = record.members.iter().filter(|m| !m.gone && m.addr != record.master).count();
    format!(
        "{} has {shown} replicas; what nobody has seen for 15 s is not shown any more",
        record.group
    )
}

/// A replica cannot be told dead from one that nobody can ask about.
pub(super) fn not_reset(record: &GroupRecord) -> String {
    let group = &record.group;
    format!("nothing of {group} is forgotten while it is paused or its master is not well")
}
