//! The world under one seed: processes, nodes, the bus between them, and time.

use crate::invariants::{self, Invariant, Seen};
use crate::net::{Net, Site};
use crate::node::{Life, Node};
use crate::process::{INBOX_LIMIT, Input, Output, Process, Role};
use crate::rng::Rng;
use crate::schedule::Fault;
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;
use vedette_model::{
    Answer, Command, GroupName, GroupRecord, Instant, NodeAddr, NodeFault, OrchestratorId, Place,
    ProberId, Quorum, Roster, RosterVersion, Sender, Service, Settings, VoterId,
};
use vedette_protocol::voter::Stored;
use vedette_protocol::{orchestrator, prober, voter};
use vedette_wire::Subjects;

/// Probers, voters, orchestrators, nodes, quorum.
pub const PROBERS: usize = 3;
/// Voters.
pub const VOTERS: usize = 3;
/// Orchestrators.
pub const ORCHESTRATORS: usize = 2;
/// Nodes.
pub const NODES: usize = 3;
/// Quorum.
pub const QUORUM: usize = 2;
/// Nodes live this often a little.
const NODE_TICK: Duration = Duration::from_millis(20);

/// A message on its way.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Its subject.
    pub subject: Rc<str>,
    /// Its header block.
    pub headers: Rc<[(&'static str, String)]>,
    /// Its bytes.
    pub payload: Rc<[u8]>,
    /// Where to answer.
    pub reply_to: Option<Rc<str>>,
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum Due {
    /// A message arrives.
    Deliver { to: usize, message: Message },
    /// Something from a node arrives at this life of a process.
    Arrive { to: usize, life: u64, input: Input },
    /// A process may have something to do.
    Timer(usize),
    /// A write is on the disk.
    Synced { of: usize, life: u64, stored: Stored },
    /// A command reaches a node.
    Execute(Errand),
    /// The nodes live a little.
    NodeTick,
    /// Somebody does harm, or good.
    Fault(Fault),
}

/// A command under way to a node.
#[derive(Debug, Clone)]
pub(crate) struct Errand {
    pub(crate) from: usize,
    pub(crate) life: u64,
    pub(crate) ticket: u64,
    pub(crate) node: usize,
    pub(crate) command: Command,
    pub(crate) not_after: Option<Instant>,
    pub(crate) sent_at: Instant,
    pub(crate) limit: Duration,
}

/// A connection of a prober.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conn {
    pub(crate) attempt: u64,
    pub(crate) node_life: u64,
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// Virtual time.
    pub now: Instant,
    pub(crate) rng: Rng,
    pub(crate) subjects: Subjects,
    pub(crate) group: GroupName,
    settings: Settings,
    roster: Roster,
    pub(crate) processes: Vec<Process>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) net: Net,
    pub(crate) conns: BTreeMap<(usize, usize), Conn>,
    /// Commands a stopped node will execute when it wakes.
    pub(crate) asleep: Vec<Errand>,
    queue: BTreeMap<(Instant, u64), Due>,
    sequence: u64,
    invariants: Vec<Box<dyn Invariant>>,
    pub(crate) chosen: invariants::Chosen,
    /// What happened, one line each; empty unless asked for.
    pub trace: Option<Vec<String>>,
    /// The first violation.
    pub violation: Option<String>,
}

