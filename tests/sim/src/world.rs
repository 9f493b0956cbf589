//! The world under one seed: processes, nodes, the bus between them, and time.

use crate::hook::{Hook, Moment};
use crate::invariants::{Invariants, Seen, all_is_well_in_the_end};
use crate::links::Errand;
use crate::net::{Net, Packet, Site};
use crate::node::Node;
use crate::options::Options;
use crate::process::{INBOX_LIMIT, Input, Output, Process, Role, Write};
use crate::queue::Queue;
use crate::rng::Rng;
use crate::schedule::Fault;
use crate::story::Story;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use vedette_model::{
    Fact, GroupName, GroupRecord, Instant, MasterRecord, NodeAddr, Roster, Settings, VoterId,
};
use vedette_protocol::prober::{LinkEvent, PingReply};
use vedette_protocol::roster::Meta;
use vedette_protocol::voter::{self, Stored};
use vedette_protocol::{orchestrator, prober};
use vedette_wire::Subjects;

/// Something that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Due {
    /// A message arrives; a reply only at the life it is for.
    Deliver {
        to: usize,
        life: Option<u64>,
        packet: Rc<Packet>,
    },
    /// Something arrives at a prober's link.
    Link {
        to: usize,
        life: u64,
        watch: prober::Watch,
        attempt: u64,
        what: Box<LinkEvent>,
    },
    /// The same, for what comes most often.
    Pong {
        to: usize,
        life: u64,
        watch: prober::Watch,
        attempt: u64,
        reply: PingReply,
    },
    /// Something from a node arrives at this life of an orchestrator.
    Answer {
        to: usize,
        life: u64,
        input: Box<orchestrator::Input>,
    },
    /// A process may have something to do.
    Timer(usize),
    /// A write is on the disk.
    Synced {
        of: usize,
        life: u64,
        wrote: Box<Write>,
    },
    /// A command reaches a node.
    Execute(Box<Errand>),
    /// A replica tries to reach its master, and is synchronised.
    Sync {
        node: usize,
        attempt: u64,
    },
    Linked {
        node: usize,
        attempt: u64,
    },
    /// Somebody does harm, or good.
    Fault(Fault),
}

/// One group as the world knows it.
#[derive(Debug, Clone)]
pub struct Group {
    /// Its name.
    pub name: GroupName,
    /// What was declared.
    pub settings: Settings,
    /// Its nodes, by their numbers in the world.
    pub nodes: Vec<usize>,
    /// Whether clients' newest master is what they write to, or a node of somebody's choice.
    pub(crate) writes_to: Option<usize>,
    /// Bytes acknowledged, of each branch of its history.
    pub(crate) acknowledged: BTreeMap<u32, u64>,
    /// The newest announcement.
    pub announced: Option<MasterRecord>,
    pub(crate) invariants: Invariants,
}

/// Everything. A clone goes on by itself, in the same way until something else is done to it.
#[derive(Debug, Clone)]
pub struct World {
    /// Virtual time; the clocks of the processes differ from it and from each other.
    pub now: Instant,
    pub(crate) options: Options,
    pub(crate) rng: Rng,
    pub(crate) subjects: Subjects,
    pub(crate) roster: Roster,
    pub(crate) groups: Vec<Group>,
    pub(crate) names: BTreeMap<GroupName, usize>,
    pub(crate) processes: Vec<Process>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) occupants: BTreeMap<NodeAddr, usize>,
    pub(crate) branches: u32,
    pub(crate) net: Net,
    /// Commands a stopped node will execute when it wakes.
    pub(crate) asleep: Vec<Errand>,
    /// What a stopped node will answer when it wakes.
    pub(crate) unanswered: Vec<crate::links::Question>,
    pub(crate) hooks: Vec<Hook>,
    /// Moments that orchestrators came to, since somebody looked.
    pub(crate) passed: Vec<Moment>,
    /// What was answered to people, and by whom.
    pub(crate) answers: Vec<(Site, Fact)>,
    /// The orchestrator that the last hook did harm to.
    pub(crate) struck: Option<usize>,
    queue: Queue<Due>,
    /// What happened; kept if asked for.
    pub(crate) story: Option<Story>,
    /// The first violation.
    pub violation: Option<String>,
    /// Whether a node was ever started with an empty disk.
    pub(crate) emptied: bool,
}

