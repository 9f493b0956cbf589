//! A voter: the real one, and its disk.
//!
//! Nothing of a voter but what it has in mind and on disk outlasts a step: it is made anew from
//! that for each message, ten seconds of its clock later. So it may be restarted at any moment, and
//! for it everybody is always silent, nobody has a lease, and the master is always down. All that
//! real time can bring about is among what this allows. Only a voter on its way to a memory lives
//! on from message to message.

use super::bug::Bug;
use super::names;
use super::records::{code, written};
use super::scope::Scope;
use super::table::{Event, Heard, Outcome, Process, Renaming};
use std::time::Duration;
use vedette_model::{
    Ballot, BallotAnswer, Echo, Evidence, Fact, Health, Heartbeat, Instant, Memory, NodeState,
    ProberId, Proposal, ProposalAnswer, ProposalReply, RejoinAsk, Roster, RosterAnswer, RosterAsk,
    RosterVote, SdownReport, Sender, Service,
};
use vedette_protocol::Machine;
use vedette_protocol::rejoin::JOIN_AFTER;
use vedette_protocol::roster::Meta;
use vedette_protocol::voter::{Config, Input as CoreInput, Output, Stored, Voter as Core};

/// What a voter has on disk, or in mind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disk {
    /// What is not of the group.
    pub meta: Meta,
    /// What is of the group.
    pub stored: Stored,
}

/// One voter.
#[derive(Debug, Clone)]
pub struct Voter {
    index: usize,
    life: u8,
    first: Roster,
    mind: Mind,
}

#[derive(Debug, Clone)]
enum Mind {
    Knows {
        memory: Disk,
        disk: Disk,
        /// Said as soon as the disk has synced.
        held: Vec<(Fact, Option<Event>)>,
    },
    Joins {
        core: Box<Core>,
        waited: bool,
        /// What it asks the others.
        asks: Vec<Fact>,
    },
}

/// What can happen to a voter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// A message arrives.
    Hear(Heard),
    /// The disk has synced.
    Sync,
    /// It dies, and runs again at once: what arrives while it is dead is as good as lost.
    Crash,
    /// It loses its file, and runs again without.
    LoseFile,
    /// It has waited for long enough to ask the others.
    Waited,
}

const fn now() -> Instant {
    Instant::from_nanos(60_000_000_000)
}

impl Voter {
    /// A voter with this on its disk.
    pub fn new(index: usize, first: Roster, disk: Disk) -> Self {
        let mind = Mind::Knows { memory: disk.clone(), disk, held: Vec::new() };
        Self { index, life: 1, first, mind }
    }

    /// A voter with an empty disk.
    pub fn blank(index: usize, life: u8, first: Roster) -> Self {
        let config = config(index, life, &first);
        let mut core = Box::new(Core::new(config, None, Vec::new(), now()));
        drain(&mut core);
        Self { index, life, first, mind: Mind::Joins { core, waited: false, asks: Vec::new() } }
    }

    /// What will be there after a crash; nothing of a voter without memory.
    pub const fn disk(&self) -> Option<&Disk> {
        match &self.mind {
            Mind::Knows { disk, .. } => Some(disk),
            Mind::Joins { .. } => None,
        }
    }

    /// What it goes by now.
    pub const fn memory(&self) -> Option<&Disk> {
        match &self.mind {
            Mind::Knows { memory, .. } => Some(memory),
            Mind::Joins { .. } => None,
        }
    }

    /// Whether a write is on its way to the disk.
    pub fn is_syncing(&self) -> bool {
        matches!(&self.mind, Mind::Knows { memory, disk, .. } if memory != disk)
    }

    /// Which life of it asks to rejoin, and whether it has waited before.
    pub const fn joins(&self) -> Option<(u8, bool)> {
        match &self.mind {
            Mind::Knows { .. } => None,
            Mind::Joins { waited, .. } => Some((self.life, *waited)),
        }
    }

    /// What a voter without memory asks the others.
    pub fn asks(&self) -> &[Fact] {
        match &self.mind {
            Mind::Knows { .. } => &[],
            Mind::Joins { asks, .. } => asks,
        }
    }

