//! A model of a Redis node: what a role change, a crash and replication do to it.

use crate::options::{Keeps, NodeOptions};
use crate::rng::Rng;
use std::time::Duration;
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

/// What a node says to everybody but its own kind, besides what its life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Answers as it should.
    Well,
    /// A script runs: `-BUSY`.
    Busy,
    /// Its disk is full: `-MISCONF`.
    Misconf,
    /// `-NOAUTH` to whatever we ask.
    Denies,
    /// Its name does not resolve; connections that exist go on.
    Unresolved,
}

/// A node saves its data set and its history when it has lived so long.
const SAVES_AFTER: Duration = Duration::from_secs(1);

/// The writes a node holds: of each branch of the group's history so many bytes, oldest first.
pub type Data = Vec<(u32, u64)>;

/// What a crash leaves behind as long as the present data set has not been written down.
#[derive(Debug, Clone)]
struct Disk {
    until: Instant,
    /// A file is being written anew, and `INFO` says so.
    rewriting: bool,
    replid: ReplId,
    offset: u64,
    data: Data,
}

/// Whom a replica follows, and how well.
#[derive(Debug, Clone)]
pub struct Following {
    /// Whom.
    pub addr: NodeAddr,
    /// Whether the link is up.
    pub up: bool,
    /// Whether it synchronises.
    pub syncing: bool,
    /// When the link broke.
    pub down_since: Option<Instant>,
    /// Nothing arrives before.
    pub fed_from: Instant,
}

/// One node.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its group's number.
    pub group: usize,
    /// Where.
    pub addr: NodeAddr,
    /// How it lives.
    pub life: Life,
    /// What it says.
    pub mood: Mood,
    /// Which life: raised by every start.
    pub incarnation: u64,
    /// Its run id.
    pub run_id: RunId,
    /// Its history.
    pub replid: ReplId,
    /// The history before.
    pub replid2: Option<ReplId>,
    /// The first offset that is no longer of its history.
    pub second_offset: u64,
    /// Bytes of history.
    pub offset: u64,
    /// What it holds.
    pub data: Data,
    /// None on a master.
    pub following: Option<Following>,
    /// Its properties.
    pub is: NodeOptions,
    /// When it has loaded its data set.
    pub loaded_at: Instant,
    /// Its link to a master is cut off from below.
    pub unlinked: bool,
    /// It was restarted, and its history cannot be told to be the group's any more.
    pub forgot: bool,
    /// Raised whenever an attempt to link that is under way has lost its meaning.
    pub(crate) attempt: u64,
    /// Whom its configuration file names.
    configured: Option<NodeAddr>,
    /// The branch it writes.
    branch: Option<u32>,
    disk: Disk,
    /// Writes are counted up to here.
    pub(crate) written_until: Instant,
    /// Clients' writes wait until then.
    pub(crate) paused_until: Instant,
    /// When it took a write last.
    wrote_at: Instant,
}

impl Node {
    /// A node that was just started, master of an empty data set or replica of another.
    pub fn new(
        group: usize,
        addr: NodeAddr,
        master: Option<NodeAddr>,
        is: NodeOptions,
        rng: &mut Rng,
    ) -> Self {
        let replid = repl_id(rng);
        Self {
            group,
            addr,
            life: Life::Up,
            mood: Mood::Well,
            incarnation: 1,
            run_id: run_id(rng),
            disk: Disk {
                until: Instant::ZERO,
                rewriting: false,
                replid: replid.clone(),
                offset: 0,
                data: Data::new(),
            },
            replid,
            replid2: None,
            second_offset: 0,
            offset: 0,
            data: Data::new(),
            following: master.clone().map(Following::to),
            is,
            loaded_at: Instant::ZERO,
            unlinked: false,
            forgot: false,
            attempt: 0,
            configured: master,
            branch: None,
            written_until: Instant::ZERO,
            paused_until: Instant::ZERO,
            wrote_at: Instant::ZERO,
        }
    }

    /// What it says it is.
    pub const fn role(&self) -> Role {
        if self.following.is_some() { Role::Replica } else { Role::Master }
    }

    /// Whether it lives and is a master.
    pub fn is_master(&self) -> bool {
        self.life == Life::Up && self.following.is_none()
    }

