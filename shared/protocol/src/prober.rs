//! The prober's role: who is watched, and what is said of it.
//!
//! ```text
//!  RecordCommitted, DigestReply ─► directory ─► the set of watched nodes: members, and replicas
//!  Heartbeat of voters          ─► echoes        that the master lists
//!  Link events                  ─► sdown, one per node ─► SdownReport, NodeReport, Event
//! ```

use crate::Machine;
use crate::directory::{self, Directory};
use crate::happening::{Dresser, Happening};
use crate::pulse::Pulse;
use crate::sdown::{Act, Watcher};
use crate::timers::Timers;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{
    Credentials, Echo, Epoch, EventName, Fact, GroupName, GroupRecord, Health, Heartbeat, Instant,
    NodeAddr, NodeFault, NodeReport, NodeState, NodeView, Place, ProberId, SdownReport, Sender,
    Service, Standing, VoterId,
};

/// One watched node: the same address in two groups is watched twice.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Watch {
    /// The group.
    pub group: GroupName,
    /// The node.
    pub node: NodeAddr,
}

/// What a prober hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A message from the bus.
    Fact(Fact),
    /// Something happened on the link to a watched node.
    Link {
        /// Which node.
        watch: Watch,
        /// The number of the connection attempt it belongs to; of an older one it is ignored.
        attempt: u64,
        /// What happened.
        what: LinkEvent,
    },
}

/// What happens on a link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkEvent {
    /// The connection is up and logged in.
    Connected,
    /// Connecting or logging in failed.
    ConnectFailed(NodeFault),
    /// An established connection was reset or closed.
    Lost,
    /// `PING` was answered.
    Pong(PingReply),
    /// `INFO` was answered.
    Info(Result<NodeView, NodeFault>),
}

/// Every kind of answer to `PING`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PingReply {
    /// `+PONG`.
    Pong,
    /// `-LOADING`: alive.
    Loading,
    /// `-MASTERDOWN`: alive.
    MasterDown,
    /// `-BUSY`: alive for as long as its budget.
    Busy,
    /// `-MISCONF`: alive, cannot write its disk.
    Misconf,
    /// `-NOAUTH`, `-WRONGPASS`, `-NOPERM`: monitoring is at fault.
    Denied(alloc::string::String),
    /// Any other reply: not a valid one.
    Other(alloc::string::String),
}

/// What a prober does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Tell the bus.
    Publish(Fact),
    /// Open a connection to the node and log in, dropping the one before. Must answer within one
    /// second with `Connected` or `ConnectFailed`.
    Connect {
        /// Which node.
        watch: Watch,
        /// The attempt's number; all that happens on this connection carries it.
        attempt: u64,
        /// How to log in.
        credentials: Option<Credentials>,
    },
    /// Send `PING` on the node's connection; the answer may never come.
    Ping {
        /// Which node.
        watch: Watch,
    },
    /// Send `INFO` on the node's connection; the answer may never come.
    Info {
        /// Which node.
        watch: Watch,
    },
    /// The node is not watched any more: close its connection.
    Forget {
        /// Which node.
        watch: Watch,
    },
}

/// After a change of master a group counts as troubled for so long.
const AFTERMATH: Duration = Duration::from_secs(10);
/// An echo older than this proves nothing to its voter and is left out.
const ECHO_EXPIRY: Duration = Duration::from_secs(5);
/// Nodes watched that the master lists and the record does not know.
const DISCOVERED_LIMIT: usize = 64;
/// A stalled prober says so at most this often, however many nodes it watches.
const SUSPECT_EVERY: Duration = Duration::from_secs(5);
const HEARTBEAT_EVERY: Duration = Duration::from_secs(1);

/// What a prober is.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who speaks.
    pub sender: Sender,
    /// The same as an id.
    pub id: ProberId,
    /// Where it runs.
    pub place: Place,
}

#[derive(Debug, Clone)]
struct Watched {
    watcher: Watcher,
    credentials: Option<Credentials>,
    /// Whether the node is a member: of others nothing is reported but what they say.
    member: bool,
    told_down: bool,
}

#[derive(Debug, Clone, Default)]
struct GroupState {
    epoch: Epoch,
    since: Instant,
    discovered: BTreeSet<NodeAddr>,
}

