//! The bus and the network: delays, drops, repeats, reorders, cuts, and delivers late.

use crate::invariants::Seen;
use crate::node::Life;
use crate::process::{Input, Role};
use crate::world::{Conn, Due, Message, World};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use vedette_model::{Fact, NodeFault, NodeState};
use vedette_protocol::prober::{self, LinkEvent, PingReply};
use vedette_protocol::{orchestrator, voter};
use vedette_wire::Header;

/// An end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// A process of ours.
    Process(usize),
    /// A Redis node.
    Node(usize),
}

/// What is wrong with the network at the moment.
#[derive(Debug, Default)]
pub struct Net {
    /// Directed paths that carry nothing.
    pub cut: BTreeSet<(Site, Site)>,
    /// Messages lost, of a thousand.
    pub drop_permille: u64,
    /// Messages delivered twice, of a thousand.
    pub repeat_permille: u64,
    /// Messages delivered up to five seconds late, of a thousand.
    pub late_permille: u64,
    /// Writes that take long, of a thousand.
    pub slow_disk_permille: u64,
    /// Messages that wait for a cut to heal: a cut between bus servers delivers late, not never.
    pub(crate) held: Vec<(usize, usize, Message)>,
}

impl Net {
    /// Whether nothing gets from one to the other.
    pub fn is_cut(&self, from: Site, to: Site) -> bool {
        self.cut.contains(&(from, to))
    }
}

impl World {
    /// Publishes a fact: encodes it once, and decodes it again at every receiver.
    pub(crate) fn publish(&mut self, from: usize, fact: &Fact) {
        self.observe(from, fact);
        let subject = self.subjects.of(fact).expect("published facts have a subject");
        let message = self.message(from, &subject, fact, vedette_wire::wants_reply(fact.kind()));
        for to in 0..self.processes.len() {
            let hears = |role: &Role| role.hears(fact.kind());
            if self.processes[to].role.as_ref().is_some_and(hears) {
                self.send(from, to, &message);
            }
        }
    }

    pub(crate) fn reply(&mut self, from: usize, to: &str, fact: &Fact) {
        let subjects = &self.subjects;
        let receiver = self.processes.iter().position(|p| subjects.reply(&p.sender) == to);
        let message = self.message(from, to, fact, false);
        if let Some(receiver) = receiver {
            self.send(from, receiver, &message);
        }
    }

    fn message(&mut self, from: usize, subject: &str, fact: &Fact, wants_reply: bool) -> Message {
        let process = &mut self.processes[from];
        process.sequence += 1;
        let header = Header {
            kind: fact.kind(),
            sender: process.sender.clone(),
            sequence: process.sequence,
            sent_at_ms: 0,
            traceparent: None,
        };
        let reply_to = wants_reply.then(|| Rc::from(self.subjects.reply(&process.sender)));
        Message {
            subject: Rc::from(subject),
            headers: header.to_pairs().into(),
            payload: vedette_wire::encode(fact).expect("facts fit a message").into(),
            reply_to,
        }
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        if self.net.is_cut(Site::Process(from), Site::Process(to)) {
            if self.rng.permille(500) {
                self.net.held.push((from, to, message.clone()));
            }
            return;
        }
        if self.rng.permille(self.net.drop_permille) {
            return;
        }
        let copies = if self.rng.permille(self.net.repeat_permille) { 2 } else { 1 };
        for _ in 0..copies {
            let late = self.rng.permille(self.net.late_permille);
            let micros =
                if late { self.rng.range(1_000, 5_000_000) } else { self.rng.range(80, 600) };
            let due = Due::Deliver { to, message: message.clone() };
            self.schedule(Duration::from_micros(micros), due);
        }
    }

    /// Delivers what waited for cuts that are no more.
    pub(crate) fn deliver_held(&mut self) {
        for (from, to, message) in std::mem::take(&mut self.net.held) {
            if self.net.is_cut(Site::Process(from), Site::Process(to)) {
                self.net.held.push((from, to, message));
            } else {
                let after = Duration::from_micros(self.rng.range(100, 3_000));
                self.schedule(after, Due::Deliver { to, message });
            }
        }
    }