    /// Whether it has no data at all.
    pub fn is_empty(&self) -> bool {
        self.data.iter().all(|(_, bytes)| *bytes == 0)
    }

    /// Whether a client could write to it.
    pub fn is_writable(&self, now: Instant) -> bool {
        let willing = matches!(self.mood, Mood::Well | Mood::Denies | Mood::Unresolved);
        self.is_master() && willing && now >= self.loaded_at && now >= self.paused_until
    }

    /// Whether a replica can synchronise from it.
    pub fn serves(&self, now: Instant) -> bool {
        self.life == Life::Up
            && now >= self.loaded_at
            && self.following.as_ref().is_none_or(|f| f.up)
    }

    /// Its process is killed: what was not written down is gone.
    pub(crate) fn die(&mut self, now: Instant) {
        self.life = Life::Dead;
        if now < self.disk.until {
            let Disk { replid, offset, data, .. } = self.disk.clone();
            (self.replid, self.offset, self.data) = (replid, offset, data);
        }
    }

    /// Starts it again after a crash, with the role its configuration file holds.
    pub fn restart(&mut self, now: Instant, rng: &mut Rng) {
        self.life = Life::Up;
        self.incarnation += 1;
        self.attempt += 1;
        self.run_id = run_id(rng);
        let before = std::mem::replace(&mut self.replid, repl_id(rng));
        // What its disk calls its history; one that is empty or keeps no name of it begins another.
        let begun = if self.is.keeps == Keeps::All { before.clone() } else { self.replid.clone() };
        self.replid2 = (self.is.keeps == Keeps::All).then_some(before);
        self.second_offset = self.offset + 1;
        if self.is.keeps == Keeps::Nothing {
            self.data.clear();
        }
        if self.is.keeps != Keeps::All {
            self.offset = 0;
        }
        // A life that is too short to save anything leaves no trace.
        self.disk = Disk {
            until: now + SAVES_AFTER,
            rewriting: false,
            replid: begun,
            offset: self.offset,
            data: self.data.clone(),
        };
        self.forgot = self.is.keeps != Keeps::All;
        self.branch = None;
        self.loaded_at = now + self.is.loads_for;
        self.written_until = now;
        self.paused_until = Instant::ZERO;
        self.following = self.configured.clone().map(Following::to);
    }

    /// `REPLICAOF NO ONE`.
    pub fn promote(&mut self, now: Instant, rng: &mut Rng) {
        if self.following.take().is_some() {
            self.replid2 = Some(std::mem::replace(&mut self.replid, repl_id(rng)));
            self.second_offset = self.offset + 1;
            self.branch = None;
            self.written_until = now;
            self.attempt += 1;
        }
    }

    /// `REPLICAOF host port`; whether that is news to it.
    pub fn follow(&mut self, master: &NodeAddr) -> bool {
        let news = self.following.as_ref().is_none_or(|f| f.addr != *master);
        if news {
            self.following = Some(Following::to(master.clone()));
            self.attempt += 1;
        }
        self.rewrite();
        news
    }

    /// It follows itself, and does not write that down.
    pub(crate) fn freeze(&mut self) {
        if self.following.as_ref().is_none_or(|f| f.addr != self.addr) {
            self.following = Some(Following::to(self.addr.clone()));
            self.attempt += 1;
        }
    }

    /// `CONFIG REWRITE`.
    pub fn rewrite(&mut self) {
        if !self.is.read_only_config {
            self.configured = self.following.as_ref().map(|f| f.addr.clone());
        }
    }

    /// Takes writes; gives the branch and how much of it there is now.
    pub(crate) fn write(&mut self, bytes: u64, branches: &mut u32) -> (u32, u64) {
        self.wrote_at = self.written_until;
        let branch = *self.branch.get_or_insert_with(|| {
            *branches += 1;
            self.data.push((*branches, 0));
            *branches
        });
        let last = self.data.last_mut().expect("a branch is being written");
        last.1 += bytes;
        self.offset += bytes;
        (branch, last.1)
    }