    /// Whether it is the one that loses its file.
    pub const fn forgets(&self) -> bool {
        self.index == Scope::FORGETS
    }

    /// What another voter would be in its place; only of one that knows.
    #[must_use]
    pub fn renamed(&self, renaming: &Renaming) -> Self {
        let mut other = self.clone();
        other.index = renaming[self.index];
        if let Mind::Knows { held, .. } = &mut other.mind {
            for (fact, _) in held {
                *fact = names::renamed(fact, renaming);
            }
        }
        other
    }

    fn hear(&mut self, fact: &Fact, scope: &Scope, out: &mut Outcome) -> bool {
        match &mut self.mind {
            Mind::Joins { core, .. } => {
                core.handle(
                    CoreInput::Fact { fact: fact.clone(), reply_to: None },
                    now() + JOIN_AFTER,
                );
                self.joined(out);
            }
            Mind::Knows { memory, disk, held } => {
                if memory != disk && scope.bug != Some(Bug::AnswerBeforeSync) {
                    return false;
                }
                let asked = config(self.index, self.life, &self.first);
                let (next, said) = ask(asked, memory, fact, scope);
                match next.meta.roster.version.0 {
                    2 => out.seen.push("a voter goes by roster 2"),
                    3 => out.seen.push("a voter goes by roster 3"),
                    _ => {}
                }
                *memory = next;
                let events = said.iter().map(|said| event(fact, said)).collect::<Vec<_>>();
                held.extend(said.into_iter().zip(events));
                if memory == disk || !scope.slow_disks || scope.bug == Some(Bug::AnswerBeforeSync) {
                    say(held, out);
                }
                if !scope.slow_disks {
                    sync(memory, disk, scope);
                }
            }
        }
        true
    }

    /// Notes what a voter without memory asks, and takes it for a whole one once it has enough.
    fn joined(&mut self, out: &mut Outcome) {
        let Mind::Joins { core, asks, .. } = &mut self.mind else { return };
        let mut stored = Stored::empty(names::group());
        while let Some(output) = core.poll_output() {
            match output {
                Output::Publish(Fact::Rejoin(rejoin)) if rejoin.ask != RejoinAsk::Memory => {
                    let ask = Fact::Rejoin(rejoin);
                    if !asks.contains(&ask) {
                        asks.push(ask);
                    }
                }
                Output::Persist(group) => stored = group,
                Output::PersistMeta(_) | Output::Publish(_) | Output::Reply { .. } => {}
            }
        }
        if let Some(meta) = core.meta().cloned() {
            out.seen.push("a voter without memory votes");
            let disk = Disk { meta, stored };
            self.mind = Mind::Knows { memory: disk.clone(), disk, held: Vec::new() };
        }
    }
}

fn say(held: &mut Vec<(Fact, Option<Event>)>, out: &mut Outcome) {
    for (said, event) in held.drain(..) {
        out.said.push(said);
        out.events.extend(event);
    }
}

fn sync(memory: &mut Disk, disk: &mut Disk, scope: &Scope) {
    disk.clone_from(memory);
    if scope.bug == Some(Bug::PromiseNotStored) {
        disk.stored.promised = disk.stored.accepted.as_ref().map(|(ballot, _)| ballot.clone());
        if !scope.slow_disks {
            memory.clone_from(disk);
        }
    }
}

fn config(index: usize, life: u8, roster: &Roster) -> Config {
    let id = names::voter(index);
    let sender = Sender {
        service: Service::Voter,
        id: id.as_str().into(),
        incarnation: names::incarnation(index, life),
    };
    Config { sender, id, place: names::place(), roster: roster.clone() }
}

