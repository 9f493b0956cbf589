//! What Sentinel clients are told. The gateway's role.
//!
//! ```text
//!  RecordCommitted, DigestReply ─► directory ──► the recorded master, members, settings ─┐
//!  NodeReport ─────────────────► views of nodes ────────────────────────────────────────┼─► answers
//!  SdownReport, OdownVerdict ──► who is down ───────────────────────────────────────────┤
//!  Heartbeat ──────────────────► other gateways, voters and their roster, probers ──────┘
//!  Event ──────────────────────► Tell (channel, payload), and the steps that only Sentinel names
//!  changes of what is known ───► Tell: +switch-master, +slave, ±sdown, ±odown, ±role-change,
//!                                +new-epoch, +vote-for-leader, +sentinel
//! ```
//!
//! The master comes from committed records only, and only while a majority of the voters has
//! answered lately: [`Gateway::is_fresh`]. What is not fresh is not told at all.

mod checks;
mod seen;
mod steps;
mod tell;
#[cfg(test)]
mod tests;

pub use checks::Unfit;
pub use seen::{Down, Look};
pub use tell::{replicas, sentinel_id};

use crate::Machine;
use crate::directory::{self, Directory};
use crate::pulse::Pulse;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use seen::GroupSeen;
use tell::Once;
use vedette_model::{
    Epoch, Fact, GroupName, GroupRecord, Health, Heartbeat, Instant, NodeAddr, Place, Revision,
    Roster, Sender, Service, StatusQuery,
};

const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// A process that has not been heard for so long does not count.
const PEER_EXPIRY: Duration = Duration::from_secs(5);
/// Gateways and probers remembered.
const PEER_LIMIT: usize = 1_024;

/// What a gateway is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who speaks.
    pub sender: Sender,
    /// Where it runs.
    pub place: Place,
    /// Where clients reach it, as other gateways tell them.
    pub serves: NodeAddr,
    /// Whether clients take a replica for down, and hear `+sdown` and `-sdown` of it, also while it
    /// must not be read from: see [`Gateway::readable`].
    pub unreadable_is_down: bool,
}

/// What a gateway does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the bus.
    Publish(Fact),
    /// Tell the subscribers of a channel.
    Tell {
        /// Sentinel's name of the event.
        channel: String,
        /// Sentinel's payload.
        payload: String,
    },
    /// From now on clients may be served, or must not be.
    Serve(bool),
}

/// Another gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its service id.
    pub id: String,
    /// Where clients reach it.
    pub serves: NodeAddr,
    /// When it was heard last.
    pub heard: Instant,
}

/// The gateway's view of everything.
#[derive(Debug)]
pub struct Gateway {
    me: Sender,
    serves: NodeAddr,
    unreadable_is_down: bool,
    directory: Directory,
    roster: Option<Roster>,
    seen: BTreeMap<GroupName, GroupSeen>,
    /// The master and epoch told last.
    told: BTreeMap<GroupName, (Epoch, NodeAddr)>,
    peers: BTreeMap<String, Peer>,
    /// Gateways that served and do not any more.
    gone: BTreeSet<String>,
    /// The life of each prober, and when it was heard last.
    probers: BTreeMap<String, (u64, Instant)>,
    once: Once,
    serving: bool,
    pulse: Pulse,
    outputs: VecDeque<Output>,
}

impl Gateway {
    /// A gateway that knows nothing yet, and does not serve.
    pub fn new(config: Config, now: Instant) -> Self {
        let Config { sender, place, serves, unreadable_is_down } = config;
        Self {
            directory: Directory::new(now),
            roster: None,
            seen: BTreeMap::new(),
            told: BTreeMap::new(),
            peers: BTreeMap::new(),
            gone: BTreeSet::new(),
            probers: BTreeMap::new(),
            once: Once::default(),
            serving: false,
            pulse: Pulse::new(sender.clone(), place, None, HEARTBEAT_EVERY, now),
            // Voters answer with their heartbeats, and so with the roster.
            outputs: VecDeque::from([Output::Publish(StatusQuery {}.into())]),
            me: sender,
            serves,
            unreadable_is_down,
        }
    }

    /// Whether a majority of the roster answered lately: what is known is what is committed, but
    /// for what was committed since.
    pub fn is_fresh(&self, now: Instant) -> bool {
        let roster = self.roster.as_ref();
        roster.is_some_and(|roster| roster.majority().reached(self.directory.contacts(roster, now)))
    }

