//! What goes between processes and nodes: a prober's connections, an orchestrator's commands.

use crate::invariants::{Handover, Seen, Truth};
use crate::net::Site;
use crate::node::{Life, Mood, lacks};
use crate::world::{Due, World};
use std::time::Duration;
use vedette_model::{Answer, BallotNumber, Command, Instant, NodeAddr, NodeFault, NodeView, Role};
use vedette_protocol::orchestrator;
use vedette_protocol::prober::{self, LinkEvent, PingReply, RoleReply};

/// A connection of a prober.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Conn {
    pub(crate) attempt: u64,
    node: usize,
    node_life: u64,
}

/// A command under way to a node.
#[derive(Debug, Clone)]
pub(crate) struct Errand {
    from: usize,
    life: u64,
    ticket: u64,
    group: usize,
    ballot: Option<BallotNumber>,
    pub(crate) node: NodeAddr,
    command: Command,
    /// On the sender's clock.
    not_after: Option<Instant>,
    deadline: Instant,
}

fn words(text: &str) -> String {
    text.to_string()
}

/// What a node answers.
pub(crate) type Answerer = fn(&mut World, usize) -> LinkEvent;

/// What lies in the socket of a stopped node, to be answered when it wakes.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    index: usize,
    pub(crate) watch: prober::Watch,
    attempt: u64,
    answer: Answerer,
}

/// `ROLE` says in short what `INFO` does.
fn role(view: &NodeView) -> RoleReply {
    match view.role {
        Role::Master => RoleReply::Master {
            offset: view.offset,
            replicas: view.replicas.len(),
            least: view.replicas.iter().map(|seen| seen.offset).min(),
        },
        Role::Replica => {
            RoleReply::Replica { linked: view.upstream.as_ref().is_some_and(|up| up.link_up) }
        }
    }
}

impl World {
    pub(crate) fn prober_output(&mut self, index: usize, output: prober::Output) {
        match output {
            prober::Output::Publish(fact) => self.publish(index, &fact),
            prober::Output::Connect { watch, attempt, .. } => self.connect(index, watch, attempt),
            prober::Output::Ping { watch } => {
                self.ask(index, watch, |world, node| {
                    let of = &world.nodes[node];
                    LinkEvent::Pong(match of.mood {
                        _ if world.now < of.loaded_at => PingReply::Loading,
                        Mood::Well | Mood::Unresolved => PingReply::Pong,
                        Mood::Busy => PingReply::Busy,
                        Mood::Misconf => PingReply::Misconf,
                        Mood::Denies => PingReply::Denied(words("NOAUTH Authentication required.")),
                    })
                });
            }
            prober::Output::Info { watch } => {
                self.ask(index, watch, |world, node| {
                    LinkEvent::Info(match world.nodes[node].mood {
                        Mood::Busy => Err(NodeFault::Error(words("BUSY"))),
                        Mood::Denies => Err(NodeFault::Denied(words("NOAUTH"))),
                        Mood::Well | Mood::Misconf | Mood::Unresolved => Ok(world.view(node)),
                    })
                });
            }
            prober::Output::Role { watch } => {
                self.ask(index, watch, |world, node| {
                    LinkEvent::Role(match world.nodes[node].mood {
                        Mood::Busy => RoleReply::Unclear,
                        Mood::Denies => RoleReply::Refused,
                        Mood::Well | Mood::Misconf | Mood::Unresolved => role(&world.view(node)),
                    })
                });
            }
            prober::Output::Forget { watch } => {
                self.processes[index].conns.remove(&watch);
            }
        }
    }

    fn connect(&mut self, index: usize, watch: prober::Watch, attempt: u64) {
        self.processes[index].conns.remove(&watch);
        let refused = (LinkEvent::ConnectFailed(NodeFault::Refused), 0);
        let timed_out = (LinkEvent::ConnectFailed(NodeFault::TimedOut), 900);
        let (event, millis) = match self.occupants.get(&watch.node).copied() {
            None => refused,
            Some(node) if self.net.is_broken(Site::Process(index), Site::Node(node)) => timed_out,
            Some(node) => match (self.nodes[node].mood, self.nodes[node].life) {
                (Mood::Unresolved, _) => {
                    let fault = NodeFault::Unresolved(words("no such host"));
                    (LinkEvent::ConnectFailed(fault), 5)
                }
                (_, Life::Dead) => refused,
                (Mood::Denies, Life::Up) => {
                    let fault = NodeFault::Denied(words("WRONGPASS"));
                    (LinkEvent::ConnectFailed(fault), 0)
                }
                // The kernel accepts for a stopped process.
                (Mood::Well | Mood::Busy | Mood::Misconf, Life::Up) | (_, Life::Stopped) => {
                    let node_life = self.nodes[node].incarnation;
                    let conn = Conn { attempt, node, node_life };
                    self.processes[index].conns.insert(watch.clone(), conn);
                    (LinkEvent::Connected, 0)
                }
            },
        };
        let after = Duration::from_micros(millis * 1_000 + self.rng.range(150, 500));
        self.link_event(index, watch, attempt, event, after);
    }

