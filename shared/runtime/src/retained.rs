//! The durable lane of the masters.
use crate::bus::Bus;
use std::time::Duration;
use vedette_model::{GroupName, Health, MasterRecord};

/// Keeps each group's newest master record for late subscribers.
#[derive(Debug, Clone)]
pub struct Retainer {}

impl Retainer {
    /// Starts the task that writes.
    pub fn spawn(_bus: &Bus) -> Self {
        Self {}
    }

    /// Keeps the record unless what is kept is newer. Never waits.
    pub fn retain(&self, _record: MasterRecord) {}

    /// How the durable lane is.
    pub fn health(&self) -> Health {
        Health::Well
    }

    /// Waits until everything is written, up to the limit; says whether it is.
    #[allow(clippy::unused_async)]
    pub async fn drain(&self, _limit: Duration) -> bool {
        true
    }
}

/// Why a retained record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RetainedError {}

/// Reads the retained record of a group.
///
/// # Errors
/// JetStream's.
#[allow(clippy::unused_async)]
pub async fn retained(
    _bus: &Bus,
    _group: &GroupName,
    _limit: Duration,
) -> Result<Option<MasterRecord>, RetainedError> {
    Ok(None)
}
