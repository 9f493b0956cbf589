//! What goes wrong, and when: drawn from the seed, and carried out.

use crate::net::Site;
use crate::node::{Following, Life};
use crate::rng::Rng;
use crate::world::{Due, NODES, ORCHESTRATORS, PROBERS, VOTERS, World};
use std::time::Duration;
use vedette_model::{Instant, NodeView, ReplicaSeen};
use vedette_protocol::prober::LinkEvent;

/// Harm, or its end.
#[derive(Debug, Clone)]
pub enum Fault {
    /// `kill -9` of the recorded master, or of the given node.
    KillNode(Option<usize>),
    /// A node is started again.
    StartNode(usize),
    /// `SIGSTOP` of the recorded master, or of the given node.
    StopNode(Option<usize>),
    /// `SIGCONT`.
    ContinueNode(usize),
    /// `kill -9` of a process of ours.
    KillProcess(usize),
    /// It is started again.
    StartProcess(usize),
    /// `SIGSTOP` of a process of ours.
    StopProcess(usize),
    /// `SIGCONT`.
    ContinueProcess(usize),
    /// A path carries nothing, in one direction or both.
    Cut(Site, Site, bool),
    /// All paths carry again.
    Heal,
    /// Messages lost, repeated and late, slow writes: of a thousand each.
    Noise(u64, u64, u64, u64),
}

const PROCESSES: usize = PROBERS + VOTERS + ORCHESTRATORS;
/// Faults begin and end.
pub const FAULTS_FROM: Instant = Instant::from_millis(4_000);
/// Everything is healed and started again at this moment, but for one voter in some schedules.
pub const FAULTS_TO: Instant = Instant::from_millis(12_000);

impl World {
    /// Draws this seed's faults. One schedule in four has only one node die, and for good.
    pub fn plan_faults(&mut self) {
        let mut rng = Rng::new(self.rng.next());
        let span = u64::try_from(FAULTS_TO.since(FAULTS_FROM).as_millis()).expect("short");
        let for_good = rng.permille(250);
        let mut plan: Vec<(u64, Fault)> = Vec::new();
        if rng.permille(400) {
            plan.push((0, noise(&mut rng)));
        }
        if for_good {
            plan.push((rng.range(0, span / 2), Fault::KillNode(None)));
        }
        for _ in 0..rng.range(1, 7) {
            let at = rng.range(0, span);
            let until = at + rng.range(20, 3_000);
            let process = usize::try_from(rng.range(0, PROCESSES as u64)).expect("small");
            let node = usize::try_from(rng.range(0, NODES as u64)).expect("small");
            match rng.range(0, if for_good { 4 } else { 7 }) {
                0 => plan.extend([
                    (at, Fault::KillProcess(process)),
                    (until, Fault::StartProcess(process)),
                ]),
                1 => plan.extend([
                    (at, Fault::StopProcess(process)),
                    (until, Fault::ContinueProcess(process)),
                ]),
                2 => {
                    let other = usize::try_from(rng.range(0, PROCESSES as u64)).expect("small");
                    let cut =
                        Fault::Cut(Site::Process(process), Site::Process(other), rng.permille(500));
                    plan.extend([(at, cut), (until, Fault::Heal)]);
                }
                3 => {
                    let cut = Fault::Cut(Site::Process(process), Site::Node(node), false);
                    plan.extend([(at, cut), (until, Fault::Heal)]);
                }
                4 => plan.push((at, Fault::KillNode(None))),
                5 => plan
                    .extend([(at, Fault::KillNode(Some(node))), (until, Fault::StartNode(node))]),
                _ => plan.push((at, Fault::StopNode(rng.permille(300).then_some(node)))),
            }
        }
        for (millis, fault) in plan {
            let at = FAULTS_FROM + Duration::from_millis(millis.min(span - 1));
            self.schedule(at.since(self.now), Due::Fault(fault));
        }
        let end = FAULTS_TO.since(self.now);
        let gone = rng.permille(333).then(|| self.lose_a_voter(&mut rng, end, !for_good));
        self.schedule(end, Due::Fault(Fault::Heal));
        self.schedule(end, Due::Fault(Fault::Noise(0, 0, 0, 0)));
        for process in 0..PROCESSES {
            self.schedule(end, Due::Fault(Fault::ContinueProcess(process)));
            if Some(process) != gone {
                self.schedule(end, Due::Fault(Fault::StartProcess(process)));
            }
        }
        for node in 0..NODES {
            self.schedule(end, Due::Fault(Fault::ContinueNode(node)));
            if !for_good {
                self.schedule(end, Due::Fault(Fault::StartNode(node)));
            }
        }
    }

    /// One voter does not come back, and when all else is well the master dies once more: a
    /// majority is enough, also if one of it was a record behind.
    fn lose_a_voter(&mut self, rng: &mut Rng, end: Duration, master_too: bool) -> usize {
        let voter = PROBERS + usize::try_from(rng.range(0, VOTERS as u64)).expect("small");
        self.schedule(end, Due::Fault(Fault::KillProcess(voter)));
        if master_too {
            let later = end + Duration::from_millis(rng.range(7_000, 7_900));
            self.schedule(later, Due::Fault(Fault::KillNode(None)));
        }
        voter
    }