/// The prober.
#[derive(Debug, Clone)]
pub struct Prober {
    config: Config,
    directory: Directory,
    dresser: Dresser,
    pulse: Pulse,
    groups: BTreeMap<GroupName, GroupState>,
    watches: BTreeMap<Watch, Watched>,
    timers: Timers<Watch>,
    echoes: BTreeMap<VoterId, (Echo, Instant)>,
    suspect_told: Option<Instant>,
    outputs: VecDeque<Output>,
}

impl Prober {
    /// A prober that knows no group yet and asks at once.
    pub fn new(config: Config, now: Instant) -> Self {
        let (sender, place) = (config.sender.clone(), config.place.clone());
        Self {
            dresser: Dresser::new(sender.clone()),
            pulse: Pulse::new(sender, place, None, HEARTBEAT_EVERY, now),
            config,
            directory: Directory::new(now),
            groups: BTreeMap::new(),
            watches: BTreeMap::new(),
            timers: Timers::new(),
            echoes: BTreeMap::new(),
            suspect_told: None,
            outputs: VecDeque::new(),
        }
    }

    /// The newest committed record it knows of the group.
    pub fn known(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.directory.get(group)
    }

    fn fact(&mut self, fact: Fact, now: Instant) {
        match fact {
            Fact::RecordCommitted(committed) => self.directory.committed(committed),
            Fact::DigestReply(reply) => self.directory.reply(reply, now),
            Fact::Heartbeat(beat) => self.heartbeat(beat, now),
            Fact::StatusQuery(_) => {
                let standings = self.standings(now);
                let beat = self.pulse.beat(Health::Well, standings);
                self.outputs.push_back(Output::Publish(beat.into()));
            }
            Fact::SdownReport(_)
            | Fact::NodeReport(_)
            | Fact::OdownVerdict(_)
            | Fact::Candidacy(_)
            | Fact::Ballot(_)
            | Fact::Proposal(_)
            | Fact::ProposalReply(_)
            | Fact::Beat(_)
            | Fact::BeatReply(_)
            | Fact::FailoverStep(_)
            | Fact::Digest(_)
            | Fact::MasterQuery(_)
            | Fact::MasterRecord(_)
            | Fact::RosterBallot(_)
            | Fact::RosterAnswer(_)
            | Fact::Rejoin(_)
            | Fact::RejoinAnswer(_)
            | Fact::Instruction(_)
            | Fact::InstructionReply(_)
            | Fact::Event(_) => {}
        }
    }

    /// Remembers a voter's heartbeat; a voter that has just been born is told again what is down.
    fn heartbeat(&mut self, beat: Heartbeat, now: Instant) {
        if beat.service != Service::Voter {
            return;
        }
        let Ok(voter) = VoterId::parse(&beat.id) else { return };
        let echo = Echo { voter: voter.clone(), incarnation: beat.incarnation, tick: beat.tick };
        let before = self.echoes.insert(voter, (echo, now));
        if before.is_some_and(|(old, _)| old.incarnation == beat.incarnation) {
            return;
        }
        let watches: Vec<_> = self.watches.keys().cloned().collect();
        for watch in watches {
            if let Some(watched) = self.watches.get_mut(&watch) {
                watched.watcher.report_again();
            }
            self.drain(&watch, now);
        }
    }

    fn standings(&self, now: Instant) -> Vec<Standing> {
        let stand = |record: &GroupRecord| {
            let nodes = self.watches.iter().filter(|(w, _)| w.group == record.group);
            let texts: Vec<_> = nodes
                .map(|(watch, watched)| {
                    let state = match (watched.watcher.state(), watched.watcher.last_good()) {
                        (NodeState::Down(evidence), _) => format!("down ({evidence})"),
                        (NodeState::Up, Some(at)) => {
                            format!("up, answered {} ms ago", now.since(at).as_millis())
                        }
                        (NodeState::Up, None) => "has not answered yet".to_string(),
                    };
                    format!("{} {state}", watch.node)
                })
                .collect();
            Standing { group: record.group.clone(), epoch: record.epoch, text: texts.join("; ") }
        };
        self.directory.records().map(stand).collect()
    }

