//! The bus and the network: delays, drops, repeats, reorders, cuts, and delivers late.

use crate::invariants::Seen;
use crate::process::{Input, Role};
use crate::world::{Due, World};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;
use vedette_model::{Fact, NodeState, Verb};
use vedette_protocol::{orchestrator, prober, voter};
use vedette_wire::Header;

/// An end of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Site {
    /// A process of ours.
    Process(usize),
    /// A Redis node.
    Node(usize),
}

/// A message as its receivers get it: encoded once, and decoded once for all of them.
#[derive(Debug)]
pub(crate) struct Packet {
    fact: Fact,
    reply_to: Option<String>,
}

/// What is wrong with the network and the disks at the moment.
#[derive(Debug, Clone, Default)]
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
    /// Voters whose disk takes nothing more.
    pub failing_disks: BTreeSet<usize>,
    /// Messages that wait for a cut to heal: a cut between bus servers delivers late, not never.
    pub(crate) held: Vec<(usize, usize, Option<u64>, Rc<Packet>)>,
}

impl Net {
    /// Whether nothing gets from one to the other.
    pub fn is_cut(&self, from: Site, to: Site) -> bool {
        !self.cut.is_empty() && self.cut.contains(&(from, to))
    }

    /// Whether a connection between the two is of no use.
    pub fn is_broken(&self, a: Site, b: Site) -> bool {
        self.is_cut(a, b) || self.is_cut(b, a)
    }
}

/// Where people's answers go.
const PEOPLE: &str = "people";

impl World {
    /// Somebody who stands beside these processes of ours asks them something, or tells them to do
    /// something; see [`World::answers`].
    pub fn say_to(&mut self, beside: &[Site], fact: &Fact) {
        self.line("people", || format!("say {fact}"));
        if let Fact::Instruction(instruction) = fact
            && let Verb::Switchover { epoch, .. } | Verb::Failover { epoch } = &instruction.verb
            && let Some(group) = instruction.group.as_ref().and_then(|name| self.names.get(name))
        {
            self.see(*group, &Seen::Wanted(*epoch));
        }
        for site in beside {
            let Site::Process(to) = *site else { panic!("{site:?} is not a process") };
            let (fact, reply_to) = (fact.clone(), Some(PEOPLE.to_string()));
            let life = self.processes[to].sender.incarnation;
            self.deliver(to, Some(life), &Packet { fact, reply_to });
        }
    }

    /// Publishes a fact to those who listen.
    pub(crate) fn publish(&mut self, from: usize, fact: &Fact) {
        self.observe(from, fact);
        let subject = self.subjects.of(fact).expect("published facts have a subject");
        let heard = |role: &Role| role.hears(fact.kind());
        let wanted = self.processes.iter().any(|p| p.role.as_ref().is_some_and(heard));
        let packet =
            self.packet(from, &subject, fact, vedette_wire::wants_reply(fact.kind()), wanted);
        let Some(packet) = packet else { return };
        for to in 0..self.processes.len() {
            if self.processes[to].role.as_ref().is_some_and(heard) {
                self.send(from, to, None, &packet);
            }
        }
    }

    pub(crate) fn reply(&mut self, from: usize, to: &str, fact: &Fact) {
        if to == PEOPLE {
            self.tell_fact(from, fact);
            self.answers.push((Site::Process(from), fact.clone()));
            return;
        }
        let Some(receiver) = self.processes.iter().position(|p| *p.mailbox == *to) else { return };
        let life = self.processes[receiver].sender.incarnation;
        if let Some(packet) = self.packet(from, to, fact, false, true) {
            self.send(from, receiver, Some(life), &packet);
        }
    }

