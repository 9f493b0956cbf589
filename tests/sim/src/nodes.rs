//! What happens to the nodes: writes, replication, deaths and commands. Nothing ticks: what a node
//! holds is worked out when somebody looks, and before anything about the group's nodes changes.

use crate::net::Site;
use crate::node::{Data, Life, Node, lacks, total};
use crate::options::Keeps;
use crate::world::{Due, World};
use std::time::Duration;
use vedette_model::{GroupRecord, Instant, MasterRecord, NodeAddr, NodeView, ReplicaSeen};

/// Two nodes of one vector, the first to be changed.
fn pair(nodes: &mut [Node], first: usize, second: usize) -> Option<(&mut Node, &Node)> {
    nodes.get_disjoint_mut([first, second]).ok().map(|[a, b]| (a, &*b))
}

impl World {
    /// Brings what the nodes of a group hold up to now.
    pub(crate) fn catch_up(&mut self, group: usize) {
        let now = self.now;
        let Some(home) = self.groups.get_mut(group) else { return };
        if let Some(index) = home.writes_to {
            let node = &mut self.nodes[index];
            // What waits is not written while it waits.
            node.written_until = node.written_until.max(node.paused_until.min(now));
            let micros = now.since(node.written_until).as_micros();
            let passed = u64::try_from(micros).expect("a short time");
            let bytes = self.options.written * passed / 1_000;
            if !node.is_writable(now) {
                node.written_until = now;
            } else if bytes > 0 {
                node.written_until = now;
                let (branch, count) = node.write(bytes, &mut self.branches);
                home.acknowledged.insert(branch, count);
            }
        }
        // Twice: a replica may follow a replica.
        for _ in 0..2 {
            for at in 0..self.groups[group].nodes.len() {
                self.feed(self.groups[group].nodes[at]);
            }
        }
    }

    fn feed(&mut self, index: usize) {
        let node = &self.nodes[index];
        let Some(following) = node.following.as_ref().filter(|f| f.up) else { return };
        if node.life != Life::Up || self.now < following.fed_from {
            return;
        }
        let Some(upstream) = self.occupants.get(&following.addr).copied() else { return };
        // What is under way arrives when nothing follows it any more.
        let lag = node.is.lag.saturating_sub(self.nodes[upstream].unwritten_for(self.now));
        let millis = u64::try_from(lag.as_millis()).expect("a short lag");
        let behind = millis * self.options.written;
        if let Some((node, from)) = pair(&mut self.nodes, index, upstream)
            && from.life == Life::Up
        {
            node.receive(from, behind);
        }
    }

    /// A node's `INFO`.
    pub(crate) fn view(&mut self, index: usize) -> NodeView {
        self.catch_up(self.nodes[index].group);
        let node = &self.nodes[index];
        let follows = |n: &&Node| {
            n.life == Life::Up && n.following.as_ref().is_some_and(|f| f.up && f.addr == node.addr)
        };
        let seen = |n: &Node| ReplicaSeen { addr: n.addr.clone(), online: true, offset: n.offset };
        let replicas = match self.groups.get(node.group).filter(|_| self.groups.len() > 1) {
            Some(home) => {
                let near = home.nodes.iter().map(|n| &self.nodes[*n]);
                near.filter(follows).map(seen).collect()
            }
            None => self.nodes.iter().filter(follows).map(seen).collect(),
        };
        node.view(replicas, self.now)
    }

    /// Clients follow what is announced.
    pub(crate) fn announced(&mut self, group: usize, master: &MasterRecord) {
        let newer = self.groups[group].announced.as_ref().is_none_or(|a| a.epoch <= master.epoch);
        if newer {
            let node = self.occupants.get(&master.master).copied();
            self.write_to(group, node);
            self.groups[group].announced = Some(master.clone());
        }
    }

    pub(crate) fn write_to(&mut self, group: usize, node: Option<usize>) {
        self.catch_up(group);
        self.groups[group].writes_to = node;
        if let Some(node) = node {
            self.nodes[node].written_until = self.now;
        }
    }

    pub(crate) fn promote(&mut self, node: usize) {
        self.catch_up(self.nodes[node].group);
        let was = self.nodes[node].following.is_some();
        self.nodes[node].promote(self.now, &mut self.rng);
        if was {
            let (addr, data) = (self.nodes[node].addr.clone(), total(&self.nodes[node].data));
            self.line(&addr, || format!("becomes a master, with {data} bytes"));
            self.call_followers(&addr);
        }
    }

    pub(crate) fn follow(&mut self, node: usize, master: &NodeAddr) {
        self.catch_up(self.nodes[node].group);
        if self.nodes[node].follow(master) {
            let addr = self.nodes[node].addr.clone();
            self.line(&addr, || format!("follows {master}"));
            self.reach_for_master(node, 1, 60);
        }
    }

    pub(crate) fn freeze(&mut self, node: usize) {
        self.catch_up(self.nodes[node].group);
        self.nodes[node].freeze();
        let addr = self.nodes[node].addr.clone();
        self.line(&addr, || "follows itself".to_string());
    }

    /// Clients' writes wait until then, or no longer.
    pub(crate) fn pause_writes(&mut self, node: usize, until: Instant) {
        self.catch_up(self.nodes[node].group);
        self.nodes[node].paused_until = until;
        self.nodes[node].written_until = self.now;
    }

    /// A replica will try to reach its master after some milliseconds.
    pub(crate) fn reach_for_master(&mut self, node: usize, from: u64, to: u64) {
        let after = Duration::from_millis(self.rng.range(from, to));
        let attempt = self.nodes[node].attempt;
        self.schedule(after, Due::Sync { node, attempt });
    }

