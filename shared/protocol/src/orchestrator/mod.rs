//! The orchestrator's role: candidacy, failover and reconciliation of all groups.
//!
//! ```text
//!  RecordCommitted, DigestReply ─► directory ─► groups ─┐
//!  OdownVerdict, NodeReport, Beat, replies of voters ───┼─► group: candidacy ─► register::Proposer
//!  Answer (ticket) ─────────────────────────────────────┘          ├─► failover (a walk)
//!  Heartbeat of orchestrators ─► rank                              └─► reconcile (rounds)
//! ```

mod answers;
mod effect;
mod group;
mod places;
mod roster;
mod seeds;

use crate::Machine;
use crate::directory::{self, Directory};
use crate::happening::Dresser;
use crate::pulse::Pulse;
use crate::rank::weight;
use crate::timers::Timers;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use effect::Effect;
use group::Group;
use places::Places;
use roster::Desk;
use seeds::Doubt;
use vedette_model::{
    Answer, Command, Credentials, Fact, GroupName, GroupRecord, Heartbeat, Instant, MasterRecord,
    NodeAddr, OrchestratorId, Place, Roster, Sender, Service, Settings, StatusQuery,
};

/// What an orchestrator hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus, with the subject its answer goes to if it wants one.
    Fact {
        /// The message.
        fact: Fact,
        /// Where to answer.
        reply_to: Option<String>,
    },
    /// It was away from the bus and is there again: what it said last may be lost.
    Back,
    /// What came of an [`Output::Command`].
    Answer {
        /// The command's ticket.
        ticket: u64,
        /// What came of it.
        answer: Answer,
    },
}

/// What an orchestrator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the bus.
    Publish(Fact),
    /// Answer.
    Reply {
        /// The subject.
        to: String,
        /// The answer.
        fact: Fact,
    },
    /// Send a command to a node over a fresh connection, and answer with the ticket within
    /// `limit_ms`, whatever happens.
    Command {
        /// Comes back with the answer.
        ticket: u64,
        /// Whose node it is.
        group: GroupName,
        /// The node.
        node: NodeAddr,
        /// What to do.
        command: Command,
        /// How to log in.
        credentials: Option<Credentials>,
        /// The end of the lease: after it the command must not be sent any more
        /// (`NodeFault::Expired`). Absent for `Inspect`, which changes nothing.
        not_after: Option<Instant>,
        /// Milliseconds for connecting, sending and all answers.
        limit_ms: u64,
    },
    /// Keep as the group's last known master for late subscribers, unless what is kept there is
    /// newer. Never waited for.
    Retain(MasterRecord),
}

const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);
/// An orchestrator that has not been heard for so long does not count for ranks.
const PEER_EXPIRY: Duration = Duration::from_secs(3);
/// Time to hear of the others before the first candidacy.
const SETTLE_IN: Duration = Duration::from_millis(300);
/// Declarations are looked at again this often until they are seeded or refused.
const SEED_EVERY: Duration = Duration::from_millis(500);
/// The retained masters are offered again this often, in case what is retained fell behind.
const RETAIN_EVERY: Duration = Duration::from_secs(10);

/// Groups in trouble that a heartbeat names.
const TROUBLES_TOLD: usize = 8;

/// What an orchestrator is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who speaks.
    pub sender: Sender,
    /// The same as an id.
    pub id: OrchestratorId,
    /// Where it runs.
    pub place: Place,
    /// Who votes, until a voter tells of a newer one.
    pub roster: Roster,
    /// The declared groups, in the order of their declaration: seeded where the voters know
    /// nothing of them, and otherwise without effect, which is told if their master is a stranger.
    pub groups: Vec<(GroupName, NodeAddr, Settings)>,
}

