//! A model of a Redis node: what a role change, a crash and replication do to it.

use crate::rng::Rng;
use vedette_model::{Instant, NodeAddr, NodeView, ReplId, ReplicaSeen, Role, RunId, Upstream};

/// How a node lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// Serves.
    Up,
    /// The process is gone; connecting is refused.
    Dead,
    /// The process is stopped; connecting succeeds and nothing answers.
    Stopped,
}

/// Whom a replica follows, and how well.
#[derive(Debug, Clone)]
pub struct Following {
    /// Whom.
    pub addr: NodeAddr,
    /// When the synchronisation under way is done; none while the link is down.
    pub synced_at: Option<Instant>,
    /// Whether the link is up.
    pub up: bool,
    /// When it broke.
    pub down_since: Option<Instant>,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Where.
    pub addr: NodeAddr,
    /// How it lives.
    pub life: Life,
    /// Which life: raised by every start.
    pub incarnation: u64,
    /// Its run id.
    pub run_id: RunId,
    /// Its history.
    pub replid: ReplId,
    /// The history before.
    pub replid2: Option<ReplId>,
    /// The history its disk holds.
    pub saved: ReplId,
    /// Bytes of history.
    pub offset: u64,
    /// None on a master.
    pub following: Option<Following>,
    /// Keeps its data set and history over a restart.
    pub persistent: bool,
}

impl Node {
    /// A node that was just started, master of an empty data set or replica of another.
    pub fn new(addr: NodeAddr, master: Option<NodeAddr>, rng: &mut Rng) -> Self {
        let following =
            master.map(|addr| Following { addr, synced_at: None, up: false, down_since: None });
        let replid = repl_id(rng);
        Self {
            addr,
            life: Life::Up,
            incarnation: 1,
            run_id: run_id(rng),
            saved: replid.clone(),
            replid,
            replid2: None,
            offset: 0,
            following,
            persistent: rng.permille(700),
        }
    }

    /// What it says it is.
    pub const fn role(&self) -> Role {
        if self.following.is_some() { Role::Replica } else { Role::Master }
    }

    /// Starts it again after a crash, from the role its configuration file holds.
    pub fn restart(&mut self, rng: &mut Rng) {
        self.life = Life::Up;
        self.incarnation += 1;
        self.run_id = run_id(rng);
        self.replid = repl_id(rng);
        if self.persistent {
            self.replid2 = Some(self.saved.clone());
        } else {
            self.replid2 = None;
            self.offset = 0;
        }
        if let Some(following) = &mut self.following {
            following.up = false;
            following.synced_at = None;
            following.down_since = None;
        }
    }

    /// `REPLICAOF NO ONE`.
    pub fn promote(&mut self, rng: &mut Rng) {
        if self.following.take().is_some() {
            self.replid2 = Some(std::mem::replace(&mut self.replid, repl_id(rng)));
        }
    }

    /// `REPLICAOF host port`.
    pub fn follow(&mut self, master: &NodeAddr) {
        if self.following.as_ref().is_some_and(|f| f.addr == *master) {
            return;
        }
        self.following =
            Some(Following { addr: master.clone(), synced_at: None, up: false, down_since: None });
    }

    /// `INFO`.
    pub fn view(&self, replicas: Vec<ReplicaSeen>, now: Instant) -> NodeView {
        let millis = |at: Instant| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX);
        NodeView {
            run_id: self.run_id.clone(),
            role: self.role(),
            replid: self.replid.clone(),
            replid2: self.replid2.clone(),
            offset: self.offset,
            priority: 100,
            upstream: self.following.as_ref().map(|f| Upstream {
                addr: f.addr.clone(),
                link_up: f.up,
                down_for_ms: f.down_since.filter(|_| !f.up).map(millis),
                syncing: f.synced_at.is_some() && !f.up,
            }),
            replicas,
            loading: false,
            empty: self.offset == 0,
            persistence_ok: true,
        }
    }
}

fn run_id(rng: &mut Rng) -> RunId {
    RunId::parse(&rng.hex40()).expect("40 hexadecimal digits")
}

fn repl_id(rng: &mut Rng) -> ReplId {
    ReplId::parse(&rng.hex40()).expect("40 hexadecimal digits")
}