    /// A node serves again: its replicas try once a second.
    pub(crate) fn call_followers(&mut self, addr: &NodeAddr) {
        let waits = |n: &Node| {
            let following = n.following.as_ref();
            n.life == Life::Up && following.is_some_and(|f| f.addr == *addr && !f.up)
        };
        for node in 0..self.nodes.len() {
            if waits(&self.nodes[node]) {
                self.reach_for_master(node, 5, 1_000);
            }
        }
    }

    fn master_in_reach(&self, node: usize) -> Option<usize> {
        let of = &self.nodes[node];
        let following = of.following.as_ref()?;
        let upstream = self.occupants.get(&following.addr).copied()?;
        let path = self.net.is_broken(Site::Node(node), Site::Node(upstream));
        let serves = upstream != node && self.nodes[upstream].serves(self.now);
        (of.life == Life::Up && !of.unlinked && serves && !path).then_some(upstream)
    }

    pub(crate) fn sync(&mut self, node: usize, attempt: u64) {
        if self.nodes[node].attempt != attempt || self.master_in_reach(node).is_none() {
            return;
        }
        let took = self.nodes[node].is.syncs_for;
        let took = took.unwrap_or_else(|| Duration::from_millis(self.rng.range(5, 60)));
        let Some(following) = &mut self.nodes[node].following else { return };
        if !following.up && !following.syncing {
            following.syncing = true;
            self.schedule(took, Due::Linked { node, attempt });
        }
    }

    pub(crate) fn linked(&mut self, node: usize, attempt: u64) {
        if self.nodes[node].attempt != attempt {
            return;
        }
        self.catch_up(self.nodes[node].group);
        let Some(upstream) = self.master_in_reach(node) else {
            self.nodes[node].unlink(self.now);
            return self.reach_for_master(node, 500, 1_000);
        };
        self.catch_up(self.nodes[upstream].group);
        let now = self.now;
        if let Some((replica, from)) = pair(&mut self.nodes, node, upstream) {
            let had = total(&replica.data);
            let lost = lacks(&from.data, &replica.data);
            replica.linked(from, now);
            let (addr, from) = (replica.addr.clone(), from.addr.clone());
            let holds = total(&replica.data);
            self.line(&addr, || {
                format!("is linked to {from}: had {had} bytes, has {holds}, gave up {lost}")
            });
            self.call_followers(&addr);
        }
    }

    /// Links of its replicas break, and its own.
    pub(crate) fn unlink_around(&mut self, node: usize) {
        let addr = self.nodes[node].addr.clone();
        let now = self.now;
        self.nodes[node].unlink(now);
        for other in &mut self.nodes {
            if other.following.as_ref().is_some_and(|f| f.addr == addr && (f.up || f.syncing)) {
                other.unlink(now);
            }
        }
    }

    pub(crate) fn kill_node_now(&mut self, node: usize) {
        if self.nodes[node].life == Life::Dead {
            return;
        }
        self.catch_up(self.nodes[node].group);
        let now = self.now;
        self.nodes[node].die(now);
        let addr = self.nodes[node].addr.clone();
        self.asleep.retain(|errand| errand.node != addr);
        self.unanswered.retain(|question| question.watch.node != addr);
        self.unlink_around(node);
        self.break_connections(node);
    }

    pub(crate) fn start_node_now(&mut self, node: usize, empty: bool) {
        if self.nodes[node].life != Life::Dead {
            return;
        }
        let keeps = self.nodes[node].is.keeps;
        self.emptied |= empty;
        if empty {
            self.nodes[node].is.keeps = Keeps::Nothing;
        }
        self.nodes[node].restart(self.now, &mut self.rng);
        self.nodes[node].is.keeps = keeps;
        // Restarted twice before anybody learned what it called its history in between.
        let view = self.view(node);
        let known = |record: &GroupRecord| record.lineage.knows(&view);
        self.nodes[node].forgot |= !self.committed(self.nodes[node].group).is_some_and(known);
        self.serve_again(node);
    }

    /// It tries to reach its master, and its replicas to reach it, when it has loaded.
    fn serve_again(&mut self, node: usize) {
        let wait = u64::try_from(self.nodes[node].loaded_at.since(self.now).as_millis());
        let wait = wait.expect("a short time");
        self.reach_for_master(node, wait + 1, wait + 60);
        let addr = self.nodes[node].addr.clone();
        for other in 0..self.nodes.len() {
            let following = self.nodes[other].following.as_ref();
            if following.is_some_and(|f| f.addr == addr && !f.up) {
                self.reach_for_master(other, wait + 5, wait + 1_000);
            }
        }
    }

    pub(crate) fn stop_node_now(&mut self, node: usize) {
        if self.nodes[node].life == Life::Up {
            self.catch_up(self.nodes[node].group);
            self.nodes[node].life = Life::Stopped;
        }
    }

    pub(crate) fn continue_node_now(&mut self, node: usize) {
        if self.nodes[node].life != Life::Stopped {
            return;
        }
        self.catch_up(self.nodes[node].group);
        self.nodes[node].life = Life::Up;
        self.nodes[node].written_until = self.now;
        // What its master sent meanwhile takes a while to work through.
        let fed_from = self.now + Duration::from_millis(self.rng.range(20, 200));
        if let Some(following) = &mut self.nodes[node].following {
            following.fed_from = fed_from;
        }
        self.wake_up(node);
        self.call_followers(&self.nodes[node].addr.clone());
        if self.nodes[node].following.as_ref().is_some_and(|f| !f.up) {
            self.reach_for_master(node, 5, 60);
        }
    }

    /// What a node holds now.
    pub(crate) fn holdings(&mut self, node: usize) -> Data {
        self.catch_up(self.nodes[node].group);
        self.nodes[node].data.clone()
    }
}
