//! The prober's role: who is watched, and what is said of it.
//!
//! ```text
//!  RecordCommitted, DigestReply ─► directory ─► the set of watched nodes: members, and replicas
//!  Heartbeat of voters          ─► echoes        that the master lists
//!            of probers         ─► peers: which groups are left to others of this place
//!  Link events                  ─► sdown, one per node ─► SdownReport, NodeReport, Event
//!                                    ▲  └─► reign, one per group: who could take over; is the
//!                                    └───── master another process without the group's data?
//! ```

mod peers;
mod reign;
mod telling;
mod watching;

use crate::Machine;
use crate::directory::{self, Directory};
use crate::happening::Dresser;
use crate::pulse::Pulse;
use crate::sdown::{Crowd, Watcher};
use crate::timers::Timers;
use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use peers::Peers;
use reign::Reign;
use vedette_model::{
    Credentials, Echo, Epoch, Fact, GroupName, GroupRecord, Health, Heartbeat, Instant, NodeAddr,
    NodeFault, NodeState, NodeView, Place, ProberId, RunId, Sender, Service, Standing, VoterId,
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
    /// It was away from the bus and is there again: what it said last may be lost.
    Back,
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
    /// The node's name was looked up again after it had resolved once. If it does not resolve,
    /// the words say why, and the address that it had goes on being used.
    Name(Result<(), String>),
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
    /// `ROLE` was answered.
    Role(RoleReply),
}

/// Every kind of answer to `ROLE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleReply {
    /// It is a master.
    Master {
        /// Where its stream of replication stands, in bytes.
        offset: u64,
        /// Replicas that it sends its stream to.
        replicas: usize,
        /// The lowest offset that one of them has acknowledged.
        least: Option<u64>,
    },
    /// It is a replica.
    Replica {
        /// Whether its link is up and it is not synchronising.
        linked: bool,
    },
    /// It may not be asked, or does not know the command: it is not asked again on this connection.
    Refused,
    /// Another error, as of a server that is busy, or something else.
    Unclear,
}

/// Every kind of answer to `PING`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PingReply {
    /// `+PONG`.
    Pong,
    /// `-LOADING`: alive for as long as its budget.
    Loading,
    /// `-MASTERDOWN`: alive.
    MasterDown,
    /// `-BUSY`: alive for as long as its budget.
    Busy,
    /// `-MISCONF`: alive, refuses writes because it cannot write its disk.
    Misconf,
    /// `-NOAUTH`, `-WRONGPASS`, `-NOPERM`: monitoring is at fault.
    Denied(String),
    /// Any other reply: not a valid one.
    Other(String),
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
    /// Send `ROLE` on the node's connection; the answer may never come.
    Role {
        /// Which node.
        watch: Watch,
    },
    /// The node is not watched any more: close its connection.
    Forget {
        /// Which node.
        watch: Watch,
    },
}

/// Orchestrators whose lives are remembered.
const ORCHESTRATOR_LIMIT: usize = 64;
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
    /// What its newest `INFO` said, and when.
    view: Option<(NodeView, Instant)>,
    /// When others were told what it says; none if they may not have heard it.
    viewed: Option<Instant>,
}

impl Watched {
    /// Has said again what is down, and what the node says of itself.
    fn say_again(&mut self) {
        self.watcher.report_again();
        self.viewed = None;
    }
}

#[derive(Debug, Clone, Default)]
struct GroupState {
    epoch: Epoch,
    since: Instant,
    discovered: BTreeSet<NodeAddr>,
    /// Empty if the group is left to other probers of this place.
    /// Boxed: the map keeps room for eleven, and a group has two or three.
    nodes: BTreeMap<NodeAddr, Box<Watched>>,
    reign: Reign,
    /// Of which process it was told that the group's data is at stake, and whether it could be
    /// saved then.
    risk_told: Option<(RunId, bool)>,
}