/// What a voter answers that has this in mind, and what it has in mind then.
fn ask(config: Config, disk: &Disk, fact: &Fact, scope: &Scope) -> (Disk, Vec<Fact>) {
    let (bug, rivals) = (scope.bug, scope.at_once);
    let mut disk = disk.clone();
    let before = disk.clone();
    plant(&mut disk, fact, bug);
    let mut core =
        Core::new(config.clone(), Some(disk.meta.clone()), vec![disk.stored.clone()], now());
    if matches!(fact, Fact::Candidacy(_)) {
        let report = down(&mut core, &config, &disk.stored);
        if let Some(fact) = report {
            core.handle(CoreInput::Fact { fact, reply_to: None }, now());
        }
    }
    drain(&mut core);
    // Late enough that a leader heard at the start is silent, early enough that a report counts.
    let later = now() + Duration::from_millis(1_500);
    core.handle(CoreInput::Fact { fact: fact.clone(), reply_to: Some("o".into()) }, later);
    let mut said = Vec::new();
    while let Some(output) = core.poll_output() {
        match output {
            Output::Persist(stored) => disk.stored = stored,
            Output::PersistMeta(meta) => disk.meta = meta,
            Output::Reply { fact, .. } => said.push(fact),
            Output::Publish(Fact::Heartbeat(beat)) => said.push(Fact::Heartbeat(common(beat))),
            Output::Publish(_) => {}
        }
    }
    unplant(&mut disk, &before, fact, bug);
    said.iter_mut().for_each(|said| garble(said, bug));
    said.retain(|fact| is_news(fact, rivals));
    (disk, said)
}

/// Refusals are lost: all they bring about is that a candidate gives up, or learns of a number, and
/// it may do both at any time.
fn is_news(fact: &Fact, rivals: bool) -> bool {
    match fact {
        Fact::Ballot(m) => matches!(m.answer, BallotAnswer::Promise { .. }),
        Fact::ProposalReply(m) => m.answer == ProposalAnswer::Accepted,
        Fact::RejoinAnswer(m) => !matches!(m.memory, Memory::Remembers),
        // Whoever changes the roster alone needs to hear nothing but what decides it.
        Fact::RosterAnswer(m) => rivals || m.answer == RosterVote::Accepted,
        _ => true,
    }
}

/// A voter's heartbeat that says that it goes by this roster.
pub fn uses(roster: Roster) -> Fact {
    let beat = Heartbeat {
        service: Service::Voter,
        id: String::new(),
        incarnation: 0,
        tick: 0,
        place: names::place(),
        health: Health::Well,
        roster: Some(roster),
        standings: Vec::new(),
        serves: None,
        back: false,
        host: None,
    };
    common(beat).into()
}

/// A heartbeat that says nothing but the roster.
fn common(beat: Heartbeat) -> Heartbeat {
    let id = "v".into();
    Heartbeat { id, incarnation: 0, tick: 0, standings: Vec::new(), ..beat }
}

fn down(core: &mut Core, config: &Config, stored: &Stored) -> Option<Fact> {
    let (_, record) = stored.accepted.as_ref()?;
    core.handle_timeout(now());
    let mut tick = None;
    while let Some(output) = core.poll_output() {
        if let Output::Publish(Fact::Heartbeat(beat)) = output {
            tick = Some(beat.tick);
        }
    }
    let echo =
        Echo { voter: config.id.clone(), incarnation: config.sender.incarnation, tick: tick? };
    let report = SdownReport {
        group: names::group(),
        epoch: record.epoch,
        node: record.master.clone(),
        prober: ProberId::parse("p1").ok()?,
        place: names::place(),
        state: NodeState::Down(Evidence::Silence { for_ms: 1_000 }),
        last_good_ms: None,
        run_id: None,
        echo: vec![echo],
    };
    Some(report.into())
}

fn drain(core: &mut Core) {
    while core.poll_output().is_some() {}
}

/// Changes what the voter has in mind as the bug would.
fn plant(disk: &mut Disk, fact: &Fact, bug: Option<Bug>) {
    match (bug, fact) {
        (Some(Bug::AcceptOlder), Fact::Proposal(_)) => disk.stored.promised = None,
        (Some(Bug::UnsettledChanged), Fact::RosterBallot(_)) => {
            let accepted = disk.stored.accepted.clone();
            disk.stored.committed = accepted.map(|(ballot, mut record)| {
                record.roster = disk.meta.roster.version;
                vedette_model::RecordCommitted { ballot, record }
            });
        }
        _ => {}
    }
}