    fn link(&mut self, watch: &Watch, attempt: u64, what: LinkEvent, now: Instant) {
        if let Some(watched) = self.watches.get_mut(watch) {
            watched.watcher.handle(attempt, what, now);
        }
        self.drain(watch, now);
    }

    /// The group's record changed, or its master lists other replicas.
    fn rewatch(&mut self, group: &GroupName, now: Instant) {
        let Some(record) = self.directory.get(group).cloned() else { return };
        let state = self.groups.entry(group.clone()).or_default();
        if state.epoch != record.epoch {
            state.since = now;
            state.epoch = record.epoch;
            state.discovered.clear();
        }
        let members = record.members.iter().map(|m| (m.addr.clone(), true));
        let found = state.discovered.iter().map(|addr| (addr.clone(), false));
        let mut wanted: BTreeMap<_, _> = found.collect();
        wanted.extend(members);
        let gone: Vec<_> = self.watches.keys().filter(|w| w.group == *group).cloned().collect();
        for watch in gone.into_iter().filter(|w| !wanted.contains_key(&w.node)) {
            self.watches.remove(&watch);
            self.timers.set(&watch, None);
            self.outputs.push_back(Output::Forget { watch });
        }
        for (node, member) in wanted {
            let watch = Watch { group: group.clone(), node };
            self.watch(&watch, member, &record, now);
        }
        self.set_trouble(&record, now);
    }

    fn watch(&mut self, watch: &Watch, member: bool, record: &GroupRecord, now: Instant) {
        let watched = self.watches.entry(watch.clone()).or_insert_with(|| Watched {
            watcher: Watcher::new(&record.settings, now),
            credentials: None,
            member,
            told_down: false,
        });
        watched.member = member;
        watched.credentials.clone_from(&record.settings.credentials);
        watched.watcher.set(&record.settings);
        self.drain(watch, now);
    }

    fn set_trouble(&mut self, record: &GroupRecord, now: Instant) {
        let recent = self
            .groups
            .get(&record.group)
            .is_some_and(|g| record.epoch > Epoch(1) && now.since(g.since) < AFTERMATH);
        let group = |w: &Watch| w.group == record.group;
        let down = self
            .watches
            .iter()
            .any(|(w, watched)| group(w) && *watched.watcher.state() != NodeState::Up);
        // A node that is found but not admitted yet is looked at often: its first words may come
        // in the middle of its first synchronisation.
        let found = self.groups.get(&record.group).is_some_and(|g| !g.discovered.is_empty());
        let new = record.lineage.is_empty() || found;
        let in_trouble = recent || down || new || record.failover.is_some();
        for (watch, watched) in self.watches.iter_mut().filter(|(w, _)| group(w)) {
            watched.watcher.set_trouble(in_trouble, now);
            self.timers.set(watch, watched.watcher.poll_timeout());
        }
    }

    fn drain(&mut self, watch: &Watch, now: Instant) {
        while let Some(watched) = self.watches.get_mut(watch) {
            let Some(act) = watched.watcher.poll_output() else { break };
            self.act(watch, act, now);
        }
        let next = self.watches.get(watch).and_then(|w| w.watcher.poll_timeout());
        self.timers.set(watch, next);
    }

    fn act(&mut self, watch: &Watch, act: Act, now: Instant) {
        match act {
            Act::Connect { attempt } => {
                let credentials = self.watches.get(watch).and_then(|w| w.credentials.clone());
                let watch = watch.clone();
                self.outputs.push_back(Output::Connect { watch, attempt, credentials });
            }
            Act::Ping => self.outputs.push_back(Output::Ping { watch: watch.clone() }),
            Act::Info => self.outputs.push_back(Output::Info { watch: watch.clone() }),
            Act::Report(state) => self.report(watch, state, now),
            Act::View(view) => self.view(watch, view, now),
            Act::Event(EventName::SelfSuspect, cause) => {
                let told = self.suspect_told.is_some_and(|at| now.since(at) < SUSPECT_EVERY);
                if !told {
                    self.suspect_told = Some(now);
                    self.tell(watch, Happening::new(EventName::SelfSuspect, cause));
                }
            }
            Act::Event(EventName::SelfSuspectOver, cause) => {
                if self.suspect_told.take().is_some() {
                    self.tell(watch, Happening::new(EventName::SelfSuspectOver, cause));
                }
            }
            Act::Event(name, cause) => self.tell(watch, Happening::of(name, &watch.node, cause)),
        }
    }

