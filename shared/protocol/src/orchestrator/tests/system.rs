//! Three voters, as many groups as wanted, and nodes that do as they are told.

use crate::Machine;
use crate::orchestrator::{Config, Input, Orchestrator, Output};
use crate::register::Acceptor;
use crate::tests::{
    at, ballot, history, master_view, orchestrator, place, record, replica_view, roster, run_id,
    voter,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{
    Answer, Command, DigestReply, EventName, Evidence, Fact, GroupName, GroupRecord, Health,
    Instruction, NodeAddr, NodeFault, NodeView, OdownVerdict, Opinion, Outcome, Proposal,
    RecordCommitted, Revision, Role, Sender, Service, Setting, Settings, Step, Upstream, Verb,
};

/// Group number `g`, and its node number `n`.
pub(super) fn name(g: usize) -> GroupName {
    GroupName::parse(&format!("g{g}")).unwrap()
}

pub(super) fn addr(g: usize, n: usize) -> NodeAddr {
    NodeAddr::parse(&format!("10.{}.{}.{n}:6379", g / 250, g % 250)).unwrap()
}

/// The record of group `g` with three nodes.
pub(super) fn three(g: usize) -> GroupRecord {
    let mut record = record(3);
    record.group = name(g);
    record.master = addr(g, 1);
    for (n, member) in record.members.iter_mut().enumerate() {
        member.addr = addr(g, n + 1);
    }
    record
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Down {
    /// Nobody listens there.
    Refused,
    /// The machine is gone.
    Silent,
}

pub(super) struct System {
    pub orchestrator: Orchestrator,
    pub now: u64,
    /// What was said, and when.
    pub said: Vec<(u64, Output)>,
    pub nodes: BTreeMap<NodeAddr, NodeView>,
    pub down: BTreeMap<NodeAddr, Down>,
    /// Voters that answer.
    pub voters: BTreeSet<usize>,
    acceptors: BTreeMap<(GroupName, usize), Acceptor>,
    committed: BTreeMap<GroupName, RecordCommitted>,
    /// Whose master is called down, by epoch and address, on which evidence.
    odown: BTreeMap<GroupName, (GroupRecord, Evidence)>,
    queue: BTreeMap<(u64, u64), Input>,
    serial: u64,
}

impl System {
    /// One orchestrator, which has heard of the records after 400 ms and has nothing to do.
    pub fn new(records: Vec<GroupRecord>) -> Self {
        let mut system = Self::starting(records);
        system.run(400);
        system
    }

    pub fn starting(records: Vec<GroupRecord>) -> Self {
        Self::declaring(records, vec![])
    }

    pub fn declaring(
        records: Vec<GroupRecord>,
        groups: Vec<(GroupName, NodeAddr, Settings)>,
    ) -> Self {
        let config = Config {
            sender: Sender::parse(Service::Orchestrator, "o1", 1).unwrap(),
            id: orchestrator(1),
            place: place("here"),
            roster: roster(3),
            groups,
        };
        let mut system = Self {
            orchestrator: Orchestrator::new(config, at(0)),
            now: 0,
            said: vec![],
            nodes: BTreeMap::new(),
            down: BTreeMap::new(),
            voters: BTreeSet::from([1, 2, 3]),
            acceptors: BTreeMap::new(),
            committed: BTreeMap::new(),
            odown: BTreeMap::new(),
            queue: BTreeMap::new(),
            serial: 0,
        };
        for record in records {
            system.found(record);
        }
        system
    }

    /// The voters have committed the record under a ballot of `o9`, and the nodes are in line.
    fn found(&mut self, record: GroupRecord) {
        for (n, member) in record.members.iter().enumerate() {
            let mut view = replica_view(n + 1, 1, 1_000);
            if let Some(upstream) = &mut view.upstream {
                upstream.addr = record.master.clone();
            }
            if member.addr == record.master {
                view = master_view(n + 1, 1_000);
            }
            self.nodes.insert(member.addr.clone(), view);
        }
        let committed = RecordCommitted { ballot: ballot(1, 9), record };
        for n in 1..=3 {
            let mut acceptor = Acceptor::new(voter(n), committed.record.group.clone(), at(0));
            let proposal = Proposal {
                ballot: committed.ballot.clone(),
                roster: roster(3).version,
                record: committed.record.clone(),
            };
            let _ = acceptor.proposal(&proposal, at(0));
            acceptor.committed(&committed, at(0));
            self.acceptors.insert((committed.record.group.clone(), n), acceptor);
        }
        self.committed.insert(committed.record.group.clone(), committed);
    }

    /// Voters that have never heard of the group.
    pub fn blank(&mut self, g: usize) {
        for n in 1..=3 {
            self.acceptors.insert((name(g), n), Acceptor::new(voter(n), name(g), at(0)));
        }
    }

    /// Somebody else has brought this record about.
    pub fn commit(&mut self, record: GroupRecord) {
        let fact = RecordCommitted { ballot: ballot(1, 9), record: record.clone() }.into();
        self.found(record);
        self.soon(Input::Fact { fact, reply_to: None });
    }

    pub fn record(&self, g: usize) -> &GroupRecord {
        &self.committed[&name(g)].record
    }

    /// The recorded master is gone, and three voters say so from now on, each second.
    pub fn kill(&mut self, g: usize, evidence: &Evidence) {
        let record = self.record(g).clone();
        self.down.insert(record.master.clone(), Down::Refused);
        self.call_down(&record, evidence);
    }

    pub fn call_down(&mut self, record: &GroupRecord, evidence: &Evidence) {
        self.odown.insert(record.group.clone(), (record.clone(), evidence.clone()));
        self.verdicts(&record.group);
    }

    fn verdicts(&mut self, group: &GroupName) {
        let Some((record, evidence)) = self.odown.get(group).cloned() else { return };
        for n in self.voters.clone() {
            let opinion = |p| Opinion {
                prober: crate::tests::prober(p),
                place: place("here"),
                evidence: evidence.clone(),
            };
            let verdict = OdownVerdict {
                group: group.clone(),
                epoch: record.epoch,
                master: record.master.clone(),
                voter: voter(n),
                reached: true,
                quorum: record.settings.quorum,
                tally: vec![opinion(1), opinion(2)],
            };
            self.soon(Input::Fact { fact: verdict.into(), reply_to: None });
        }
    }

    pub fn instruct(&mut self, g: usize, verb: Verb) {
        let fact = Instruction { group: Some(name(g)), verb }.into();
        self.soon(Input::Fact { fact, reply_to: Some("person".into()) });
    }

    /// What came of the instructions so far.
    pub fn outcomes(&self) -> Vec<Outcome> {
        self.replies().into_iter().map(|(outcome, _)| outcome).collect()
    }

    /// The same, each with the revision that shows it.
    pub fn replies(&self) -> Vec<(Outcome, Option<Revision>)> {
        let replies = self.said.iter().filter_map(|(_, output)| {
            let Output::Reply { fact: Fact::InstructionReply(reply), .. } = output else {
                return None;
            };
            Some((reply.outcome.clone(), reply.revision))
        });
        replies.collect()
    }

    /// How people were told of it.
    pub fn payloads(&self, name: EventName) -> Vec<String> {
        let payload = |(_, fact): (u64, &Fact)| {
            let Fact::Event(event) = fact else { return None };
            (event.name == name).then(|| event.payload.clone())
        };
        self.published().filter_map(payload).collect()
    }

    fn published(&self) -> impl DoubleEndedIterator<Item = (u64, &Fact)> {
        self.said.iter().filter_map(|(at, output)| {
            let Output::Publish(fact) = output else { return None };
            Some((*at, fact))
        })
    }

    /// How often people were told of it.
    pub fn told(&self, name: EventName) -> usize {
        let is = |fact: &Fact| matches!(fact, Fact::Event(event) if event.name == name);
        self.published().filter(|(_, fact)| is(fact)).count()
    }

    /// When each of the group's new masters was announced first, and who they are.
    pub fn announced(&self, g: usize) -> Vec<(u64, NodeAddr)> {
        let masters = self.published().filter_map(|(at, fact)| {
            let Fact::MasterRecord(master) = fact else { return None };
            (master.group == name(g)).then_some((at, master))
        });
        let mut masters: Vec<_> = masters.collect();
        // The commit says again what was announced ahead of it.
        masters.dedup_by(|(_, again), (_, first)| again == first);
        masters.into_iter().map(|(at, master)| (at, master.master.clone())).collect()
    }

    /// What was sent to nodes and changes them.
    pub fn commands(&self) -> Vec<(u64, NodeAddr, Command)> {
        let commands = self.said.iter().filter_map(|(at, output)| {
            let Output::Command { node, command, .. } = output else { return None };
            (*command != Command::Inspect).then(|| (*at, node.clone(), command.clone()))
        });
        commands.collect()
    }

    /// The steps that were told, with how many voters promised and how many nodes were passed over.
    pub fn steps(&self) -> Vec<(Step, usize, usize)> {
        let steps = self.published().filter_map(|(_, fact)| {
            let Fact::FailoverStep(told) = fact else { return None };
            Some((told.step.clone(), told.votes.len(), told.rejected.len()))
        });
        steps.collect()
    }

    /// How often a ballot was asked for.
    pub fn candidacies(&self) -> usize {
        self.published().filter(|(_, fact)| matches!(fact, Fact::Candidacy(_))).count()
    }

    /// What the newest heartbeat says.
    pub fn health(&self) -> String {
        let health = self.published().rev().find_map(|(_, fact)| {
            let Fact::Heartbeat(beat) = fact else { return None };
            Some(beat.health.clone())
        });
        match health {
            Some(Health::Impaired(why)) => why,
            Some(Health::Well) | None => String::new(),
        }
    }

    pub fn soon(&mut self, input: Input) {
        self.after(1, input);
    }

    fn after(&mut self, millis: u64, input: Input) {
        self.serial += 1;
        self.queue.insert((self.now + millis, self.serial), input);
    }

    /// Goes on until then.
    pub fn run(&mut self, until: u64) {
        loop {
            let message = self.queue.keys().next().copied();
            let wake = self.orchestrator.poll_timeout().map(|at| at.as_nanos().div_ceil(1_000_000));
            let next = message.map(|(at, _)| at).into_iter().chain(wake).min();
            let repeat = (self.now / 1_000 + 1) * 1_000;
            let at_ms = next.unwrap_or(until).max(self.now);
            if at_ms.min(repeat) > until {
                self.now = until;
                return;
            }
            if repeat <= at_ms {
                self.now = repeat;
                self.odown
                    .keys()
                    .cloned()
                    .collect::<Vec<_>>()
                    .iter()
                    .for_each(|g| self.verdicts(g));
                continue;
            }
            self.now = at_ms;
            if let Some(key) = message.filter(|(due, _)| *due <= at_ms) {
                if let Some(input) = self.queue.remove(&key) {
                    self.orchestrator.handle(input, at(at_ms));
                }
            } else {
                self.orchestrator.handle_timeout(at(at_ms));
            }
            while let Some(output) = self.orchestrator.poll_output() {
                self.said.push((at_ms, output.clone()));
                self.output(output);
            }
        }
    }

    fn output(&mut self, output: Output) {
        match output {
            Output::Publish(fact) => self.fact(fact),
            Output::Command { ticket, node, command, .. } => {
                let (answer, millis) = self.command(&node, &command);
                self.after(millis, Input::Answer { ticket, answer });
            }
            Output::Reply { .. } | Output::Retain(_) => {}
        }
    }

    fn fact(&mut self, fact: Fact) {
        let now = at(self.now);
        for n in self.voters.clone() {
            let odown = fact.group().is_some_and(|g| self.odown.contains_key(g));
            let key = fact.group().map(|g| (g.clone(), n));
            let acceptor = key.and_then(|key| self.acceptors.get_mut(&key));
            let reply: Option<Fact> = match (&fact, acceptor) {
                (Fact::Candidacy(c), Some(a)) => {
                    Some(a.candidacy(c, &roster(3), odown, now).answer.into())
                }
                (Fact::Proposal(p), Some(a)) => Some(a.proposal(p, now).answer.into()),
                (Fact::Beat(b), Some(a)) => Some(a.beat(b, now).into()),
                (Fact::RecordCommitted(c), Some(a)) => {
                    a.committed(c, now);
                    self.committed.insert(c.record.group.clone(), c.clone());
                    None
                }
                (Fact::Digest(digest), _) => {
                    let have: BTreeMap<_, _> = digest.have.iter().cloned().collect();
                    let newer = |c: &&RecordCommitted| {
                        have.get(&c.record.group).is_none_or(|r| *r < c.record.revision)
                    };
                    let newer: Vec<_> = self.committed.values().filter(newer).collect();
                    let more = newer.len() > DigestReply::LIMIT;
                    let records = newer.into_iter().take(DigestReply::LIMIT).cloned().collect();
                    Some(DigestReply { voter: voter(n), records, unsettled: vec![], more }.into())
                }
                _ => None,
            };
            if let Some(fact) = reply {
                self.soon(Input::Fact { fact, reply_to: None });
            }
        }
    }

    fn command(&mut self, node: &NodeAddr, command: &Command) -> (Answer, u64) {
        match self.down.get(node) {
            Some(Down::Refused) => return (Answer::Failed(NodeFault::Refused), 1),
            Some(Down::Silent) => {
                let limit = if *command == Command::Inspect { 200 } else { 1_000 };
                return (Answer::Failed(NodeFault::TimedOut), limit);
            }
            None => {}
        }
        let Some(view) = self.nodes.get_mut(node) else {
            return (Answer::Failed(NodeFault::Refused), 1);
        };
        match command {
            // It has no clients.
            Command::Inspect | Command::PauseWrites { .. } | Command::Unpause | Command::Save => {}
            Command::Freeze => {
                view.role = Role::Replica;
                view.upstream = Some(Upstream {
                    addr: node.clone(),
                    link_up: false,
                    down_for_ms: None,
                    syncing: false,
                });
            }
            Command::Promote { .. } => {
                self.serial += 1;
                view.replid2 = Some(view.replid.clone());
                view.replid = history(usize::try_from(self.serial).unwrap() + 1_000);
                (view.role, view.upstream) = (Role::Master, None);
            }
            Command::Follow { master, .. } => {
                view.role = Role::Replica;
                view.upstream = Some(Upstream {
                    addr: master.clone(),
                    link_up: !self.down.contains_key(master),
                    down_for_ms: None,
                    syncing: false,
                });
            }
        }
        (Answer::Done { view: view.clone(), rewrite_error: None, changed_by: None }, 1)
    }
}

pub(super) fn silence() -> Evidence {
    Evidence::Silence { for_ms: 5_000 }
}

pub(super) fn crash() -> Evidence {
    Evidence::Crash { refused: 2 }
}

/// What nobody has ever been.
pub(super) fn stranger(view: &mut NodeView) {
    (view.replid, view.replid2, view.run_id) = (history(99), None, run_id(99));
}

pub(super) fn set(changes: &[(&str, &str)]) -> Verb {
    let parsed = changes.iter().map(|(name, value)| Setting::parse(name, value).unwrap());
    Verb::Set { changes: parsed.collect() }
}

pub(super) fn paused(reason: &str) -> Verb {
    Verb::Pause { reason: reason.to_string(), for_ms: None }
}