impl World {
    /// A healthy world: one master with two replicas, everything of ours just started.
    pub fn new(seed: u64, trace: bool) -> Self {
        let mut rng = Rng::new(seed);
        let addr = |i: usize| NodeAddr::parse(&format!("10.0.0.{}:6379", i + 1)).expect("valid");
        let node = |i| Node::new(addr(i), (i > 0).then(|| addr(0)), &mut rng);
        let nodes: Vec<_> = (0..NODES).map(node).collect();
        // A node that forgot its history and took writes before anybody could act is not told
        // from a stranger: where there are such nodes, the operator vouches for the addresses.
        let forgetful = nodes.iter().any(|n| !n.persistent);
        let settings = Settings {
            down_after_ms: 500,
            failover_timeout_ms: 5_000,
            hold_off_ms: 1_000,
            patience_ms: 2_000,
            trust_recorded_address: forgetful,
            ..Settings::with_quorum(Quorum::parse(2).expect("not zero"))
        };
        let voter = |i: usize| VoterId::parse(&format!("v{}", i + 1)).expect("valid");
        let roster = Roster::parse(RosterVersion(1), (0..VOTERS).map(voter).collect());
        let mut world = Self {
            now: Instant::from_millis(1_000),
            rng,
            subjects: Subjects::parse("vedette").expect("valid"),
            group: GroupName::parse("mymaster").expect("valid"),
            settings,
            roster: roster.expect("distinct"),
            processes: Vec::new(),
            nodes,
            net: Net::default(),
            conns: BTreeMap::new(),
            asleep: Vec::new(),
            queue: BTreeMap::new(),
            sequence: 0,
            invariants: invariants::all(VOTERS, QUORUM),
            chosen: invariants::Chosen::new(VOTERS),
            trace: trace.then(Vec::new),
            violation: None,
        };
        let services = [
            (Service::Prober, "p", PROBERS),
            (Service::Voter, "v", VOTERS),
            (Service::Orchestrator, "o", ORCHESTRATORS),
        ];
        for (service, letter, count) in services {
            for i in 1..=count {
                let sender = Sender { service, id: format!("{letter}{i}"), incarnation: 0 };
                world.processes.push(Process {
                    sender,
                    role: None,
                    stopped: false,
                    inbox: VecDeque::new(),
                    outbox: VecDeque::new(),
                    syncing: false,
                    disk: BTreeMap::new(),
                    sequence: 0,
                    timer: None,
                });
                world.start_process(world.processes.len() - 1);
            }
        }
        world.schedule(Duration::ZERO, Due::NodeTick);
        world
    }

    /// Starts a process anew from what its disk holds.
    pub fn start_process(&mut self, index: usize) {
        let incarnation = self.rng.next();
        let now = self.now;
        let process = &mut self.processes[index];
        process.sender.incarnation = incarnation;
        process.sequence = 0;
        process.stopped = false;
        let sender = process.sender.clone();
        let place = Place::parse("dc1").expect("valid");
        let role = match sender.service {
            Service::Prober => {
                let id = ProberId::parse(&sender.id).expect("valid");
                Role::Prober(prober::Prober::new(prober::Config { sender, id, place }, now))
            }
            Service::Voter => {
                let id = VoterId::parse(&sender.id).expect("valid");
                let roster = self.roster.clone();
                let config = voter::Config { sender, id, place, roster };
                let stored = process.disk.values().cloned().collect();
                Role::Voter(voter::Voter::new(config, stored, now))
            }
            Service::Orchestrator => {
                let id = OrchestratorId::parse(&sender.id).expect("valid");
                let roster = self.roster.clone();
                let master = self.nodes[0].addr.clone();
                let groups = vec![(self.group.clone(), master, self.settings.clone())];
                let config = orchestrator::Config { sender, id, place, roster, groups };
                Role::Orchestrator(orchestrator::Orchestrator::new(config, now))
            }
            Service::Notifier | Service::Client => unreachable!("not simulated"),
        };
        self.processes[index].role = Some(role);
        self.wake(index);
    }

    /// Kills a process: what was not synced is lost.
    pub fn kill_process(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.role = None;
        process.stopped = false;
        process.syncing = false;
        process.inbox.clear();
        process.outbox.clear();
        process.timer = None;
        self.conns.retain(|(of, _), _| *of != index);
    }

    /// Lets something happen after a while.
    pub(crate) fn schedule(&mut self, after: Duration, due: Due) {
        self.sequence += 1;
        self.queue.insert((self.now + after, self.sequence), due);
    }

    /// Runs until `until`, or until something is violated.
    pub fn run_until(&mut self, until: Instant) {
        while self.violation.is_none() {
            let Some(entry) = self.queue.first_entry() else { break };
            if entry.key().0 > until {
                break;
            }
            let ((at, _), due) = entry.remove_entry();
            self.now = at;
            self.happen(due);
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Deliver { to, message } => self.deliver(to, &message),
            Due::Arrive { to, life, input } => {
                if self.processes[to].sender.incarnation == life {
                    self.push(to, input);
                }
            }
            Due::Timer(of) => {
                if self.processes[of].timer.is_some_and(|at| at <= self.now) {
                    self.processes[of].timer = None;
                }
                self.wake(of);
            }
            Due::Synced { of, life, stored } => self.synced(of, life, stored),
            Due::Execute(errand) => self.execute(errand),
            Due::NodeTick => {
                self.live_nodes();
                self.schedule(NODE_TICK, Due::NodeTick);
            }
            Due::Fault(fault) => self.commit(fault),
        }
    }

