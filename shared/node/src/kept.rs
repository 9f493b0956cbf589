//! Connections that were of use a moment ago, for the next command to the same node.

use crate::conn::Conn;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use vedette_model::{Credentials, NodeAddr, RunId};

/// An unused connection is closed after so long: longer than any pause between two steps of a
/// failover or a switchover, and short for a node that counts its clients.
pub const KEPT_FOR: Duration = Duration::from_secs(2);
/// Connections kept at most, each with a file descriptor; what is beyond is closed at once.
pub const KEPT_LIMIT: usize = 256;

/// A few connections that wait for another command, one to a node at most. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<Mutex<HashMap<NodeAddr, Waiting>>>);

#[derive(Debug)]
struct Waiting {
    line: Line,
    credentials: Option<Credentials>,
    /// Dropped with it: it waits no longer.
    _waits: oneshot::Sender<()>,
}

/// A connection, and who was found at its other end: that process and no other, since the
/// connection ends with it.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) conn: Conn,
    pub(crate) run_id: Option<RunId>,
}

impl Kept {
    fn all(&self) -> MutexGuard<'_, HashMap<NodeAddr, Waiting>> {
        // Nothing that holds it panics half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection to the node that was opened with this login.
    pub(crate) fn take(&self, node: &NodeAddr, with: Option<&Credentials>) -> Option<Line> {
        let waiting = self.all().remove(node)?;
        (waiting.credentials.as_ref() == with).then_some(waiting.line)
    }

    /// Keeps a connection for [`KEPT_FOR`].
    pub(crate) fn put(&self, node: &NodeAddr, with: Option<&Credentials>, line: Line) {
        let mut all = self.all();
        if all.len() >= KEPT_LIMIT && !all.contains_key(node) {
            return;
        }
        let (waits, taken) = oneshot::channel();
        let waiting = Waiting { line, credentials: with.cloned(), _waits: waits };
        all.insert(node.clone(), waiting);
        drop(all);
        let (kept, node) = (self.clone(), node.clone());
        tokio::spawn(async move {
            if tokio::time::timeout(KEPT_FOR, taken).await.is_err() {
                kept.all().remove(&node);
            }
        });
    }
}