/// The orchestrator.
#[derive(Debug, Clone)]
pub struct Orchestrator {
    config: Config,
    directory: Directory,
    groups: BTreeMap<GroupName, Group>,
    timers: Timers<GroupName>,
    places: Places,
    peers: BTreeMap<OrchestratorId, Instant>,
    desk: Desk,
    seeds: BTreeMap<GroupName, (usize, NodeAddr, Settings)>,
    conflicts_told: BTreeSet<GroupName>,
    doubts: BTreeMap<GroupName, Doubt>,
    tickets: BTreeMap<u64, (GroupName, NodeAddr)>,
    next_ticket: u64,
    pulse: Pulse,
    dresser: Dresser,
    next_seed: Instant,
    next_retain: Instant,
    outputs: VecDeque<Output>,
}

impl Orchestrator {
    /// An orchestrator that knows only its declarations.
    pub fn new(config: Config, now: Instant) -> Self {
        let (sender, place) = (config.sender.clone(), config.place.clone());
        let (id, roster) = (config.id.clone(), config.roster.clone());
        let declared = config.groups.iter().enumerate();
        let seeds = declared.map(|(i, (g, m, s))| (g.clone(), (i, m.clone(), s.clone()))).collect();
        Self {
            directory: Directory::new(now),
            groups: BTreeMap::new(),
            timers: Timers::new(),
            places: Places::new(),
            peers: BTreeMap::new(),
            desk: Desk::new(id, sender.incarnation, roster.clone()),
            seeds,
            conflicts_told: BTreeSet::new(),
            doubts: BTreeMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            dresser: Dresser::new(sender.clone()),
            pulse: Pulse::new(sender, place, Some(roster), HEARTBEAT_EVERY, now),
            next_seed: now + SETTLE_IN,
            next_retain: now + RETAIN_EVERY,
            outputs: VecDeque::from([Output::Publish(StatusQuery {}.into())]),
            config,
        }
    }

    /// The newest committed record it knows of the group.
    pub fn known(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.directory.any(group)
    }