    pub(crate) fn push(&mut self, to: usize, input: Input) {
        let process = &mut self.processes[to];
        if process.role.is_some() && process.inbox.len() < INBOX_LIMIT {
            process.inbox.push_back(input);
            self.wake(to);
        }
    }

    /// Lets a process run for as long as it has something to do and nothing to wait for.
    pub(crate) fn wake(&mut self, index: usize) {
        loop {
            let now = self.now;
            let process = &mut self.processes[index];
            if process.stopped || process.syncing {
                return;
            }
            let Some(role) = process.role.as_mut() else { return };
            if let Some(output) = process.outbox.pop_front() {
                self.carry_out(index, output);
                continue;
            }
            if let Some(input) = process.inbox.pop_front() {
                role.handle(input, now);
            } else if role.poll_timeout().is_some_and(|at| at <= now) {
                role.handle_timeout(now);
            } else {
                break;
            }
            while let Some(output) = role.poll_output() {
                process.outbox.push_back(output);
            }
            self.look_at(index);
        }
        self.set_timer(index);
    }

    fn set_timer(&mut self, index: usize) {
        let process = &mut self.processes[index];
        let Some(at) = process.role.as_ref().and_then(Role::poll_timeout) else { return };
        if process.timer.is_none_or(|set| at < set) {
            process.timer = Some(at);
            let after = at.since(self.now);
            self.schedule(after, Due::Timer(index));
        }
    }

    fn look_at(&mut self, index: usize) {
        let process = &self.processes[index];
        let life = process.sender.incarnation;
        let known = process.role.as_ref().and_then(|r| r.known(&self.group));
        if let Some(record) = known.cloned() {
            self.see(&Seen::Reads(index, life, &record));
        }
    }

    /// Shows the observers what happened.
    pub(crate) fn see(&mut self, seen: &Seen<'_>) {
        for invariant in &mut self.invariants {
            if let Err(what) = invariant.see(seen, self.now)
                && self.violation.is_none()
            {
                self.violation = Some(
                    format!("{invariant:.0?}").chars().take(24).collect::<String>() + ": " + &what,
                );
            }
        }
    }

    fn carry_out(&mut self, index: usize, output: Output) {
        match output {
            Output::Prober(output) => self.prober_output(index, output),
            Output::Voter(voter::Output::Persist(stored)) => {
                self.processes[index].syncing = true;
                let slow = self.rng.permille(self.net.slow_disk_permille);
                let micros =
                    if slow { self.rng.range(5_000, 400_000) } else { self.rng.range(150, 600) };
                let life = self.processes[index].sender.incarnation;
                self.schedule(
                    Duration::from_micros(micros),
                    Due::Synced { of: index, life, stored },
                );
            }
            Output::Voter(voter::Output::Publish(fact)) => self.publish(index, &fact),
            Output::Voter(voter::Output::Reply { to, fact }) => self.reply(index, &to, &fact),
            Output::Orchestrator(output) => self.orchestrator_output(index, output),
        }
    }

    fn synced(&mut self, of: usize, life: u64, stored: Stored) {
        if self.processes[of].sender.incarnation != life || self.processes[of].role.is_none() {
            return;
        }
        let voter = VoterId::parse(&self.processes[of].sender.id).expect("a voter");
        if let Some(promised) = &stored.promised {
            self.see(&Seen::Promised(&voter, promised));
        }
        if let Some((ballot, record)) = &stored.accepted {
            if let Some(record) = self.chosen.accepted(&voter, ballot, record) {
                let text = format!("committed {}", describe(record));
                self.note(of, &text);
            }
            self.see(&Seen::Accepted(&voter, ballot, record));
        }
        self.processes[of].disk.insert(stored.group.clone(), stored);
        self.processes[of].syncing = false;
        self.wake(of);
    }