    /// A question over an open connection: answered if the same life of the node is there.
    fn ask(&mut self, index: usize, watch: prober::Watch, answer: Answerer) {
        let conn = self.processes[index].conns.get(&watch).copied();
        let Some(Conn { attempt, node, node_life }) = conn else { return };
        let there = self.nodes[node].incarnation == node_life;
        let broken = self.net.is_broken(Site::Process(index), Site::Node(node));
        if !there || broken {
            return;
        }
        if self.nodes[node].life == Life::Stopped {
            self.unanswered.push(Question { index, watch, attempt, answer });
        } else if self.nodes[node].life == Life::Up {
            let event = answer(self, node);
            let after = Duration::from_micros(self.rng.range(150, 700));
            self.link_event(index, watch, attempt, event, after);
        }
    }

    fn link_event(
        &mut self,
        to: usize,
        watch: prober::Watch,
        attempt: u64,
        what: LinkEvent,
        after: Duration,
    ) {
        let life = self.processes[to].sender.incarnation;
        let due = match what {
            LinkEvent::Pong(reply) => Due::Pong { to, life, watch, attempt, reply },
            LinkEvent::Connected
            | LinkEvent::ConnectFailed(_)
            | LinkEvent::Lost
            | LinkEvent::Name(_)
            | LinkEvent::Info(_)
            | LinkEvent::Role(_) => Due::Link { to, life, watch, attempt, what: Box::new(what) },
        };
        self.schedule(after, due);
    }

    /// All connections to a node break, and whoever can be told is told.
    pub(crate) fn break_connections(&mut self, node: usize) {
        for process in 0..self.processes.len() {
            let conns = &mut self.processes[process].conns;
            let broken: Vec<_> = conns.iter().filter(|(_, conn)| conn.node == node).collect();
            let broken: Vec<_> = broken.into_iter().map(|(w, conn)| (w.clone(), *conn)).collect();
            conns.retain(|_, conn| conn.node != node);
            if self.net.is_cut(Site::Node(node), Site::Process(process)) {
                continue;
            }
            for (watch, conn) in broken {
                let after = Duration::from_micros(self.rng.range(300, 5_000));
                self.link_event(process, watch, conn.attempt, LinkEvent::Lost, after);
            }
        }
    }

    pub(crate) fn send_command(
        &mut self,
        index: usize,
        ticket: u64,
        node: NodeAddr,
        command: Command,
        not_after: Option<Instant>,
        limit: Duration,
    ) {
        let group = self.group_of_command(index, &node);
        let ballot = self.processes[index].ballots.get(&group).cloned();
        if let Some(ballot) = &ballot {
            if command == Command::Inspect {
                self.see(group, &Seen::Inspects(ballot, &node));
            } else {
                self.see(group, &Seen::Commanded(ballot, &node, &command));
            }
        }
        self.tell_command(index, &node, &command);
        let errand = Errand {
            from: index,
            life: self.processes[index].sender.incarnation,
            ticket,
            group,
            ballot,
            node,
            command,
            not_after,
            deadline: self.now + limit,
        };
        let connect = Duration::from_micros(self.rng.range(100, 400));
        self.schedule(connect, Due::Execute(Box::new(errand)));
    }

    /// A command does not say for which group it is: for the one that has the node as a member,
    /// and that this process stands for.
    fn group_of_command(&self, index: usize, node: &NodeAddr) -> usize {
        let stands = self.processes[index].ballots.keys().copied();
        let has = |g: &usize| self.committed(*g).is_some_and(|r| r.member(node).is_some());
        let at_home = || self.occupants.get(node).map(|n| self.nodes[*n].group);
        if self.groups.len() == 1 {
            return 0;
        }
        let mut stands = stands.filter(has);
        stands.next().or_else(at_home).unwrap_or(0)
    }

    fn answer(&mut self, errand: &Errand, answer: Answer, at: Instant) {
        let (to, life, ticket) = (errand.from, errand.life, errand.ticket);
        let input = orchestrator::Input::Answer { ticket, answer };
        self.schedule(at.since(self.now), Due::Answer { to, life, input: Box::new(input) });
    }