    /// Receives what its master holds, except for the last bytes.
    pub(crate) fn receive(&mut self, from: &Self, behind: u64) {
        if self.replid != from.replid {
            self.replid.clone_from(&from.replid);
        }
        if self.replid2 != from.replid2 {
            self.replid2.clone_from(&from.replid2);
            self.second_offset = from.second_offset;
        }
        let Some((branch, bytes)) = from.data.last().copied() else { return };
        let bytes = bytes.saturating_sub(behind);
        match self.data.last_mut().filter(|last| last.0 == branch) {
            Some(last) => last.1 = last.1.max(bytes),
            None => {
                self.data.clone_from(&from.data);
                if let Some(last) = self.data.last_mut() {
                    last.1 = bytes;
                }
            }
        }
        let missing = total(&from.data).saturating_sub(total(&self.data));
        self.offset = from.offset.saturating_sub(missing);
    }

    /// For how long it has taken no write.
    pub(crate) fn unwritten_for(&self, now: Instant) -> Duration {
        now.since(self.wrote_at)
    }

    /// A synchronisation is done.
    pub(crate) fn linked(&mut self, from: &Self, now: Instant) {
        if let Some(following) = &mut self.following {
            following.up = true;
            following.syncing = false;
            following.down_since = None;
            following.fed_from = now;
        }
        let goes_on = [Some(&from.replid), from.replid2.as_ref()].contains(&Some(&self.replid));
        let rewriting =
            !goes_on && !self.is.saves_for.is_zero() && self.is.keeps == Keeps::DataOnly;
        if rewriting {
            if now >= self.disk.until {
                self.disk.data.clone_from(&self.data);
            }
            self.disk.until = self.disk.until.max(now + self.is.saves_for);
        }
        self.data.clone_from(&from.data);
        self.receive(from, 0);
        self.forgot = false;
        if rewriting {
            self.disk.rewriting = true;
        } else if !self.disk.rewriting {
            self.disk.replid.clone_from(&self.replid);
            self.disk.offset = self.offset;
            self.disk.data.clone_from(&self.data);
        }
    }

    /// The link to the master is lost.
    pub(crate) fn unlink(&mut self, now: Instant) {
        self.attempt += 1;
        let Some(following) = &mut self.following else { return };
        if following.up {
            following.down_since = Some(now);
        }
        following.up = false;
        following.syncing = false;
    }

    /// `INFO`.
    pub fn view(&self, replicas: Vec<ReplicaSeen>, now: Instant) -> NodeView {
        let loading = now < self.loaded_at;
        NodeView {
            run_id: self.run_id.clone(),
            role: self.role(),
            replid: self.replid.clone(),
            replid2: self.replid2.clone(),
            second_offset: self.replid2.is_some().then_some(self.second_offset),
            offset: self.offset,
            priority: if self.following.is_some() { self.is.priority } else { 100 },
            upstream: self.following.as_ref().map(|f| Upstream {
                addr: f.addr.clone(),
                link_up: f.up,
                down_for_ms: f.down_since.filter(|_| !f.up).map(|at| millis(now.since(at))),
                syncing: f.syncing,
            }),
            replicas,
            loading,
            loading_eta_ms: None,
            empty: loading || self.is_empty(),
            persistence_ok: self.mood != Mood::Misconf,
            unsaved: self.disk.rewriting && now < self.disk.until,
            hidden: false,
        }
    }
}

impl Following {
    const fn to(addr: NodeAddr) -> Self {
        Self { addr, up: false, syncing: false, down_since: None, fed_from: Instant::ZERO }
    }
}

/// Bytes of all branches.
pub fn total(data: &Data) -> u64 {
    data.iter().map(|(_, bytes)| bytes).sum()
}

/// Bytes of `of` that `held` lacks.
pub fn lacks(held: &Data, of: &Data) -> u64 {
    let held = |branch| held.iter().find(|(b, _)| *b == branch).map_or(0, |(_, bytes)| *bytes);
    of.iter().map(|(branch, bytes)| bytes.saturating_sub(held(*branch))).sum()
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn run_id(rng: &mut Rng) -> RunId {
    RunId::parse(&rng.hex40()).expect("40 hexadecimal digits")
}

fn repl_id(rng: &mut Rng) -> ReplId {
    ReplId::parse(&rng.hex40()).expect("40 hexadecimal digits")
}