    pub(crate) fn deliver(&mut self, to: usize, message: &Message) {
        let lookup = |name: &str| {
            let found = message.headers.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| value.clone())
        };
        let (subject, payload) = (&message.subject, &message.payload);
        let decoded = vedette_wire::decode_message(&self.subjects, subject, lookup, payload);
        let (_, fact) = decoded.expect("what we encode we decode");
        let reply_to = message.reply_to.as_ref().map(ToString::to_string);
        let replied = **subject == self.subjects.reply(&self.processes[to].sender);
        let Some(role) = &self.processes[to].role else { return };
        if !replied && !role.hears(fact.kind()) {
            return;
        }
        let input = match role {
            Role::Prober(_) => Input::Prober(prober::Input::Fact(fact)),
            Role::Voter(_) => Input::Voter(voter::Input::Fact { fact, reply_to }),
            Role::Orchestrator(_) => {
                Input::Orchestrator(orchestrator::Input::Fact { fact, reply_to })
            }
        };
        self.push(to, input);
    }

    fn observe(&mut self, from: usize, fact: &Fact) {
        if let Fact::SdownReport(report) = fact
            && matches!(report.state, NodeState::Down(_))
        {
            self.see(&Seen::ReportedDown(&report.prober, report.epoch, &report.node));
        }
        if let Fact::MasterRecord(master) = fact {
            self.see(&Seen::Announced(master));
        }
        if self.trace.is_some()
            && let Some(text) = tell(fact)
        {
            self.note(from, &text);
        }
    }

    pub(crate) fn prober_output(&mut self, index: usize, output: prober::Output) {
        match output {
            prober::Output::Publish(fact) => self.publish(index, &fact),
            prober::Output::Connect { watch, attempt, .. } => {
                let node = self.node_at(&watch.node);
                self.conns.remove(&(index, node));
                let (event, millis) = match self.nodes[node].life {
                    _ if self.path_is_cut(index, node) => {
                        (LinkEvent::ConnectFailed(NodeFault::TimedOut), 1_000)
                    }
                    Life::Dead => (LinkEvent::ConnectFailed(NodeFault::Refused), 0),
                    Life::Stopped => (LinkEvent::ConnectFailed(NodeFault::TimedOut), 1_000),
                    Life::Up => {
                        let node_life = self.nodes[node].incarnation;
                        self.conns.insert((index, node), Conn { attempt, node_life });
                        (LinkEvent::Connected, 0)
                    }
                };
                let after = Duration::from_micros(millis * 1_000 + self.rng.range(150, 500));
                self.link_event(index, node, attempt, event, after);
            }
            prober::Output::Ping { watch } => {
                let node = self.node_at(&watch.node);
                self.ask(index, node, LinkEvent::Pong(PingReply::Pong));
            }
            prober::Output::Info { watch } => {
                let node = self.node_at(&watch.node);
                let view = self.view(node);
                self.ask(index, node, LinkEvent::Info(Ok(view)));
            }
            prober::Output::Forget { watch } => {
                let node = self.node_at(&watch.node);
                self.conns.remove(&(index, node));
            }
        }
    }

    fn path_is_cut(&self, process: usize, node: usize) -> bool {
        let (a, b) = (Site::Process(process), Site::Node(node));
        self.net.is_cut(a, b) || self.net.is_cut(b, a)
    }

    /// A question over an open connection: answered if the same life of the node is there.
    fn ask(&mut self, index: usize, node: usize, event: LinkEvent) {
        let Some(conn) = self.conns.get(&(index, node)).copied() else { return };
        let there = self.nodes[node].incarnation == conn.node_life;
        if there && self.nodes[node].life == Life::Up && !self.path_is_cut(index, node) {
            let after = Duration::from_micros(self.rng.range(150, 700));
            self.link_event(index, node, conn.attempt, event, after);
        }
    }

    pub(crate) fn link_event(
        &mut self,
        index: usize,
        node: usize,
        attempt: u64,
        what: LinkEvent,
        after: Duration,
    ) {
        let node = self.nodes[node].addr.clone();
        let watch = prober::Watch { group: self.group.clone(), node };
        let life = self.processes[index].sender.incarnation;
        let input = Input::Prober(prober::Input::Link { watch, attempt, what });
        self.schedule(after, Due::Arrive { to: index, life, input });
    }
}

/// A fact as a line of the trace; none for those that come all the time.
fn tell(fact: &Fact) -> Option<String> {
    if let Fact::Event(event) = fact {
        Some(format!("{}  {}  ({})", event.name, event.payload, event.cause))
    } else if let Fact::FailoverStep(step) = fact {
        Some(format!("step {:?}", step.step))
    } else if let Fact::Candidacy(candidacy) = fact {
        Some(format!("stands with ballot {} for {:?}", candidacy.ballot, candidacy.purpose))
    } else if let Fact::Proposal(proposal) = fact {
        let record = crate::world::describe(&proposal.record);
        Some(format!("proposes under {}: {record}", proposal.ballot))
    } else if let Fact::MasterRecord(master) = fact {
        Some(format!("announces {} of epoch {}", master.master, master.epoch))
    } else {
        None
    }
}
