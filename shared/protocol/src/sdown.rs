//! Is this node down, as far as I can see?
//!
//! ```text
//!  Connected, Lost ──►┌────────────────────────────────────────────┐──► Connect, Ping, Info, Role
//!  ConnectFailed   ──►│  Up ── silence ≥ down_after ─────► Down    │──► Report (Up / Down + why)
//!  Pong, Info, Role──►│     ── link broken, refused twice          │──► View (what INFO said)
//!  Name            ──►│        over crash_grace ─────────► Down    │──► Event (auth, dns, busy, …)
//!  company         ──►│     ── busy, loading, reborn, wrong        │
//!  time            ──►│        role, disk full too long ─► Down    │
//!                     │     ◄── the reason is over ─────── Down    │
//!                     │  stalled: samples thrown away, no verdict  │
//!                     │           before two punctual probes       │
//!                     └────────────────────────────────────────────┘
//! ```
//!
//! `link` connects, asks and measures; `trouble` says what each answer means; `verdict` draws the
//! conclusion. Silence is measured from the first unanswered ping. Before silence is believed,
//! half-way, a fresh connection is opened: after a network cut an old one may stay stuck long
//! after the cut.

mod link;
mod role;
mod trouble;
mod verdict;

use crate::prober::LinkEvent;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::string::String;
use core::time::Duration;
use link::{Crash, Link};
use role::Roles;
use trouble::Loading;
use vedette_model::{EventName, Instant, NodeState, NodeView, RunId, Settings};

/// A down node is reported again this often, and one that is not the recorded master so often after
/// the first time: nobody counts how many call it down but who shows it.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);
const REPORT_OTHERS_EVERY: Duration = Duration::from_secs(5);
/// `INFO` in quiet times, and in trouble.
const INFO_EVERY: Duration = Duration::from_secs(10);
const INFO_EVERY_IN_TROUBLE: Duration = Duration::from_secs(1);

/// What to do about the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Open a connection, dropping the one before.
    Connect {
        /// Its number.
        attempt: u64,
    },
    /// Send `PING`.
    Ping,
    /// Send `INFO`.
    Info,
    /// Send `ROLE`.
    Role,
    /// Tell the voters.
    Report(NodeState),
    /// Tell the orchestrators. Whoever knows the group answers with [`Watcher::keep_company`].
    View(NodeView),
    /// Tell people.
    Event(EventName, String),
}

/// What the group's record and its other nodes say of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Company {
    /// Whether it is the recorded master.
    pub master: bool,
    /// Whether a member could take its place: a loaded replica of the group's history.
    pub spare: bool,
    /// Whether such a one has its link up and a disk that works.
    pub writable_spare: bool,
    /// The process that answers there, if its data does not continue the group's.
    pub reborn: Option<RunId>,
}

/// How many of a prober's nodes are gone at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Crowd {
    /// Those whose connection broke, while it is not known yet what that means.
    pub crashing: usize,
    /// Those without a connection, these too.
    pub away: usize,
}

/// The settings that the verdict depends on.
#[derive(Debug, Clone)]
struct Limits {
    down_after: Duration,
    crash_grace: Duration,
    busy_budget: Duration,
    /// None: it may load for ever.
    loading_budget: Option<Duration>,
    ping_every: Duration,
    switch_when_write_impaired: bool,
}

impl From<&Settings> for Limits {
    fn from(settings: &Settings) -> Self {
        Self {
            down_after: settings.down_after(),
            crash_grace: Duration::from_millis(settings.crash_grace_ms),
            busy_budget: Duration::from_millis(settings.busy_budget_ms),
            loading_budget: settings.loading_budget(),
            ping_every: settings.ping_interval(),
            switch_when_write_impaired: settings.switch_when_write_impaired,
        }
    }
}

/// What `INFO` has said on the present connection, where that must be known before the node
/// counts as alive: on the recorded master, whose process may be another one than before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Identity {
    /// Nothing yet.
    Unknown,
    /// It was told; the company has not been heard on it.
    Told,
    /// It was told and heard on, or does not matter.
    Known,
}

/// One prober's watch over one node.
#[derive(Debug, Clone)]
pub struct Watcher {
    limits: Limits,
    company: Company,
    in_trouble: bool,
    // The link.
    link: Link,
    attempt: u64,
    opened_at: Instant,
    next_connect: Instant,
    crowd: Crowd,
    next_ping: Instant,
    pings_under_way: u32,
    next_info: Instant,
    roles: Roles,
    identity: Identity,
    // What the answers, or their lack, say.
    unanswered_since: Option<Instant>,
    reopened: bool,
    last_good: Option<Instant>,
    crash: Option<Crash>,
    busy_since: Option<Instant>,
    loading: Option<Loading>,
    /// When it will have loaded, by the newest `INFO`.
    loaded_at: Option<Instant>,
    refuses_writes_since: Option<Instant>,
    /// By the newest `INFO`.
    disk_ok: bool,
    /// The first and the newest `INFO` in a row by which the recorded master is a replica.
    replica: Option<(Instant, Instant)>,
    run_id: Option<RunId>,
    /// Each is told when it begins and when it is over.
    troubles: BTreeSet<EventName>,
    /// `INFO` is refused; that `PING` is answered does not end this trouble.
    info_denied: bool,
    /// Its name does not resolve; that it answers at its last address does not end this trouble.
    name_lost: bool,
    // The verdict.
    probation: u8,
    state: NodeState,
    /// Down by what only an answer ends.
    lifeless: bool,
    next_report: Option<Instant>,
    /// Since when it is down, or was so in another reign.
    down_since: Instant,
    acts: VecDeque<Act>,
}