    fn tell(&mut self, watch: &Watch, happening: Happening) {
        if let Some(record) = self.directory.get(&watch.group).cloned() {
            self.event(happening, &record);
        }
    }

    fn event(&mut self, happening: Happening, record: &GroupRecord) {
        let event = self.dresser.dress(happening, record, record.trace_id());
        self.outputs.push_back(Output::Publish(event.into()));
    }

    fn report(&mut self, watch: &Watch, state: NodeState, now: Instant) {
        let Some(record) = self.directory.get(&watch.group).cloned() else { return };
        let Some(watched) = self.watches.get_mut(watch).filter(|w| w.member) else { return };
        let was_down = watched.told_down;
        watched.told_down = state != NodeState::Up;
        let echo = self.echoes.values().filter(|(_, at)| now.since(*at) < ECHO_EXPIRY);
        let report = SdownReport {
            group: watch.group.clone(),
            epoch: record.epoch,
            node: watch.node.clone(),
            prober: self.config.id.clone(),
            place: self.config.place.clone(),
            state: state.clone(),
            last_good_ms: watched
                .watcher
                .last_good()
                .map(|at| u64::try_from(now.since(at).as_millis()).unwrap_or(u64::MAX)),
            run_id: watched.watcher.run_id().cloned(),
            echo: echo.map(|(echo, _)| echo.clone()).collect(),
        };
        self.outputs.push_back(Output::Publish(report.into()));
        let happening = match (was_down, state) {
            (false, NodeState::Down(evidence)) => {
                Happening::of(EventName::Sdown, &watch.node, evidence.to_string())
            }
            (true, NodeState::Up) => {
                Happening::of(EventName::SdownOver, &watch.node, "it answers again")
            }
            (true, NodeState::Down(_)) | (false, NodeState::Up) => return,
        };
        self.event(happening, &record);
        self.set_trouble(&record, now);
    }

    fn view(&mut self, watch: &Watch, view: NodeView, now: Instant) {
        let Some(record) = self.directory.get(&watch.group).cloned() else { return };
        let listed: BTreeSet<_> = view
            .replicas
            .iter()
            .map(|r| r.addr.clone())
            .filter(|addr| record.member(addr).is_none())
            .take(DISCOVERED_LIMIT)
            .collect();
        self.outputs.push_back(Output::Publish(
            NodeReport {
                group: watch.group.clone(),
                node: watch.node.clone(),
                prober: self.config.id.clone(),
                view,
            }
            .into(),
        ));
        if watch.node != record.master {
            return;
        }
        let known = self.groups.entry(watch.group.clone()).or_default();
        if known.discovered != listed {
            known.discovered = listed;
            self.rewatch(&watch.group, now);
        } else {
            self.set_trouble(&record, now);
        }
    }

    fn settle(&mut self, now: Instant) {
        while let Some(output) = self.directory.poll_output() {
            match output {
                directory::Output::Ask(digest) => {
                    self.outputs.push_back(Output::Publish(digest.into()));
                }
                directory::Output::Changed(group) => self.rewatch(&group, now),
            }
        }
    }
}

impl Machine for Prober {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Fact(fact) => self.fact(fact, now),
            Input::Link { watch, attempt, what } => self.link(&watch, attempt, what, now),
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        for watch in self.timers.take_due(now) {
            if let Some(watched) = self.watches.get_mut(&watch) {
                watched.watcher.handle_timeout(now);
            }
            self.drain(&watch, now);
        }
        if self.pulse.is_due(now) {
            let beat = self.pulse.beat(Health::Well, Vec::new());
            self.outputs.push_back(Output::Publish(beat.into()));
        }
        self.directory.handle_timeout(now);
        self.settle(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let mine = [Some(self.pulse.next()), self.directory.poll_timeout(), self.timers.next()];
        mine.into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
