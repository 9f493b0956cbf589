//! How a world and its processes begin, and how a process ends.

use crate::clock::Clock;
use crate::invariants::Invariants;
use crate::node::Node;
use crate::options::{GroupOptions, Options};
use crate::process::{Process, Role};
use crate::world::{Group, World};
use std::collections::{BTreeMap, VecDeque};
use vedette_model::{
    GroupName, Instant, NodeAddr, OrchestratorId, Place, ProberId, Roster, RosterVersion, Sender,
    Service, VoterId,
};
use vedette_protocol::roster::Meta;
use vedette_protocol::{orchestrator, prober, voter};

impl World {
    /// A world in which everything has just been started.
    pub fn new(options: Options) -> Self {
        let voter = |i: usize| VoterId::parse(&format!("v{}", i + 1)).expect("valid");
        let voters = (0..options.voters).map(voter).collect();
        let roster = Roster::parse(RosterVersion(1), voters).expect("distinct");
        let mut world = Self::empty(options, roster);
        for group in world.options.groups.clone() {
            world.found(&group);
        }
        let services = [
            (Service::Prober, "p", world.options.probers),
            (Service::Voter, "v", world.options.voters),
            (Service::Orchestrator, "o", world.options.orchestrators),
        ];
        for (service, letter, count) in services {
            for i in 0..count {
                let index = world.add_process(service, &format!("{letter}{}", i + 1), i);
                // The system was founded before the story begins.
                let founded = || Meta::first(world.roster.clone());
                world.processes[index].meta = (service == Service::Voter).then(founded);
                world.birth(index);
            }
        }
        for i in world.options.voters..world.options.voters + world.options.spare_voters {
            let index = world.add_process(Service::Voter, &format!("v{}", i + 1), i);
            world.birth(index);
        }
        world
    }

    /// Starts the nodes of a group.
    fn found(&mut self, group: &GroupOptions) {
        let number = self.groups.len();
        let name = GroupName::parse(&group.name).expect("a valid group name");
        let addr = |i: usize| {
            let host = format!("10.{}.{}.{}", number / 250, number % 250, i + 1);
            NodeAddr::new(&host, 6379).expect("valid")
        };
        let first = self.nodes.len();
        for (i, is) in group.nodes.iter().enumerate() {
            let master = (i > 0).then(|| addr(0));
            let mut node = Node::new(number, addr(i), master, is.clone(), &mut self.rng);
            node.written_until = self.now;
            self.occupants.insert(addr(i), self.nodes.len());
            self.nodes.push(node);
        }
        self.names.insert(name.clone(), number);
        self.groups.push(Group {
            name,
            settings: group.settings.clone(),
            nodes: (first..self.nodes.len()).collect(),
            writes_to: Some(first),
            acknowledged: BTreeMap::new(),
            announced: None,
            invariants: Invariants::new(&self.roster),
        });
        for node in first + 1..self.nodes.len() {
            self.reach_for_master(node, 1, 60);
        }
    }

    /// A dead process with an empty disk.
    pub(crate) fn add_process(&mut self, service: Service, id: &str, number: usize) -> usize {
        let place = &self.options.places[number % self.options.places.len()];
        let drift = i64::from(self.options.drift_ppm);
        let drawn = self.rng.next() % (2 * drift.unsigned_abs() + 1);
        let ppm = i32::try_from(drawn.cast_signed() - drift).expect("a drift is small");
        let origin = Instant::from_millis(self.rng.range(0, 1_000_000));
        self.processes.push(Process {
            sender: Sender { service, id: id.into(), incarnation: 0 },
            role: None,
            stopped: false,
            inbox: VecDeque::new(),
            held: None,
            conns: BTreeMap::new(),
            syncing: false,
            disk: BTreeMap::new(),
            meta: None,
            sequence: 0,
            timer: None,
            clock: Clock::new(self.now, origin, ppm),
            place: Place::parse(place).expect("a valid place"),
            mailbox: "".into(),
            ballots: BTreeMap::new(),
            shown: BTreeMap::new(),
        });
        self.processes.len() - 1
    }

    /// Starts a process anew from what its disk holds.
    pub(crate) fn birth(&mut self, index: usize) {
        let incarnation = self.rng.next();
        let process = &mut self.processes[index];
        process.sender.incarnation = incarnation;
        process.sequence = 0;
        process.stopped = false;
        process.mailbox = self.subjects.reply(&process.sender).into();
        let now = process.clock.local(self.now);
        let (sender, place) = (process.sender.clone(), process.place.clone());
        let roster = self.roster.clone();
        let role = match sender.service {
            Service::Prober => {
                let id = ProberId::parse(&sender.id).expect("valid");
                Role::Prober(prober::Prober::new(prober::Config { sender, id, place }, now))
            }
            Service::Voter => {
                let id = VoterId::parse(&sender.id).expect("valid");
                let config = voter::Config { sender, id, place, roster };
                let stored = process.disk.values().cloned().collect();
                Role::Voter(voter::Voter::new(config, process.meta.clone(), stored, now))
            }
            Service::Orchestrator => {
                let id = OrchestratorId::parse(&sender.id).expect("valid");
                let declared = |g: &Group| {
                    (g.name.clone(), self.nodes[g.nodes[0]].addr.clone(), g.settings.clone())
                };
                let groups = self.groups.iter().map(declared).collect();
                let config = orchestrator::Config { sender, id, place, roster, groups };
                Role::Orchestrator(orchestrator::Orchestrator::new(config, now))
            }
            Service::Notifier | Service::Gateway | Service::Client => unreachable!("not simulated"),
        };
        self.processes[index].role = Some(role);
        self.wake(index);
    }

    /// Ends a process: what was not synced is lost.
    pub(crate) fn death(&mut self, index: usize) {
        let process = &mut self.processes[index];
        process.role = None;
        process.stopped = false;
        process.syncing = false;
        process.inbox.clear();
        process.held = None;
        process.conns.clear();
        process.timer = None;
        process.ballots.clear();
        process.shown.clear();
    }
}
