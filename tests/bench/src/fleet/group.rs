//! A master and its replicas, as far as who watches them can tell.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::AbortHandle;
use vedette_harness::now;
use vedette_live::chaos::rng::Rng;
use vedette_model::NodeAddr;

/// What a node that lost its history shows as the one before.
pub const NO_HISTORY: &str = "0000000000000000000000000000000000000000";

/// All nodes of a group, the first master first.
pub struct Group(Mutex<Nodes>);

/// What a lock gives.
pub struct Nodes {
    pub all: Vec<Node>,
    rng: Rng,
}

/// One node.
pub struct Node {
    pub addr: NodeAddr,
    pub run_id: String,
    pub replid: String,
    /// The history before, and the first byte that is not of it any more.
    pub before: Option<(String, u64)>,
    pub upstream: Option<Upstream>,
    pub clients: BTreeMap<u64, Client>,
    next_client: u64,
    /// Bytes of history at that moment, since when a master has added to it.
    offset: (u64, Instant),
    died: Option<Instant>,
}

/// Whom a replica follows.
pub struct Upstream {
    pub addr: NodeAddr,
    /// Its place, if it is another one of the group.
    n: Option<usize>,
}

/// A connection to a node.
pub struct Client {
    /// Whether it has subscribed.
    pub subscribed: bool,
    pub out: Arc<OwnedWriteHalf>,
    task: AbortHandle,
}

impl Group {
    /// One of new nodes, the first of which is the others' master.
    pub fn new(addrs: Vec<NodeAddr>) -> Self {
        let seed = addrs.iter().flat_map(|addr| addr.to_string().into_bytes());
        let mut rng =
            Rng::new(seed.fold(0, |sum: u64, byte| sum.wrapping_mul(31) ^ u64::from(byte)));
        let (replid, born) = (id(&mut rng), now());
        let master = addrs.first().cloned();
        let node = |(n, addr)| Node {
            addr,
            run_id: id(&mut rng),
            replid: replid.clone(),
            before: None,
            upstream: master.clone().filter(|_| n > 0).map(|addr| Upstream { addr, n: Some(0) }),
            clients: BTreeMap::new(),
            next_client: 0,
            offset: (0, born),
            died: None,
        };
        let all = addrs.into_iter().enumerate().map(node).collect();
        Self(Mutex::new(Nodes { all, rng }))
    }

    pub fn lock(&self) -> MutexGuard<'_, Nodes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node dies: its clients hear nothing any more.
    pub fn kill(&self, n: usize) {
        let mut nodes = self.lock();
        nodes.all[n].died = Some(now());
        nodes.disconnect(n, |_, _| true);
    }

    /// How many clients a node has that lives.
    pub fn clients(&self, n: usize) -> Option<usize> {
        let nodes = self.lock();
        let node = &nodes.all[n];
        node.died.is_none().then_some(node.clients.len())
    }

    /// A client comes to a node; `task` serves it under this number.
    pub fn join(
        &self,
        n: usize,
        out: OwnedWriteHalf,
        serve: impl FnOnce(u64, Arc<OwnedWriteHalf>) -> AbortHandle,
    ) {
        let (mut nodes, out) = (self.lock(), Arc::new(out));
        let node = &mut nodes.all[n];
        node.next_client += 1;
        let number = node.next_client;
        let task = serve(number, Arc::clone(&out));
        node.clients.insert(number, Client { subscribed: false, out, task });
    }

    /// A client went by itself.
    pub fn leave(&self, n: usize, client: u64) {
        self.lock().all[n].clients.remove(&client);
    }
}

impl Nodes {
    /// Closes the connections of a node that these words are true of. How many.
    pub fn disconnect(&mut self, n: usize, which: impl Fn(u64, &Client) -> bool) -> usize {
        let clients = &mut self.all[n].clients;
        let before = clients.len();
        clients.retain(|number, client| {
            let goes = which(*number, client);
            if goes {
                client.task.abort();
            }
            !goes
        });
        before - clients.len()
    }

    /// Since when a replica's link has been down; none of a link that is up.
    pub fn link_down(&self, n: usize) -> Option<Option<Instant>> {
        let upstream = self.all[n].upstream.as_ref()?;
        let Some(up) = upstream.n.map(|up| &self.all[up]) else { return Some(None) };
        up.died.map(Some)
    }

    /// Who follows a node, with their links up.
    pub fn replicas(&self, n: usize) -> Vec<usize> {
        let follows = |(_, node): &(usize, &Node)| {
            node.died.is_none() && node.upstream.as_ref().is_some_and(|up| up.n == Some(n))
        };
        self.all.iter().enumerate().filter(follows).map(|(n, _)| n).collect()
    }

    /// Bytes of a node's history at this moment.
    pub fn offset(&self, n: usize, at: Instant) -> u64 {
        let mut n = n;
        let mut at = at;
        // A ring of nodes that follow each other has no master.
        for _ in 0..self.all.len() {
            let node = &self.all[n];
            at = node.died.map_or(at, |died| died.min(at));
            match node.upstream.as_ref().map(|upstream| upstream.n) {
                None => {
                    let (bytes, since) = node.offset;
                    let more = at.saturating_duration_since(since).as_millis();
                    return bytes.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
                }
                Some(Some(upstream)) => n = upstream,
                Some(None) => return node.offset.0,
            }
        }
        self.all[n].offset.0
    }

    /// `REPLICAOF NO ONE`: a new history begins, and goes on from the one before.
    pub fn promote(&mut self, n: usize) {
        let at = now();
        let (offset, replid) = (self.offset(n, at), id(&mut self.rng));
        let node = &mut self.all[n];
        if node.upstream.take().is_some() {
            node.offset = (offset, at);
            node.before = Some((std::mem::replace(&mut node.replid, replid), offset + 1));
        }
    }

    /// `REPLICAOF` another.
    pub fn follow(&mut self, n: usize, addr: NodeAddr) {
        let at = now();
        let own = self.offset(n, at);
        let place = self.all.iter().position(|node| node.addr == addr).filter(|up| *up != n);
        let of = place.map(|up| &self.all[up]).filter(|up| up.died.is_none());
        let history = of.map(|up| (up.replid.clone(), up.before.clone()));
        let node = &mut self.all[n];
        node.offset = (own, at);
        node.upstream = Some(Upstream { addr, n: place });
        if let Some((replid, before)) = history {
            (node.replid, node.before) = (replid, before);
        }
    }
}

/// 40 hexadecimal digits.
fn id(rng: &mut Rng) -> String {
    let mut text: String = (0..3).map(|_| format!("{:016x}", rng.next())).collect();
    text.truncate(40);
    text
}