/// Changes what the voter says as the bug would.
fn garble(said: &mut Fact, bug: Option<Bug>) {
    if let (Some(Bug::NewestRosterOnly), Fact::RejoinAnswer(answer)) = (bug, said)
        && let Memory::Records { previous, .. } = &mut answer.memory
    {
        *previous = None;
    }
}

fn unplant(disk: &mut Disk, before: &Disk, fact: &Fact, bug: Option<Bug>) {
    match (bug, fact) {
        (Some(Bug::AcceptOlder), Fact::Proposal(_)) => {
            let promised = before.stored.promised.clone();
            disk.stored.promised = disk.stored.promised.take().max(promised);
        }
        (Some(Bug::FloorNotKept), Fact::Rejoin(_)) => disk.meta.floor = before.meta.floor,
        _ => {}
    }
}

/// What the properties must know of an answer.
fn event(asked: &Fact, said: &Fact) -> Option<Event> {
    match (asked, said) {
        (_, Fact::Ballot(Ballot { ballot, answer: BallotAnswer::Promise { .. }, .. })) => {
            Some(Event::Promised { ballot: code(ballot) })
        }
        (
            Fact::Proposal(Proposal { ballot, record, .. }),
            Fact::ProposalReply(ProposalReply { answer: ProposalAnswer::Accepted, .. }),
        ) => Some(Event::Accepted(written(ballot, record))),
        (
            Fact::RosterBallot(question),
            Fact::RosterAnswer(RosterAnswer { answer: RosterVote::Accepted, .. }),
        ) => match &question.ask {
            RosterAsk::Accept(next) => Some(Event::RosterAccepted {
                from: names::version(question.from),
                ballot: code(&question.ballot),
                next: names::bits(next),
            }),
            RosterAsk::Prepare | RosterAsk::Adopt(_) => None,
        },
        (_, Fact::Heartbeat(Heartbeat { roster: Some(roster), .. })) => Some(Event::RosterUsed {
            version: names::version(roster.version),
            voters: names::bits(roster),
        }),
        _ => None,
    }
}

impl Process for Voter {
    type Input = Input;

    fn heard(input: &Input) -> Option<Heard> {
        match input {
            Input::Hear(heard) => Some(*heard),
            Input::Sync | Input::Crash | Input::LoseFile | Input::Waited => None,
        }
    }

    fn step(&mut self, input: Input, heard: &[&Fact], scope: &Scope, out: &mut Outcome) -> bool {
        match input {
            Input::Hear(_) => heard.iter().all(|fact| self.hear(fact, scope, out)),
            Input::Sync => {
                let due = self.is_syncing();
                if let Mind::Knows { memory, disk, held } = &mut self.mind {
                    sync(memory, disk, scope);
                    say(held, out);
                }
                due
            }
            Input::Crash => {
                let due = self.is_syncing();
                if let Mind::Knows { memory, disk, held } = &mut self.mind {
                    memory.clone_from(disk);
                    held.clear();
                    out.seen.push("a crash loses a write that was not synced");
                }
                due
            }
            Input::LoseFile => {
                let life = self.life + 1;
                let empty = Disk {
                    meta: Meta::first(self.first.clone()),
                    stored: Stored::empty(names::group()),
                };
                *self = match scope.bug {
                    Some(Bug::VoteWithoutMemory) => {
                        Self { life, ..Self::new(self.index, self.first.clone(), empty) }
                    }
                    Some(_) | None => Self::blank(self.index, life, self.first.clone()),
                };
                true
            }
            Input::Waited => {
                let Mind::Joins { core, waited: waited @ false, .. } = &mut self.mind else {
                    return false;
                };
                *waited = true;
                core.handle_timeout(now() + JOIN_AFTER);
                self.joined(out);
                true
            }
        }
    }
}