    fn fact(&mut self, fact: Fact, reply_to: Option<String>, now: Instant) {
        match fact {
            Fact::RecordCommitted(committed) => {
                self.directory.committed(committed);
            }
            Fact::DigestReply(reply) => self.directory.reply(reply, now),
            Fact::Heartbeat(beat) => self.heartbeat(&beat, now),
            Fact::StatusQuery(_) => {
                let beat = self.pulse.beat(self.health(), self.standings(now));
                self.outputs.push_back(Output::Publish(beat.into()));
            }
            Fact::MasterQuery(query) => self.master_query(&query, reply_to, now),
            Fact::OdownVerdict(verdict) => {
                self.with(&verdict.group.clone(), now, |group| group.verdict(&verdict, now));
            }
            Fact::NodeReport(report) => {
                self.with(&report.group.clone(), now, |group| group.report(report, now));
            }
            Fact::Ballot(ballot) => {
                self.with(&ballot.group.clone(), now, |group| group.ballot(ballot, now));
            }
            Fact::ProposalReply(reply) => {
                self.with(&reply.group.clone(), now, |group| group.proposal_reply(reply, now));
            }
            Fact::BeatReply(reply) => {
                self.with(&reply.group.clone(), now, |group| group.beat_reply(reply, now));
            }
            Fact::Beat(beat) => {
                let mine = beat.ballot.proposer == self.config.id
                    && beat.ballot.incarnation == self.config.sender.incarnation;
                if !mine {
                    self.with(&beat.group.clone(), now, |g| g.other_leads(&beat.ballot, now));
                }
            }
            Fact::Instruction(instruction) => self.instruction(instruction, reply_to, now),
            Fact::RosterAnswer(answer) => {
                self.desk.answer(answer, now);
                self.roster_news(now);
            }
            Fact::SdownReport(_)
            | Fact::Candidacy(_)
            | Fact::Proposal(_)
            | Fact::FailoverStep(_)
            | Fact::Digest(_)
            | Fact::MasterRecord(_)
            | Fact::RosterBallot(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::InstructionReply(_)
            | Fact::Event(_) => {}
        }
    }

    /// Lets a known group do something, and carries out what comes of it.
    fn with(&mut self, name: &GroupName, now: Instant, act: impl FnOnce(&mut Group)) {
        if let Some(group) = self.groups.get_mut(name) {
            group.set_crowded(self.places.are_taken(group.is_owned()));
            act(group);
            self.pump(name, now);
        }
    }

    fn pump(&mut self, name: &GroupName, now: Instant) {
        let unsettled = self.directory.is_unsettled(name, &self.config.roster);
        while let Some(group) = self.groups.get_mut(name) {
            group.settle(unsettled, now);
            let Some(effect) = group.poll_effect() else { break };
            self.effect(name, effect, now);
        }
        if let Some(group) = self.groups.get(name) {
            self.timers.set(name, group.poll_timeout(now));
            self.places.note(name, group.holds_place(), group.waits_for_place(), now);
        }
        self.changes(now);
    }

    /// Has as many begin as there are places.
    fn fill_places(&mut self, now: Instant) {
        while let Some(name) = self.places.next(now) {
            self.with(&name, now, |group| group.handle_timeout(now));
        }
    }

    fn effect(&mut self, name: &GroupName, effect: Effect, now: Instant) {
        match effect {
            Effect::Publish(fact) => self.outputs.push_back(Output::Publish(fact)),
            Effect::Reply { to, fact } => self.outputs.push_back(Output::Reply { to, fact }),
            Effect::Committed(committed) => {
                self.directory.committed(committed.clone());
                self.outputs.push_back(Output::Publish(committed.into()));
            }
            Effect::Announce(record) => {
                let master = MasterRecord::from(&record);
                self.outputs.push_back(Output::Publish(master.clone().into()));
                self.outputs.push_back(Output::Retain(master));
            }
            Effect::Event(happening, record, trace_id) => {
                let event = self.dresser.dress(happening, &record, trace_id);
                self.outputs.push_back(Output::Publish(event.into()));
            }
            Effect::Command { node, command, credentials, lease } => {
                self.command(name, node, command, credentials, lease, now);
            }
        }
    }

    fn command(
        &mut self,
        name: &GroupName,
        node: NodeAddr,
        command: Command,
        credentials: Option<Credentials>,
        lease: Option<Instant>,
        _now: Instant,
    ) {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.tickets.insert(ticket, (name.clone(), node.clone()));
        let (not_after, limit_ms) = match command {
            Command::Inspect => (None, effect::INSPECT_LIMIT_MS),
            Command::Promote { .. }
            | Command::PauseWrites { .. }
            | Command::Freeze
            | Command::Unpause
            | Command::Save
            | Command::Follow { .. } => {
                (Some(lease.unwrap_or(Instant::ZERO)), effect::COMMAND_LIMIT_MS)
            }
        };
        self.outputs.push_back(Output::Command {
            ticket,
            group: name.clone(),
            node,
            command,
            credentials,
            not_after,
            limit_ms,
        });
    }

    /// Carries changes of the directory into the groups.
    fn changes(&mut self, now: Instant) {
        while let Some(output) = self.directory.poll_output() {
            match output {
                directory::Output::Ask(digest) => {
                    self.outputs.push_back(Output::Publish(digest.into()));
                }
                directory::Output::Changed(name) => {
                    let Some(record) = self.directory.any(&name).cloned() else { continue };
                    self.seeded(&name, now);
                    let ballot = self.directory.ballot(&name).cloned();
                    let group = self.group(&name, now);
                    // The first candidacy after a restart would otherwise be refused as too low, and
                    // a leader that slept through it would tell what it did as news of this record.
                    ballot.iter().for_each(|ballot| group.committed_under(ballot));
                    group.record(&record, now);
                    self.pump(&name, now);
                }
            }
        }
    }

    fn group(&mut self, name: &GroupName, now: Instant) -> &mut Group {
        let rank = self.rank(name);
        let config = &self.config;
        self.groups.entry(name.clone()).or_insert_with(|| {
            let mut group = Group::new(config, name.clone(), now + SETTLE_IN);
            group.set_rank(rank);
            group
        })
    }

    fn heartbeat(&mut self, beat: &Heartbeat, now: Instant) {
        if beat.service == Service::Voter {
            self.desk.heard(beat, now);
            self.roster_news(now);
            if beat.back {
                self.ask_now(now);
            }
            return;
        }
        let Ok(id) = OrchestratorId::parse(&beat.id) else { return };
        if beat.service != Service::Orchestrator || id == self.config.id {
            return;
        }
        if self.peers.insert(id, now).is_none() {
            self.rerank(now);
        }
    }

    /// Asks again what is under way, and for verdicts and records that it missed.
    fn back(&mut self, now: Instant) {
        let beat = self.pulse.back(self.health());
        self.outputs.push_back(Output::Publish(beat.into()));
        self.directory.ask_now(now);
        self.directory.handle_timeout(now);
        self.ask_now(now);
    }

    fn ask_now(&mut self, now: Instant) {
        let asking = self.groups.iter().filter(|(_, group)| group.is_asking());
        let names: Vec<_> = asking.map(|(name, _)| name.clone()).collect();
        for name in names {
            self.with(&name, now, |group| group.ask_now(now));
        }
    }

    fn rerank(&mut self, now: Instant) {
        let names: Vec<_> = self.groups.keys().cloned().collect();
        for name in names {
            let rank = self.rank(&name);
            self.with(&name, now, |group| group.set_rank(rank));
        }
    }

    /// How many live orchestrators come before this one for the group: rendezvous hashing.
    fn rank(&self, group: &GroupName) -> u32 {
        let group = group.as_str();
        let mine = weight(group, self.config.id.as_str());
        let before = self.peers.keys().filter(|p| weight(group, p.as_str()) > mine).count();
        u32::try_from(before).unwrap_or(u32::MAX)
    }

    fn retain(&mut self, now: Instant) {
        self.next_retain = now + RETAIN_EVERY;
        let owned = self.groups.values().filter(|g| g.is_owned()).filter_map(Group::known);
        let masters: Vec<_> = owned.map(MasterRecord::from).collect();
        self.outputs.extend(masters.into_iter().map(Output::Retain));
    }
}

impl Machine for Orchestrator {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Fact { fact, reply_to } => self.fact(fact, reply_to, now),
            Input::Back => self.back(now),
            Input::Answer { ticket, answer } => {
                if let Some((name, node)) = self.tickets.remove(&ticket) {
                    self.with(&name, now, |group| group.answer(&node, answer, now));
                }
            }
        }
        self.changes(now);
        self.fill_places(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if self.pulse.is_due(now) {
            let beat = self.pulse.beat(self.health(), Vec::new());
            self.outputs.push_back(Output::Publish(beat.into()));
            let before = self.peers.len();
            self.peers.retain(|_, heard| now.since(*heard) < PEER_EXPIRY);
            if self.peers.len() != before {
                self.rerank(now);
            }
        }
        self.directory.handle_timeout(now);
        self.changes(now);
        if now >= self.next_seed {
            self.next_seed = now + SEED_EVERY;
            self.seed(now);
            self.tell_doubts(now);
            for name in self.directory.unsettled(&self.config.roster) {
                let _ = self.group(&name, now);
                self.pump(&name, now);
            }
        }
        self.desk.handle_timeout(now);
        self.roster_news(now);
        if now >= self.next_retain {
            self.retain(now);
        }
        for name in self.timers.take_due(now) {
            self.with(&name, now, |group| group.handle_timeout(now));
        }
        self.fill_places(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let fixed = [self.pulse.next(), self.next_seed, self.next_retain];
        let groups = [self.timers.next(), self.places.poll_timeout()];
        let moving = [self.directory.poll_timeout(), self.desk.poll_timeout()];
        moving.into_iter().chain(groups).flatten().chain(fixed).min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
