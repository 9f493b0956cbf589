//! Sees a promotion from outside, the same way whoever does it.

use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use vedette_harness::{Node, now};
use vedette_model::NodeAddr;

/// A quiet connection to each node. Sentinel's promotion and Vedette's both make a node close its
/// clients' connections, in the transaction that makes it a master.
pub struct Canaries {
    closed: BTreeMap<NodeAddr, Arc<OnceLock<Instant>>>,
    // End with it.
    _tasks: JoinSet<()>,
}

impl Canaries {
    /// Connects to these nodes.
    ///
    /// # Errors
    /// If one cannot be reached.
    pub async fn on(nodes: &[Node]) -> Result<Self> {
        let (mut closed, mut tasks) = (BTreeMap::new(), JoinSet::new());
        for node in nodes {
            let addr = node.addr().clone();
            let stream = TcpStream::connect((addr.host(), addr.port())).await;
            let mut stream = stream.with_context(|| format!("a connection to {addr}"))?;
            let at = Arc::<OnceLock<Instant>>::default();
            closed.insert(addr, Arc::clone(&at));
            tasks.spawn(async move {
                // A node says nothing to who asks nothing: the first news is the end.
                let _ = stream.read(&mut [0]).await;
                let _ = at.set(now());
            });
        }
        Ok(Self { closed, _tasks: tasks })
    }

    /// When this node closed its clients' connections, if it has.
    pub fn closed(&self, node: &NodeAddr) -> Option<Instant> {
        self.closed.get(node)?.get().copied()
    }
}