impl World {
    pub(crate) fn empty(options: Options, roster: Roster) -> Self {
        Self {
            now: Instant::from_millis(1_000),
            rng: Rng::new(options.seed),
            subjects: Subjects::parse("vedette").expect("valid"),
            roster,
            groups: Vec::new(),
            names: BTreeMap::new(),
            processes: Vec::new(),
            nodes: Vec::new(),
            occupants: BTreeMap::new(),
            branches: 0,
            net: Net::default(),
            asleep: Vec::new(),
            unanswered: Vec::new(),
            hooks: Vec::new(),
            passed: Vec::new(),
            answers: Vec::new(),
            struck: None,
            queue: Queue::new(),
            story: options.story.then(Story::default),
            violation: None,
            emptied: false,
            options,
        }
    }

    /// Goes on as another seed would, from here.
    pub(crate) fn begin(&mut self, seed: u64, story: bool) {
        self.rng = Rng::new(seed);
        self.options.seed = seed;
        self.story = story.then(Story::default);
    }

    /// Lets something happen after a while.
    pub(crate) fn schedule(&mut self, after: Duration, due: Due) {
        self.queue.push(self.now + after, due);
    }

    /// Lets what is due by `until` happen, or stops at the first violation.
    pub fn advance(&mut self, until: Instant) {
        while self.violation.is_none() {
            let Some((at, due)) = self.queue.pop(until) else { break };
            self.now = at;
            self.happen(due);
        }
        if self.violation.is_none() {
            self.now = self.now.max(until);
        }
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Deliver { to, life, packet } => self.deliver(to, life, &packet),
            Due::Link { to, life, watch, attempt, what } => {
                if self.processes[to].sender.incarnation == life {
                    let what = *what;
                    self.push(to, Input::Prober(prober::Input::Link { watch, attempt, what }));
                }
            }
            Due::Pong { to, life, watch, attempt, reply } => {
                if self.processes[to].sender.incarnation == life {
                    let what = LinkEvent::Pong(reply);
                    self.push(to, Input::Prober(prober::Input::Link { watch, attempt, what }));
                }
            }
            Due::Answer { to, life, input } => {
                if self.processes[to].sender.incarnation == life {
                    self.push(to, Input::Orchestrator(*input));
                }
            }
            Due::Timer(of) => {
                let process = &mut self.processes[of];
                if process.timer.is_some_and(|at| at <= self.now) {
                    process.timer = None;
                    self.wake(of);
                }
            }
            Due::Synced { of, life, wrote } => self.synced(of, life, *wrote),
            Due::Execute(errand) => self.execute(*errand),
            Due::Sync { node, attempt } => self.sync(node, attempt),
            Due::Linked { node, attempt } => self.linked(node, attempt),
            Due::Fault(fault) => self.commit(fault),
        }
    }

    pub(crate) fn push(&mut self, to: usize, input: Input) {
        let process = &mut self.processes[to];
        if process.role.is_none() || process.inbox.len() >= INBOX_LIMIT {
            return;
        }
        if process.stopped || process.syncing || !process.inbox.is_empty() {
            process.inbox.push_back(input);
        } else {
            self.take(to, input);
            self.wake(to);
        }
    }

    /// Hands an input over, and looks at what the process shows afterwards.
    fn take(&mut self, index: usize, input: Input) {
        let shows = self.shown_by(&input);
        let process = &mut self.processes[index];
        let now = process.clock.local(self.now);
        if let Some(role) = process.role.as_mut() {
            role.handle(input, now);
        }
        for group in shows {
            self.look_at(index, group);
        }
    }

    /// Lets a process run for as long as it has something to do and nothing to wait for.
    pub(crate) fn wake(&mut self, index: usize) {
        loop {
            let process = &mut self.processes[index];
            if process.stopped || process.syncing {
                return;
            }
            let Some(role) = process.role.as_mut() else { return };
            if let Some(output) = process.held.take().or_else(|| role.poll_output()) {
                self.carry_out_or_strike(index, output);
                continue;
            }
            let now = process.clock.local(self.now);
            if let Some(input) = process.inbox.pop_front() {
                self.take(index, input);
            } else if role.poll_timeout().is_some_and(|at| at <= now) {
                role.handle_timeout(now);
            } else {
                break;
            }
        }
        self.set_timer(index);
    }

    /// Groups whose records may look different after an input.
    fn shown_by(&self, input: &Input) -> std::ops::Range<usize> {
        let fact = match input {
            Input::Prober(prober::Input::Fact(fact))
            | Input::Orchestrator(orchestrator::Input::Fact { fact, .. }) => fact,
            Input::Prober(prober::Input::Link { .. } | prober::Input::Back)
            | Input::Voter(_)
            | Input::Orchestrator(orchestrator::Input::Answer { .. } | orchestrator::Input::Back) =>
            {
                return 0..0;
            }
        };
        let one = |name| self.names.get(name).map_or(0..0, |group| *group..group + 1);
        if let Fact::RecordCommitted(committed) = fact {
            one(&committed.record.group)
        } else if let Fact::ProposalReply(reply) = fact {
            one(&reply.group)
        } else if let Fact::DigestReply(_) = fact {
            0..self.groups.len()
        } else {
            0..0
        }
    }

    pub(crate) fn set_timer(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let Some(at) = process.role.as_ref().and_then(Role::poll_timeout) else { return };
        let at = process.clock.global(at).max(self.now);
        if process.timer.is_none_or(|set| at < set) {
            process.timer = Some(at);
            self.queue.push(at, Due::Timer(index));
        }
    }

    fn look_at(&mut self, index: usize, group: usize) {
        let process = &mut self.processes[index];
        let life = process.sender.incarnation;
        let name = &self.groups[group].name;
        let Some(record) = process.role.as_ref().and_then(|r| r.known(name)) else { return };
        if process.shown.get(&group) == Some(&record.revision) {
            return;
        }
        process.shown.insert(group, record.revision);
        let record = record.clone();
        self.see(group, &Seen::Reads(index, life, &record));
    }

    /// Shows the observers what happened.
    pub(crate) fn see(&mut self, group: usize, seen: &Seen<'_>) -> Option<GroupRecord> {
        match self.groups[group].invariants.see(seen, self.now) {
            Ok(committed) => committed,
            Err(what) => {
                if self.violation.is_none() {
                    self.violation = Some(format!("{}: {what}", self.groups[group].name));
                }
                None
            }
        }
    }

    pub(crate) fn carry_out(&mut self, index: usize, output: Output) {
        match output {
            Output::Prober(output) => self.prober_output(index, output),
            Output::Voter(voter::Output::Persist(stored)) => {
                self.write(index, Write::Group(stored));
            }
            Output::Voter(voter::Output::PersistMeta(meta)) => {
                self.write(index, Write::Meta(meta));
            }
            Output::Voter(voter::Output::Publish(fact)) => self.publish(index, &fact),
            Output::Voter(voter::Output::Reply { to, fact })
            | Output::Orchestrator(orchestrator::Output::Reply { to, fact }) => {
                self.reply(index, &to, &fact);
            }
            Output::Orchestrator(orchestrator::Output::Publish(fact)) => {
                self.publish(index, &fact);
            }
            Output::Orchestrator(orchestrator::Output::Command {
                ticket,
                node,
                command,
                not_after,
                limit_ms,
                ..
            }) => {
                let limit = Duration::from_millis(limit_ms);
                self.send_command(index, ticket, node, command, not_after, limit);
            }
            // The retained value's rule is tested where it lives, in `runtime`.
            Output::Orchestrator(orchestrator::Output::Retain(_)) => {}
        }
    }

    fn write(&mut self, of: usize, wrote: Write) {
        self.processes[of].syncing = true;
        let slow = self.rng.permille(self.net.slow_disk_permille);
        let micros = if slow { self.rng.range(5_000, 400_000) } else { self.rng.range(150, 600) };
        let life = self.processes[of].sender.incarnation;
        self.schedule(
            Duration::from_micros(micros),
            Due::Synced { of, life, wrote: Box::new(wrote) },
        );
    }

    fn synced(&mut self, of: usize, life: u64, wrote: Write) {
        let process = &self.processes[of];
        if process.sender.incarnation != life || process.role.is_none() {
            return;
        }
        if self.net.failing_disks.contains(&of) {
            let why = "no space left on device".to_string();
            let process = &mut self.processes[of];
            process.syncing = false;
            // What the write protected is not sent.
            while process.role.as_mut().and_then(Role::poll_output).is_some() {}
            self.push(of, Input::Voter(voter::Input::StoreFailed { why }));
            self.wake(of);
            return;
        }
        match wrote {
            Write::Meta(meta) => self.wrote_meta(of, meta),
            Write::Group(stored) => self.wrote_group(of, stored),
        }
        self.processes[of].syncing = false;
        self.wake(of);
    }

    fn wrote_meta(&mut self, of: usize, meta: Meta) {
        let before = self.processes[of].meta.as_ref().map(|meta| meta.roster.version);
        if before != Some(meta.roster.version) {
            self.note(of, || format!("goes by {}", meta.roster));
        }
        for group in &mut self.groups {
            if let Err(what) = group.invariants.chosen.goes_by(&meta.roster) {
                self.violation.get_or_insert(what);
            }
        }
        self.processes[of].meta = Some(meta);
        if before.is_none() {
            // Now it stands by what it was told.
            let stored: Vec<_> = self.processes[of].disk.values().cloned().collect();
            stored.iter().for_each(|stored| self.voted(of, stored));
        }
    }

    fn wrote_group(&mut self, of: usize, stored: Stored) {
        self.voted(of, &stored);
        self.processes[of].disk.insert(stored.group.clone(), stored);
    }

    /// What a voter without memory is told is no vote of its own, and never is one for a ballot that
    /// it refuses from then on.
    fn voted(&mut self, of: usize, stored: &Stored) {
        let process = &self.processes[of];
        let voter = VoterId::parse(&process.sender.id).expect("a voter");
        let (Some(meta), Some(group)) = (&process.meta, self.names.get(&stored.group).copied())
        else {
            return;
        };
        let floor = meta.floor;
        if let Some(promised) = stored.promised.as_ref().filter(|b| b.number > floor) {
            self.see(group, &Seen::Promised(&voter, promised));
        }
        if let Some((ballot, record)) = stored.accepted.as_ref().filter(|(b, _)| b.number > floor)
            && let Some(record) = self.see(group, &Seen::Accepted(&voter, ballot, record))
        {
            self.note(of, || format!("completes the majority for {}", describe(&record)));
        }
    }

    /// The record a majority of voters has on disk.
    pub fn committed(&self, group: usize) -> Option<&GroupRecord> {
        self.groups[group].invariants.chosen.newest.as_ref()
    }

    /// Whether all is well now in every group.
    ///
    /// # Errors
    /// What is not.
    pub fn well(&self) -> Result<(), String> {
        for (index, group) in self.groups.iter().enumerate() {
            let is_there = |n: &&usize| self.occupants.get(&self.nodes[**n].addr) == Some(n);
            let here = group.nodes.iter().filter(is_there).map(|n| &self.nodes[*n]);
            let (record, told) = (self.committed(index), group.announced.as_ref());
            all_is_well_in_the_end(record, here, &self.processes, &group.name, told)
                .map_err(|what| format!("{}: {what}", group.name))?;
        }
        Ok(())
    }
}

/// A record on one line.
pub(crate) fn describe(record: &GroupRecord) -> String {
    let failover = record.failover.as_ref().map_or_else(String::new, |f| {
        format!(", failover to {} in epoch {} led by {}", f.target, f.epoch, f.leader)
    });
    let (revision, epoch, master) = (record.revision, record.epoch, &record.master);
    let members = record.members.len();
    format!("revision {revision}: epoch {epoch}, master {master}, {members} members{failover}")
}