    /// A group's newest committed record.
    pub fn record(&self, group: &str) -> Option<&GroupRecord> {
        GroupName::parse(group).ok().and_then(|group| self.directory.get(&group))
    }

    /// Whether there was a group of this name, and an operator removed it.
    pub fn is_removed(&self, group: &GroupName) -> bool {
        self.directory.any(group).is_some_and(|record| record.removed)
    }

    /// The revision of a group's newest committed record, also of a removed one.
    pub fn revision(&self, group: &GroupName) -> Option<Revision> {
        self.directory.any(group).map(|record| record.revision)
    }

    /// All groups' records, by name.
    pub fn records(&self) -> impl Iterator<Item = &GroupRecord> {
        self.directory.records()
    }

    /// What is known of one of a group's nodes.
    pub fn look(&self, record: &GroupRecord, node: &NodeAddr, now: Instant) -> Look<'_> {
        let quorum = self.needed(record, now);
        self.seen
            .get(&record.group)
            .map_or_else(Look::default, |seen| seen.look(record, node, quorum, now))
    }

    /// For how long a majority of the voters has called the recorded master down.
    pub fn odown(&self, record: &GroupRecord, now: Instant) -> Option<Down> {
        let roster = self.roster.as_ref()?;
        self.seen.get(&record.group)?.odown(record, roster, now)
    }

    /// The other gateways that serve, by id.
    pub fn peers(&self, now: Instant) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(move |peer| now.since(peer.heard) < PEER_EXPIRY)
    }

    /// Probers that live.
    pub fn probers(&self, now: Instant) -> usize {
        self.probers.values().filter(|(_, heard)| now.since(*heard) < PEER_EXPIRY).count()
    }

    /// Voters of the roster that answered lately, how many are needed, and how many there are.
    pub fn voters(&self, now: Instant) -> (usize, usize, usize) {
        self.roster.as_ref().map_or((0, 1, 0), |roster| {
            let all = roster.voters().len();
            (self.directory.contacts(roster, now), roster.majority().get(), all)
        })
    }

    /// So many probers' words make a node down: the quorum, or all if fewer live.
    fn needed(&self, record: &GroupRecord, now: Instant) -> usize {
        let quorum = usize::try_from(record.settings.quorum.get()).unwrap_or(usize::MAX);
        quorum.min(self.probers(now)).max(1)
    }

    fn fact(&mut self, fact: Fact, now: Instant) {
        match fact {
            Fact::RecordCommitted(committed) => {
                self.directory.committed(committed);
            }
            Fact::DigestReply(reply) => self.directory.reply(reply, now),
            Fact::Heartbeat(beat) => self.heartbeat(beat, now),
            Fact::StatusQuery(_) => self.beat(now),
            Fact::NodeReport(report) => {
                let Some(record) = self.directory.get(&report.group).cloned() else { return };
                let seen = self.seen.entry(report.group).or_default();
                let role = report.view.role;
                if seen.report(report.node.clone(), report.view, now) {
                    self.tell_role(&record, &report.node, role);
                }
                self.tell_down(&record, now);
            }
            Fact::SdownReport(report) => {
                let Some(record) = self.directory.get(&report.group).cloned() else { return };
                let seen = self.seen.entry(report.group.clone()).or_default();
                seen.opinion(&record, report, now);
                self.tell_down(&record, now);
            }
            Fact::OdownVerdict(verdict) => {
                let Some(record) = self.directory.get(&verdict.group).cloned() else { return };
                self.seen.entry(verdict.group.clone()).or_default().verdict(verdict, now);
                self.tell_odown(&record, now);
            }
            Fact::Event(event) => self.event(&event, now),
            Fact::Candidacy(_)
            | Fact::Ballot(_)
            | Fact::Proposal(_)
            | Fact::ProposalReply(_)
            | Fact::Beat(_)
            | Fact::BeatReply(_)
            | Fact::FailoverStep(_)
            | Fact::Digest(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::MasterQuery(_)
            | Fact::MasterRecord(_) => {}
        }
    }

    fn heartbeat(&mut self, beat: Heartbeat, now: Instant) {
        match beat.service {
            Service::Voter => {
                let newest = self.roster.as_ref().map(|roster| roster.version);
                if let Some(roster) = beat.roster.filter(|r| Some(r.version) > newest) {
                    self.roster = Some(roster);
                }
            }
            Service::Prober => {
                let known = self.probers.get(&beat.id).map(|(life, _)| *life);
                if known.is_some_and(|life| life != beat.incarnation) {
                    self.prober_gone(&beat.id);
                }
                if self.probers.len() < PEER_LIMIT || known.is_some() {
                    self.probers.insert(beat.id, (beat.incarnation, now));
                }
            }
            Service::Gateway if beat.id != self.me.id => self.peer(beat, now),
            Service::Gateway | Service::Orchestrator | Service::Notifier | Service::Client => {}
        }
    }

    /// What it called down, only its next life could take back, and that knows nothing of it.
    fn prober_gone(&mut self, id: &str) {
        self.probers.remove(id);
        for seen in self.seen.values_mut() {
            seen.forget_prober(id);
        }
    }

    fn peer(&mut self, beat: Heartbeat, now: Instant) {
        // One that closed its door is gone for clients.
        let Some(serves) = beat.serves else {
            self.peer_gone(&beat.id);
            return;
        };
        if self.peers.len() >= PEER_LIMIT && !self.peers.contains_key(&beat.id) {
            return;
        }
        let peer = Peer { id: beat.id.clone(), serves, heard: now };
        let known = self.peers.insert(beat.id, peer.clone());
        if known.as_ref().is_none_or(|known| known.serves != peer.serves) {
            self.tell_peer(&peer, known.is_some());
        }
    }

    fn peer_gone(&mut self, id: &str) {
        let Some(peer) = self.peers.remove(id) else { return };
        self.tell_peer_gone(&peer);
        if self.gone.len() >= PEER_LIMIT {
            self.gone.pop_first();
        }
        self.gone.insert(peer.id);
    }

    fn beat(&mut self, now: Instant) {
        let (contacts, majority, all) = self.voters(now);
        let health = if self.is_fresh(now) {
            Health::Well
        } else {
            Health::Impaired(format!(
                "{contacts} of {all} voters answer and {majority} are needed: clients are turned \
                 away until they do; start the voters, or look at the network between"
            ))
        };
        self.pulse.set_serves(self.serving.then(|| self.serves.clone()));
        let beat = self.pulse.beat(health, Vec::new());
        self.outputs.push_back(Output::Publish(beat.into()));
    }

    fn changes(&mut self, now: Instant) {
        while let Some(output) = self.directory.poll_output() {
            match output {
                directory::Output::Ask(digest) => {
                    self.outputs.push_back(Output::Publish(digest.into()));
                }
                directory::Output::Changed(group) => {
                    let Some(record) = self.directory.any(&group).cloned() else { continue };
                    if record.removed {
                        // Who comes back with another master has changed it.
                        self.seen.remove(&group);
                        self.told.insert(group, (record.epoch, record.master));
                    } else {
                        self.tell_record(&record, now);
                    }
                }
            }
        }
        let fresh = self.is_fresh(now);
        if fresh != self.serving {
            self.serving = fresh;
            self.outputs.push_back(Output::Serve(fresh));
            self.beat(now);
            if fresh {
                // What probers said of groups that were not known yet was not understood.
                self.outputs.push_back(Output::Publish(StatusQuery {}.into()));
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        let silent = self.peers.values().filter(|peer| now.since(peer.heard) >= PEER_EXPIRY);
        for id in silent.map(|peer| peer.id.clone()).collect::<Vec<_>>() {
            self.peer_gone(&id);
        }
        let silent = self.probers.iter().filter(|(_, (_, at))| now.since(*at) >= PEER_EXPIRY);
        for id in silent.map(|(id, _)| id.clone()).collect::<Vec<_>>() {
            self.prober_gone(&id);
        }
        let groups: Vec<_> = self.seen.keys().map(ToString::to_string).collect();
        for group in groups {
            let Some(record) = self.record(&group).cloned() else { continue };
            if let Some(seen) = self.seen.get_mut(&record.group) {
                seen.expire(&record, now);
            }
            self.tell_down(&record, now);
            self.tell_odown(&record, now);
            self.tell_not_elected(&record, now);
        }
    }
}

impl Machine for Gateway {
    type Input = Fact;
    type Output = Output;

    fn handle(&mut self, fact: Fact, now: Instant) {
        self.fact(fact, now);
        self.changes(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.pulse.is_due(now) {
            self.beat(now);
            self.expire(now);
        }
        self.directory.handle_timeout(now);
        self.changes(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.directory.poll_timeout().into_iter().chain([self.pulse.next()]).min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}