    /// Everything that is said goes through the real encoder, and back if anybody listens.
    fn packet(
        &mut self,
        from: usize,
        subject: &str,
        fact: &Fact,
        wants_reply: bool,
        wanted: bool,
    ) -> Option<Rc<Packet>> {
        let payload = vedette_wire::encode(fact).expect("facts fit a message");
        let process = &mut self.processes[from];
        process.sequence += 1;
        if !wanted {
            return None;
        }
        let header = Header {
            kind: fact.kind(),
            sender: process.sender.clone(),
            sequence: process.sequence,
            sent_at_ms: 0,
            traceparent: None,
            tracestate: None,
        };
        let mut headers = header.to_pairs();
        let lookup = |name: &str| {
            let found = headers.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| value.clone())
        };
        let decoded = vedette_wire::decode_message(&self.subjects, subject, lookup, &payload);
        headers.clear();
        let (_, fact) = decoded.expect("what we encode we decode");
        let reply_to = wants_reply.then(|| process.mailbox.to_string());
        Some(Rc::new(Packet { fact, reply_to }))
    }

    fn send(&mut self, from: usize, to: usize, life: Option<u64>, packet: &Rc<Packet>) {
        if self.net.is_cut(Site::Process(from), Site::Process(to)) {
            if self.rng.permille(500) {
                self.net.held.push((from, to, life, Rc::clone(packet)));
            }
            return;
        }
        if self.net.drop_permille > 0 && self.rng.permille(self.net.drop_permille) {
            return;
        }
        let repeated = self.net.repeat_permille > 0 && self.rng.permille(self.net.repeat_permille);
        for _ in 0..=u8::from(repeated) {
            let late = self.net.late_permille > 0 && self.rng.permille(self.net.late_permille);
            let micros =
                if late { self.rng.range(1_000, 5_000_000) } else { self.rng.range(80, 600) };
            let due = Due::Deliver { to, life, packet: Rc::clone(packet) };
            self.schedule(Duration::from_micros(micros), due);
        }
    }

    /// A process connects to another server of the bus.
    pub(crate) fn come_back(&mut self, process: usize) {
        let input = match self.processes[process].role {
            None => return,
            Some(Role::Prober(_)) => Input::Prober(prober::Input::Back),
            Some(Role::Voter(_)) => Input::Voter(voter::Input::Back),
            Some(Role::Orchestrator(_)) => Input::Orchestrator(orchestrator::Input::Back),
        };
        self.push(process, input);
    }

    /// Delivers what waited for cuts that are no more.
    pub(crate) fn deliver_held(&mut self) {
        for (from, to, life, packet) in std::mem::take(&mut self.net.held) {
            if self.net.is_cut(Site::Process(from), Site::Process(to)) {
                self.net.held.push((from, to, life, packet));
            } else {
                let after = Duration::from_micros(self.rng.range(100, 3_000));
                self.schedule(after, Due::Deliver { to, life, packet });
            }
        }
    }

    pub(crate) fn deliver(&mut self, to: usize, life: Option<u64>, packet: &Packet) {
        let process = &self.processes[to];
        let Some(role) = &process.role else { return };
        let takes = life.map_or_else(
            || role.hears(packet.fact.kind()),
            |life| process.sender.incarnation == life,
        );
        if !takes {
            return;
        }
        let (fact, reply_to) = (packet.fact.clone(), packet.reply_to.clone());
        let input = match role {
            Role::Prober(_) => Input::Prober(prober::Input::Fact(fact)),
            Role::Voter(_) => Input::Voter(voter::Input::Fact { fact, reply_to }),
            Role::Orchestrator(_) => {
                Input::Orchestrator(orchestrator::Input::Fact { fact, reply_to })
            }
        };
        self.push(to, input);
    }

    /// What an all-seeing observer makes of a fact that is published.
    fn observe(&mut self, from: usize, fact: &Fact) {
        if let Fact::SdownReport(report) = fact
            && matches!(report.state, NodeState::Down(_))
            && let Some(group) = self.names.get(&report.group).copied()
        {
            self.see(group, &Seen::ReportedDown(&report.prober, report.epoch, &report.node));
        } else if let Fact::MasterRecord(master) = fact
            && let Some(group) = self.names.get(&master.group).copied()
        {
            self.see(group, &Seen::Announced(master));
            self.announced(group, master);
        } else if let Fact::Candidacy(candidacy) = fact
            && let Some(group) = self.names.get(&candidacy.group).copied()
        {
            let ballots = &mut self.processes[from].ballots;
            if ballots.get(&group) != Some(&candidacy.ballot) {
                ballots.insert(group, candidacy.ballot.clone());
                self.see(group, &Seen::Stands(&candidacy.ballot));
            }
        } else if let Fact::Proposal(proposal) = fact
            && let Some(group) = self.names.get(&proposal.record.group).copied()
        {
            self.see(group, &Seen::Proposed(&proposal.ballot, &proposal.record));
        }
        self.tell_fact(from, fact);
    }
}
