//! What a scenario asks of a world.

use crate::net::Site;
use crate::node::{Data, Life, Node, lacks, total};
use crate::options::{Keeps, NodeOptions};
use crate::story::{Sent, Told};
use crate::verbs::{node, process};
use crate::world::World;
use vedette_model::{EventName, Fact, GroupRecord, MasterRecord, NodeAddr, Outcome, Service};

/// Who is who.
impl World {
    fn nth(&self, service: Service, nth: usize) -> Site {
        self.of(service).nth(nth).expect("so many were asked for")
    }

    /// Every process of a kind.
    pub(crate) fn of(&self, service: Service) -> impl Iterator<Item = Site> {
        let of = move |(_, p): &(usize, &crate::process::Process)| p.sender.service == service;
        self.processes.iter().enumerate().filter(of).map(|(index, _)| Site::Process(index))
    }

    /// The nth prober, from 0.
    pub fn prober(&self, nth: usize) -> Site {
        self.nth(Service::Prober, nth)
    }

    /// The nth voter, from 0.
    pub fn voter(&self, nth: usize) -> Site {
        self.nth(Service::Voter, nth)
    }

    /// The nth orchestrator, from 0.
    pub fn orchestrator(&self, nth: usize) -> Site {
        self.nth(Service::Orchestrator, nth)
    }

    /// Every process of ours.
    pub fn all_processes(&self) -> Vec<Site> {
        (0..self.processes.len()).map(Site::Process).collect()
    }

    /// Every node.
    pub fn all_nodes(&self) -> Vec<Site> {
        (0..self.nodes.len()).map(Site::Node).collect()
    }

    /// The nth node of the first group, from 0; the first master is 0.
    pub fn node(&self, nth: usize) -> Site {
        self.node_of(0, nth)
    }

    /// The nth node of a group.
    pub fn node_of(&self, group: usize, nth: usize) -> Site {
        Site::Node(self.groups[group].nodes[nth])
    }

    /// The recorded master of the first group, or its first node while nothing is recorded.
    pub fn master(&self) -> Site {
        self.master_of(0)
    }

    /// The recorded master of a group.
    pub fn master_of(&self, group: usize) -> Site {
        let recorded = self.committed(group).and_then(|r| self.occupants.get(&r.master));
        Site::Node(*recorded.unwrap_or(&self.groups[group].nodes[0]))
    }

    /// The nodes of the first group that are not its recorded master.
    pub fn replicas(&self) -> Vec<Site> {
        let master = self.master();
        let nodes = self.groups[0].nodes.iter().map(|n| Site::Node(*n));
        nodes.filter(|n| *n != master).collect()
    }

    /// Where a node listens.
    pub fn addr(&self, site: Site) -> &NodeAddr {
        &self.nodes[node(site)].addr
    }

    /// A node, to look at.
    pub fn look(&self, site: Site) -> &Node {
        &self.nodes[node(site)]
    }

    /// A node's properties, to change.
    pub fn properties(&mut self, site: Site) -> &mut NodeOptions {
        self.catch_up(self.nodes[node(site)].group);
        &mut self.nodes[node(site)].is
    }
}

/// What came of it.
impl World {
    /// What was answered to people, oldest first, and by whom.
    pub fn answers(&self) -> &[(Site, Fact)] {
        &self.answers
    }

    /// What came of the newest instruction that was answered.
    pub fn outcome(&self) -> Option<&Outcome> {
        let replies = self.answers.iter().rev();
        let mut outcomes = replies.filter_map(|(_, fact)| {
            if let Fact::InstructionReply(reply) = fact { Some(&reply.outcome) } else { None }
        });
        outcomes.next()
    }

    /// Whom the last strike hit.
    pub fn struck(&self) -> Option<Site> {
        self.struck.map(Site::Process)
    }

    /// The first group's record, as a majority of voters has it on disk.
    pub fn record(&self) -> &GroupRecord {
        self.committed(0).unwrap_or_else(|| self.fail("nothing is committed yet"))
    }

    /// The newest announcement of a group.
    pub fn announced_master(&self, group: usize) -> Option<&MasterRecord> {
        self.groups[group].announced.as_ref()
    }

    /// Events of this name, oldest first.
    pub fn events(&self, name: EventName) -> Vec<&Told> {
        let all = self.story.iter().flat_map(|story| &story.events);
        all.filter(|told| told.event.name == name).collect()
    }

    /// Commands that change a node, sent to this one, oldest first.
    pub fn commands_to(&self, site: Site) -> Vec<&Sent> {
        let addr = self.addr(site);
        let all = self.story.iter().flat_map(|story| &story.commands);
        all.filter(|sent| sent.node == *addr).collect()
    }

    /// Commands that change a node, sent by this process, oldest first.
    pub fn commands_by(&self, site: Site) -> Vec<&Sent> {
        let id = &self.processes[process(site)].sender.id;
        let all = self.story.iter().flat_map(|story| &story.commands);
        all.filter(|sent| sent.by == *id).collect()
    }

    /// What a node holds now.
    pub fn data(&mut self, site: Site) -> Data {
        self.holdings(node(site))
    }

    /// Bytes that were acknowledged to clients of a group and that its recorded master lacks.
    pub fn lost(&mut self, group: usize) -> u64 {
        let held = self.data(self.master_of(group));
        let acknowledged = &self.groups[group].acknowledged;
        lacks(&held, &acknowledged.iter().map(|(b, n)| (*b, *n)).collect())
    }

    /// Bytes of `of` that a node lacks: 0 if it kept all of it.
    pub fn lacks(&mut self, site: Site, of: &Data) -> u64 {
        lacks(&self.data(site), of)
    }

    /// What all nodes of the first group hold, as far as a restart leaves it to each of them.
    pub(crate) fn what_all_hold(&mut self) -> Data {
        let nodes = self.groups[0].nodes.clone();
        if nodes.iter().any(|n| self.nodes[*n].is.keeps == Keeps::Nothing) {
            return Data::new();
        }
        let held = nodes.into_iter().map(|n| self.holdings(n));
        held.min_by_key(total).unwrap_or_default()
    }

    /// Says whether the recorded master lacks what all held before; not where a disk was emptied.
    pub(crate) fn has_forgotten(&mut self, kept: &Data) -> Option<String> {
        let lost = self.lacks(self.master(), kept);
        let forgotten = lost > 0 && !self.emptied;
        forgotten.then(|| format!("9, {lost} bytes are gone that all nodes held before the faults"))
    }

    /// Whether no node of the group, dead or alive, has any data.
    pub fn is_all_gone(&self, group: usize) -> bool {
        self.groups[group].nodes.iter().all(|n| self.nodes[*n].is_empty())
    }

    /// The group's living nodes that say they are masters.
    pub fn masters(&self, group: usize) -> Vec<Site> {
        let nodes = self.groups[group].nodes.iter();
        let masters = nodes.filter(|n| self.nodes[**n].is_master());
        masters.map(|n| Site::Node(*n)).collect()
    }

    /// Whether a node lives and serves.
    pub fn is_up(&self, site: Site) -> bool {
        self.nodes[node(site)].life == Life::Up
    }
}