    pub(crate) fn execute(&mut self, errand: Errand) {
        let local = self.processes[errand.from].clock.local(self.now);
        let late = errand.not_after.is_some_and(|end| local > end);
        let failed = |fault| Answer::Failed(fault);
        let Some(node) = self.occupants.get(&errand.node).copied() else {
            return self.answer(&errand, failed(NodeFault::Refused), self.now);
        };
        let (life, mood) = (self.nodes[node].life, self.nodes[node].mood);
        let loading = self.now < self.nodes[node].loaded_at;
        let changes = errand.command != Command::Inspect;
        if self.net.is_broken(Site::Process(errand.from), Site::Node(node)) {
            self.answer(&errand, failed(NodeFault::TimedOut), errand.deadline);
        } else if mood == Mood::Unresolved {
            self.answer(&errand, failed(NodeFault::Unresolved(words("no such host"))), self.now);
        } else if life == Life::Dead {
            self.answer(&errand, failed(NodeFault::Refused), self.now);
        } else if late {
            self.answer(&errand, failed(NodeFault::Expired), self.now);
        } else if life == Life::Stopped {
            self.answer(&errand, failed(NodeFault::TimedOut), errand.deadline);
            // Its bytes wait in the socket of the stopped process.
            if self.rng.permille(500) {
                self.asleep.push(errand);
            }
        } else if mood == Mood::Denies {
            self.answer(&errand, failed(NodeFault::Denied(words("NOAUTH"))), self.now);
        } else if mood == Mood::Busy {
            self.answer(&errand, failed(NodeFault::Error(words("BUSY"))), self.now);
        } else if loading && changes {
            self.answer(&errand, failed(NodeFault::Error(words("LOADING"))), self.now);
        } else if matches!(&errand.command, Command::Promote { run_id: Some(wanted) }
            if *wanted != self.nodes[node].run_id)
        {
            self.answer(&errand, failed(NodeFault::Replaced), self.now);
        } else {
            self.obey(node, &errand, false);
            let view = self.view(node);
            if let (Some(ballot), false) = (&errand.ballot, changes) {
                let truth = self.truth(node, errand.group);
                self.see(errand.group, &Seen::Inspected(ballot, &errand.node, &view, truth));
            }
            let rewrites = matches!(errand.command, Command::Follow { .. } | Command::Save);
            let rewrite_error = (rewrites && self.nodes[node].is.read_only_config)
                .then(|| words("ERR Rewriting config file: Read-only file system"));
            let back = self.now + Duration::from_micros(self.rng.range(200, 900));
            self.answer(&errand, Answer::Done { view, rewrite_error, changed_by: None }, back);
        }
    }

    fn truth(&self, node: usize, group: usize) -> Truth {
        let (of, home) = (&self.nodes[node], &self.groups[group]);
        let ours = |(branch, _): &(u32, u64)| home.acknowledged.contains_key(branch);
        Truth { own: of.group == group || of.data.iter().any(ours), empty: of.is_empty() }
    }

    /// A node does what it is told.
    fn obey(&mut self, node: usize, errand: &Errand, slept: bool) {
        if errand.command != Command::Inspect
            && let Some(ballot) = &errand.ballot
        {
            self.see(errand.group, &Seen::Executed(ballot, &errand.node, &errand.command, slept));
        }
        match &errand.command {
            Command::Inspect => {}
            Command::Promote { .. } => {
                self.see_handover(node, errand, slept);
                self.promote(node);
            }
            Command::PauseWrites { for_ms } => {
                let until = self.now + Duration::from_millis(*for_ms);
                self.pause_writes(node, until.max(self.nodes[node].paused_until));
            }
            Command::Unpause => self.pause_writes(node, Instant::ZERO),
            Command::Save => self.nodes[node].rewrite(),
            Command::Freeze => {
                self.see_freeze(node, errand.group);
                self.freeze(node);
            }
            Command::Follow { master, cut_clients, .. } => {
                if *cut_clients {
                    self.pause_writes(node, Instant::ZERO);
                }
                self.follow(node, master);
            }
        }
    }

    fn see_freeze(&mut self, node: usize, group: usize) {
        let plan = self.committed(group).and_then(|record| record.failover.as_ref());
        let epoch = plan.filter(|plan| plan.failed == self.nodes[node].addr).map(|p| p.epoch);
        if let Some(epoch) = epoch {
            let life = self.nodes[node].incarnation;
            self.see(group, &Seen::Froze(epoch, life));
        }
    }

    /// Shows the observers what is true of the old master when a switchover's target is promoted.
    fn see_handover(&mut self, target: usize, errand: &Errand, slept: bool) {
        let plan = self.committed(errand.group).and_then(|record| record.failover.clone());
        let Some(plan) = plan.filter(|plan| plan.is_handover() && !slept) else { return };
        let Some(old) = self.occupants.get(&plan.failed).copied() else { return };
        if self.nodes[old].life == Life::Dead {
            return;
        }
        self.catch_up(errand.group);
        let handover = Handover {
            epoch: plan.epoch,
            life: self.nodes[old].incarnation,
            takes_writes: self.nodes[old].is_master(),
            lacks: lacks(&self.nodes[target].data, &self.nodes[old].data),
        };
        self.see(errand.group, &Seen::HandsOver(handover));
    }

    /// A stopped node goes on: it first does what lay in its sockets.
    pub(crate) fn wake_up(&mut self, node: usize) {
        let addr = self.nodes[node].addr.clone();
        for question in std::mem::take(&mut self.unanswered) {
            if question.watch.node != addr {
                self.unanswered.push(question);
                continue;
            }
            let Question { index, watch, attempt, answer } = question;
            let conn = self.processes[index].conns.get(&watch);
            if conn.is_some_and(|conn| conn.attempt == attempt) {
                self.ask(index, watch, answer);
            }
        }
        for errand in std::mem::take(&mut self.asleep) {
            if errand.node == addr {
                self.obey(node, &errand, true);
            } else {
                self.asleep.push(errand);
            }
        }
    }
}