/// The prober.
#[derive(Debug, Clone)]
pub struct Prober {
    config: Config,
    directory: Directory,
    dresser: Dresser,
    pulse: Pulse,
    groups: BTreeMap<GroupName, GroupState>,
    /// Groups of which something new was seen.
    stale: BTreeSet<GroupName>,
    peers: Peers,
    next_share: Option<Instant>,
    /// Whether a group would be left to others if all its nodes were up.
    leave_later: bool,
    timers: Timers<Watch>,
    /// The nodes that have no connection, and those of them that may have crashed.
    away: BTreeSet<Watch>,
    crashing: BTreeSet<Watch>,
    echoes: BTreeMap<VoterId, (Echo, Instant)>,
    /// The lives of the orchestrators heard of, at most [`ORCHESTRATOR_LIMIT`].
    orchestrators: BTreeMap<String, u64>,
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
            peers: Peers::new(config.id.clone(), config.place.clone()),
            next_share: None,
            leave_later: false,
            stale: BTreeSet::new(),
            config,
            directory: Directory::new(now),
            groups: BTreeMap::new(),
            timers: Timers::new(),
            away: BTreeSet::new(),
            crashing: BTreeSet::new(),
            echoes: BTreeMap::new(),
            orchestrators: BTreeMap::new(),
            suspect_told: None,
            outputs: VecDeque::new(),
        }
    }

    /// The newest committed record it knows of the group.
    pub fn known(&self, group: &GroupName) -> Option<&GroupRecord> {
        self.directory.any(group)
    }

    /// The newest committed records, by group.
    pub fn records(&self) -> impl Iterator<Item = &GroupRecord> {
        self.directory.records()
    }

    fn fact(&mut self, fact: Fact, now: Instant) {
        match fact {
            Fact::RecordCommitted(committed) => {
                self.directory.committed(committed);
            }
            Fact::DigestReply(reply) => self.directory.reply(reply, now),
            Fact::Heartbeat(beat) => self.heartbeat(beat, now),
            Fact::StatusQuery(_) => {
                let standings = self.standings(now);
                let beat = self.pulse.beat(self.health(now), standings);
                self.outputs.push_back(Output::Publish(beat.into()));
                // Who asks does not wait until it is repeated.
                self.each_watched(now, Watched::say_again);
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

    /// Says again what is down, and asks for what it missed.
    fn back(&mut self, now: Instant) {
        let beat = self.pulse.back(self.health(now));
        self.outputs.push_back(Output::Publish(beat.into()));
        self.directory.ask_now(now);
        self.directory.handle_timeout(now);
        self.each_watched(now, Watched::say_again);
    }

    /// Remembers a voter's heartbeat; a voter that has just been born, or come back to the bus, is
    /// told again what is down, and an orchestrator that was born what the nodes say of themselves.
    fn heartbeat(&mut self, beat: Heartbeat, now: Instant) {
        if beat.service == Service::Prober {
            self.peers.beat(&beat, now);
            self.share(false, now);
        }
        if beat.service == Service::Orchestrator {
            let full = self.orchestrators.len() >= ORCHESTRATOR_LIMIT;
            let known = self.orchestrators.get(&beat.id).copied();
            if known != Some(beat.incarnation) && (known.is_some() || !full) {
                self.orchestrators.insert(beat.id, beat.incarnation);
                self.each_watched(now, |watched| {
                    watched.watcher.look_again(now);
                    watched.viewed = None;
                });
            }
            return;
        }
        if beat.service != Service::Voter {
            return;
        }
        let Ok(voter) = VoterId::parse(&beat.id) else { return };
        let echo = Echo { voter: voter.clone(), incarnation: beat.incarnation, tick: beat.tick };
        let before = self.echoes.insert(voter, (echo, now));
        let known = before.is_some_and(|(old, _)| old.incarnation == beat.incarnation);
        if known && !beat.back {
            return;
        }
        self.each_watched(now, |watched| watched.watcher.report_again());
    }

    fn each_watched(&mut self, now: Instant, mut act: impl FnMut(&mut Watched)) {
        let watch = |(group, state): (&GroupName, &GroupState)| {
            let watch = |node: &NodeAddr| Watch { group: group.clone(), node: node.clone() };
            state.nodes.keys().map(watch).collect::<Vec<_>>()
        };
        let watches: Vec<_> = self.groups.iter().flat_map(watch).collect();
        for watch in watches {
            if let Some(watched) = self.watched(&watch) {
                act(watched);
            }
            self.drain(&watch, now);
        }
    }

    /// A prober that has heard of no voter knows no group: nobody should rely on it.
    fn health(&self, now: Instant) -> Health {
        if self.directory.is_answered(now) {
            return Health::Well;
        }
        Health::Impaired("no voter answers: it may not know all groups; start the voters".into())
    }

    fn standings(&self, now: Instant) -> Vec<Standing> {
        let stand = |record: &GroupRecord| {
            let mut text = self.standing(record, now);
            let (watchers, quorum) = (self.peers.watchers(record), record.settings.quorum.get());
            if watchers < quorum {
                text += &format!(
                    "; {watchers} probers watch it and its quorum is {quorum}: start more, or \
                     raise watchers_per_place"
                );
            }
            Standing { group: record.group.clone(), epoch: record.epoch, text }
        };
        self.directory.records().map(stand).collect()
    }

    fn standing(&self, record: &GroupRecord, now: Instant) -> String {
        let state = self.groups.get(&record.group).filter(|state| !state.nodes.is_empty());
        let Some(state) = state else { return "left to other probers of this place".into() };
        let tell = |node: &NodeAddr, watched: &Watched| {
            let state = match (watched.watcher.state(), watched.watcher.last_good()) {
                (NodeState::Down(evidence), _) => format!("down ({evidence})"),
                (NodeState::Up, Some(at)) => {
                    format!("up, answered {} ms ago", now.since(at).as_millis())
                }
                (NodeState::Up, None) => "has not answered yet".to_string(),
            };
            format!("{node} {state}")
        };
        let nodes = state.nodes.iter();
        nodes.map(|(node, watched)| tell(node, watched)).collect::<Vec<_>>().join("; ")
    }

    fn link(&mut self, watch: &Watch, attempt: u64, what: LinkEvent, now: Instant) {
        let crowd = Crowd { crashing: self.crashing.len(), away: self.away.len() };
        if let Some(watched) = self.watched(watch) {
            watched.watcher.set_crowd(crowd);
            watched.watcher.handle(attempt, what, now);
        }
        self.drain(watch, now);
    }

    fn watched(&mut self, watch: &Watch) -> Option<&mut Watched> {
        self.groups.get_mut(&watch.group)?.nodes.get_mut(&watch.node).map(Box::as_mut)
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
        while let Some(group) = self.stale.pop_first() {
            self.refresh(&group, now);
        }
    }
}

impl Machine for Prober {
    type Input = Input;
    type Output = Output;

    fn handle(&mut self, input: Input, now: Instant) {
        match input {
            Input::Fact(fact) => self.fact(fact, now),
            Input::Back => self.back(now),
            Input::Link { watch, attempt, what } => self.link(&watch, attempt, what, now),
        }
        self.settle(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        for watch in self.timers.take_due(now) {
            if let Some(watched) = self.watched(&watch) {
                watched.watcher.handle_timeout(now);
            }
            self.drain(&watch, now);
        }
        let beats = self.pulse.is_due(now);
        if beats {
            let beat = self.pulse.beat(self.health(now), Vec::new());
            self.outputs.push_back(Output::Publish(beat.into()));
        }
        let again = beats && self.leave_later;
        if again || self.next_share.is_some_and(|at| now >= at) {
            self.share(again, now);
        }
        self.directory.handle_timeout(now);
        self.settle(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let mine = [
            Some(self.pulse.next()),
            self.directory.poll_timeout(),
            self.timers.next(),
            self.next_share,
        ];
        mine.into_iter().flatten().min()
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }
}

#[cfg(test)]
mod tests;
