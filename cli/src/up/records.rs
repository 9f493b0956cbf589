//! What the voters of an earlier start decided.

use super::services::{VOTERS, store};
use anyhow::Context;
use std::collections::BTreeMap;
use std::path::Path;
use tokio::task::spawn_blocking;
use vedette_model::{GroupName, GroupRecord, VoterId};
use vedette_voter::store::Store;

/// The newest record of each group.
#[derive(Debug, Default)]
pub struct Known {
    pub groups: BTreeMap<GroupName, GroupRecord>,
}

/// Reads the voters' stores in a data folder; there are none at the first start.
///
/// # Errors
/// A store that is damaged, or in use by another `vedette up`.
pub async fn read(data: &Path) -> anyhow::Result<Known> {
    let mut known = Known::default();
    for id in VOTERS {
        let path = store(data, id);
        if !path.is_file() {
            continue;
        }
        let voter = VoterId::parse(id)?;
        // The file is closed again before a voter opens it.
        let opened = spawn_blocking(move || Store::open(&path, &voter).map(|(_, held)| held));
        let held = opened.await?.with_context(|| {
            format!("the data folder {} of an earlier start cannot be used", data.display())
        })?;
        for stored in held.groups {
            // One that was accepted and not committed: the orchestrator settles it.
            let accepted = stored.accepted.map(|(_, record)| record);
            let committed = stored.committed.map(|committed| committed.record);
            for record in [accepted, committed].into_iter().flatten() {
                known.take(record);
            }
        }
    }
    known.groups.retain(|_, record| !record.removed);
    Ok(known)
}

impl Known {
    fn take(&mut self, record: GroupRecord) {
        let newest = self.groups.get(&record.group);
        if newest.is_none_or(|newest| newest.revision < record.revision) {
            self.groups.insert(record.group.clone(), record);
        }
    }
}