    fn orchestrator_output(&mut self, index: usize, output: orchestrator::Output) {
        match output {
            orchestrator::Output::Publish(fact) => self.publish(index, &fact),
            orchestrator::Output::Reply { to, fact } => self.reply(index, &to, &fact),
            orchestrator::Output::Command {
                ticket, node, command, not_after, limit_ms, ..
            } => {
                if command != Command::Inspect {
                    let text = format!("sends {command:?} to {node}");
                    self.note(index, &text);
                    self.see(&Seen::Commanded(&node, &command));
                }
                let errand = Errand {
                    from: index,
                    life: self.processes[index].sender.incarnation,
                    ticket,
                    node: self.node_at(&node),
                    command,
                    not_after,
                    sent_at: self.now,
                    limit: Duration::from_millis(limit_ms),
                };
                let connect = Duration::from_micros(self.rng.range(100, 400));
                self.schedule(connect, Due::Execute(errand));
            }
            // The retained value's rule is tested where it lives, in `runtime`.
            orchestrator::Output::Retain(_) => {}
        }
    }

    pub(crate) fn node_at(&self, addr: &NodeAddr) -> usize {
        self.nodes.iter().position(|n| n.addr == *addr).expect("only simulated nodes are known")
    }

    pub(crate) fn answer(&mut self, errand: &Errand, answer: Answer, at: Instant) {
        let (to, life, ticket) = (errand.from, errand.life, errand.ticket);
        let input = Input::Orchestrator(orchestrator::Input::Answer { ticket, answer });
        self.schedule(at.since(self.now), Due::Arrive { to, life, input });
    }

    fn execute(&mut self, errand: Errand) {
        let deadline = errand.sent_at + errand.limit;
        let site = (Site::Process(errand.from), Site::Node(errand.node));
        let life = self.nodes[errand.node].life;
        let late = errand.not_after.is_some_and(|end| self.now > end);
        if self.net.is_cut(site.0, site.1) || self.net.is_cut(site.1, site.0) {
            self.answer(&errand, Answer::Failed(NodeFault::TimedOut), deadline);
        } else if life == Life::Dead {
            self.answer(&errand, Answer::Failed(NodeFault::Refused), self.now);
        } else if late {
            self.answer(&errand, Answer::Failed(NodeFault::Expired), self.now);
        } else if life == Life::Stopped {
            self.answer(&errand, Answer::Failed(NodeFault::TimedOut), deadline);
            // Its bytes wait in the socket of the stopped process.
            if self.rng.permille(500) {
                self.asleep.push(errand);
            }
        } else {
            let view = self.obey(errand.node, &errand.command);
            let back = self.now + Duration::from_micros(self.rng.range(200, 900));
            self.answer(&errand, Answer::Done { view, rewrite_error: None }, back);
        }
    }

    pub(crate) fn obey(&mut self, node: usize, command: &Command) -> vedette_model::NodeView {
        match command {
            Command::Inspect => {}
            Command::Promote => {
                self.nodes[node].promote(&mut self.rng);
                let addr = self.nodes[node].addr.clone();
                self.see(&Seen::Promoted(&addr));
            }
            Command::Follow { master, .. } => self.nodes[node].follow(master),
        }
        self.view(node)
    }

    /// Writes a line of the trace.
    pub(crate) fn note(&mut self, index: usize, text: &str) {
        if self.trace.is_some() {
            let who = self.processes[index].sender.id.clone();
            self.line(&who, text);
        }
    }

    pub(crate) fn line(&mut self, who: &str, text: &str) {
        let at = self.now;
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{at:?}  {who:<8} {text}"));
        }
    }

    /// The record a majority of voters has on disk.
    pub fn newest(&self) -> Option<&GroupRecord> {
        self.chosen.newest.as_ref()
    }

    /// Whether all is well now.
    ///
    /// # Errors
    /// What is not.
    pub fn well(&self) -> Result<(), String> {
        let newest = self.newest();
        invariants::all_is_well_in_the_end(newest, &self.nodes, &self.processes, &self.group)
    }
}

pub(crate) fn describe(record: &GroupRecord) -> String {
    let failover = record.failover.as_ref().map_or_else(String::new, |f| {
        format!(", failover to {} in epoch {} led by {}", f.target, f.epoch, f.leader)
    });
    let (revision, epoch, master) = (record.revision, record.epoch, &record.master);
    let members = record.members.len();
    format!("revision {revision}: epoch {epoch}, master {master}, {members} members{failover}")
}