impl Watcher {
    /// Starts watching: connects at once.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let mut watcher = Self {
            limits: settings.into(),
            company: Company::default(),
            in_trouble: false,
            link: Link::Closed,
            attempt: 0,
            opened_at: now,
            next_connect: now,
            crowd: Crowd::default(),
            next_ping: now,
            pings_under_way: 0,
            next_info: now,
            roles: Roles::default(),
            identity: Identity::Known,
            unanswered_since: Some(now),
            reopened: false,
            last_good: None,
            crash: None,
            busy_since: None,
            loading: None,
            loaded_at: None,
            refuses_writes_since: None,
            disk_ok: true,
            replica: None,
            run_id: None,
            troubles: BTreeSet::new(),
            info_denied: false,
            name_lost: false,
            probation: 0,
            state: NodeState::Up,
            lifeless: false,
            next_report: None,
            down_since: now,
            acts: VecDeque::new(),
        };
        watcher.handle_timeout(now);
        watcher
    }

    /// Takes changed settings.
    pub fn set(&mut self, settings: &Settings) {
        self.limits = settings.into();
    }

    /// Whether the group is in trouble, so that `INFO` is wanted more often.
    pub fn set_trouble(&mut self, in_trouble: bool, now: Instant) {
        if in_trouble && !self.in_trouble {
            self.next_info = now;
        }
        if !in_trouble && self.in_trouble {
            self.ask_role_from(now);
        }
        self.in_trouble = in_trouble;
    }

    /// Takes what the record and the other nodes say of this one, and with it that the newest
    /// view was heard on.
    pub fn keep_company(&mut self, company: Company, now: Instant) {
        if !company.master {
            self.replica = None;
        }
        self.company = company;
        if self.identity == Identity::Told {
            self.identify(now);
        }
        self.judge(now);
    }

    /// Another epoch began: what role the node should have is judged anew, and who is still down
    /// is reported again within a second.
    pub fn new_reign(&mut self, now: Instant) {
        self.replica = None;
        self.down_since = now;
        self.next_report = self.next_report.map(|at| at.min(now + REPORT_EVERY));
        self.judge(now);
    }

    /// The number of the newest connection.
    #[cfg(test)]
    pub(crate) const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The present opinion.
    pub const fn state(&self) -> &NodeState {
        &self.state
    }

    /// Whether anything about the node asks for a closer look at its whole group.
    pub fn is_troubled(&self) -> bool {
        self.state != NodeState::Up
            || self.loading.is_some()
            || self.replica.is_some()
            || self.troubles.contains(&EventName::WriteImpaired)
    }

    /// Whether it is asked for `INFO` as often as is done in trouble.
    pub const fn is_asked_often(&self) -> bool {
        self.in_trouble
    }

    /// The process last seen there.
    pub const fn run_id(&self) -> Option<&RunId> {
        self.run_id.as_ref()
    }

    /// When the last valid reply came.
    pub const fn last_good(&self) -> Option<Instant> {
        self.last_good
    }

    /// Asks for `INFO` as soon as it can, for an orchestrator that has just been born.
    pub const fn look_again(&mut self, now: Instant) {
        self.next_info = now;
    }

    /// Says the present opinion again, for a voter that may not have heard it.
    pub fn report_again(&mut self) {
        if self.state != NodeState::Up {
            self.acts.push_back(Act::Report(self.state.clone()));
        }
    }

    /// Takes what happened on connection number `attempt`.
    pub fn handle(&mut self, attempt: u64, what: LinkEvent, now: Instant) {
        self.notice_stall(now);
        if attempt != self.attempt {
            return;
        }
        match what {
            LinkEvent::Name(resolved) => self.name(resolved),
            LinkEvent::Connected => self.connected(now),
            LinkEvent::ConnectFailed(fault) => self.connect_failed(fault, now),
            LinkEvent::Lost => self.lost(now),
            LinkEvent::Pong(reply) => self.pong(reply, now),
            LinkEvent::Info(answer) => self.info(answer, now),
            LinkEvent::Role(reply) => self.role(reply, now),
        }
        self.judge(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        self.tick_link(now);
        if self.next_report.is_some_and(|at| now >= at) {
            self.report(now);
        }
        self.judge(now);
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        [Some(self.link_due()), self.half_silence(), self.verdict_due(), self.next_report]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    fn info_every(&self) -> Duration {
        if self.in_trouble { INFO_EVERY_IN_TROUBLE } else { INFO_EVERY }
    }

    fn tell(&mut self, name: EventName, cause: impl Into<String>) {
        self.acts.push_back(Act::Event(name, cause.into()));
    }
}

#[cfg(test)]
mod tests;