    pub(crate) fn commit(&mut self, fault: Fault) {
        if self.trace.is_some() {
            let text = format!("{fault:?}");
            self.line("FAULT", &text);
        }
        match fault {
            Fault::KillNode(node) => self.kill_node(node.unwrap_or_else(|| self.master())),
            Fault::StartNode(node) => {
                if self.nodes[node].life == Life::Dead {
                    self.nodes[node].restart(&mut self.rng);
                }
            }
            Fault::StopNode(node) => {
                let node = node.unwrap_or_else(|| self.master());
                if self.nodes[node].life == Life::Up {
                    self.nodes[node].life = Life::Stopped;
                }
            }
            Fault::ContinueNode(node) => self.continue_node(node),
            Fault::KillProcess(process) => self.kill_process(process),
            Fault::StartProcess(process) => {
                if self.processes[process].role.is_none() {
                    self.start_process(process);
                }
            }
            Fault::StopProcess(process) => self.processes[process].stopped = true,
            Fault::ContinueProcess(process) => {
                self.processes[process].stopped = false;
                self.wake(process);
            }
            Fault::Cut(a, b, one_way) => {
                self.net.cut.insert((a, b));
                if !one_way {
                    self.net.cut.insert((b, a));
                }
            }
            Fault::Heal => {
                self.net.cut.clear();
                self.deliver_held();
            }
            Fault::Noise(drop, repeat, late, slow_disk) => {
                self.net.drop_permille = drop;
                self.net.repeat_permille = repeat;
                self.net.late_permille = late;
                self.net.slow_disk_permille = slow_disk;
            }
        }
    }

    /// The recorded master, or the first node while nothing is recorded.
    pub(crate) fn master(&self) -> usize {
        self.newest().map_or(0, |record| self.node_at(&record.master.clone()))
    }

    fn kill_node(&mut self, node: usize) {
        if self.nodes[node].life == Life::Dead {
            return;
        }
        self.nodes[node].life = Life::Dead;
        self.asleep.retain(|errand| errand.node != node);
        let broken: Vec<_> = self.conns.iter().filter(|((_, n), _)| *n == node).collect();
        let broken: Vec<_> = broken.into_iter().map(|((p, _), c)| (*p, c.attempt)).collect();
        for (process, attempt) in broken {
            self.conns.remove(&(process, node));
            let cut = self.net.is_cut(Site::Node(node), Site::Process(process));
            if !cut {
                let after = Duration::from_micros(self.rng.range(300, 5_000));
                self.link_event(process, node, attempt, LinkEvent::Lost, after);
            }
        }
    }

    fn continue_node(&mut self, node: usize) {
        if self.nodes[node].life != Life::Stopped {
            return;
        }
        self.nodes[node].life = Life::Up;
        let errands = std::mem::take(&mut self.asleep);
        for errand in errands {
            if errand.node == node {
                let _ = self.obey(node, &errand.command);
            } else {
                self.asleep.push(errand);
            }
        }
    }

    /// Replication: masters take writes, linked replicas receive them, broken links mend.
    pub(crate) fn live_nodes(&mut self) {
        let before = self.nodes.clone();
        let now = self.now;
        // Clients follow what is announced: only the recorded master is written to.
        let written_to = self.master();
        for index in 0..NODES {
            let written = if index == written_to { self.rng.range(0, 500) } else { 0 };
            let sync = Duration::from_millis(self.rng.range(5, 60));
            let node = &mut self.nodes[index];
            if node.life != Life::Up {
                continue;
            }
            let Some(following) = &mut node.following else {
                node.offset += written;
                if written > 0 {
                    node.saved = node.replid.clone();
                }
                continue;
            };
            let upstream = before.iter().find(|n| n.addr == following.addr);
            let serves = |up: &&crate::node::Node| {
                up.life == Life::Up && up.following.as_ref().is_none_or(|f| f.up)
            };
            let Some(upstream) = upstream.filter(serves).filter(|up| up.addr != node.addr) else {
                lose_link(following, now);
                continue;
            };
            match following.synced_at {
                None => following.synced_at = Some(now + sync),
                Some(at) if now >= at => {
                    following.up = true;
                    following.down_since = None;
                    node.offset = upstream.offset;
                    node.replid = upstream.replid.clone();
                    node.saved = upstream.replid.clone();
                    node.replid2.clone_from(&upstream.replid2);
                }
                Some(_) => {}
            }
        }
    }

    /// A node's `INFO`.
    pub(crate) fn view(&self, index: usize) -> NodeView {
        let node = &self.nodes[index];
        let follows = |n: &&crate::node::Node| {
            let up = n.following.as_ref().is_some_and(|f| f.addr == node.addr && f.up);
            up && n.life == Life::Up
        };
        let seen = |n: &crate::node::Node| ReplicaSeen {
            addr: n.addr.clone(),
            online: true,
            offset: n.offset,
        };
        node.view(self.nodes.iter().filter(follows).map(seen).collect(), self.now)
    }
}

fn lose_link(following: &mut Following, now: Instant) {
    if following.up {
        following.down_since = Some(now);
    }
    following.up = false;
    following.synced_at = None;
}

fn noise(rng: &mut Rng) -> Fault {
    Fault::Noise(rng.range(0, 150), rng.range(0, 150), rng.range(0, 60), rng.range(0, 200))
}
