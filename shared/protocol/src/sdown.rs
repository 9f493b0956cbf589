//! Is this node down, as far as I can see?
//!
//! ```text
//!  Connected, Lost ──►┌────────────────────────────────────────────┐──► Connect, Ping, Info
//!  ConnectFailed   ──►│  Up ── silence ≥ down_after ─────► Down    │──► Report (Up / Down + why)
//!  Pong, Info      ──►│     ── link broken, refused twice          │──► View (what INFO said)
//!  trouble         ──►│        over crash_grace ─────────► Down    │──► Event (auth, dns, busy, …)
//!  time            ──►│     ◄── any valid reply ────────── Down    │
//!                     │  stalled: samples thrown away, no verdict  │
//!                     │           before two punctual probes       │
//!                     └────────────────────────────────────────────┘
//! ```
//!
//! Silence is measured from the first unanswered ping. Before silence is believed, half-way, a
//! fresh connection is opened: after a network cut an old one may stay stuck long after the cut.

use crate::prober::{LinkEvent, PingReply};
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use vedette_model::{
    EventName, Evidence, Instant, NodeFault, NodeState, NodeView, RunId, Settings,
};

/// A down node is reported again this often.
pub const REPORT_EVERY: Duration = Duration::from_secs(1);
/// `INFO` in quiet times, and in trouble.
const INFO_EVERY: Duration = Duration::from_secs(10);
const INFO_EVERY_IN_TROUBLE: Duration = Duration::from_secs(1);
/// A connection attempt that has not ended by itself is given up by us.
const CONNECT_LIMIT: Duration = Duration::from_millis(1_500);
/// Pings under way at most; a silent node gets no more.
const PINGS_UNDER_WAY: u32 = 4;
/// Punctual probes needed after a stall.
const PROBATION: u8 = 2;

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
    /// Tell the voters.
    Report(NodeState),
    /// Tell the orchestrators.
    View(NodeView),
    /// Tell people.
    Event(EventName, String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Closed,
    Opening { since: Instant },
    Open,
}

/// After a broken link: how reconnecting went so far.
#[derive(Debug, Clone, Copy)]
struct Crash {
    broken_at: Instant,
    refused: u32,
}

/// One prober's watch over one node.
#[derive(Debug, Clone)]
pub struct Watcher {
    down_after: Duration,
    crash_grace: Duration,
    busy_budget: Duration,
    ping_every: Duration,
    in_trouble: bool,
    link: Link,
    attempt: u64,
    opened_at: Instant,
    next_connect: Instant,
    next_ping: Instant,
    pings_under_way: u32,
    next_info: Instant,
    unanswered_since: Option<Instant>,
    reopened: bool,
    last_good: Option<Instant>,
    busy_since: Option<Instant>,
    crash: Option<Crash>,
    probation: u8,
    state: NodeState,
    next_report: Option<Instant>,
    trouble: Option<EventName>,
    /// `INFO` is refused; that `PING` is answered does not end this trouble.
    info_denied: bool,
    run_id: Option<RunId>,
    acts: VecDeque<Act>,
}

impl Watcher {
    /// Starts watching: connects at once.
    pub fn new(settings: &Settings, now: Instant) -> Self {
        let mut watcher = Self {
            down_after: settings.down_after(),
            crash_grace: Duration::from_millis(settings.crash_grace_ms),
            busy_budget: Duration::from_millis(settings.busy_budget_ms),
            ping_every: settings.ping_interval(),
            in_trouble: false,
            link: Link::Closed,
            attempt: 0,
            opened_at: now,
            next_connect: now,
            next_ping: now,
            pings_under_way: 0,
            next_info: now,
            unanswered_since: Some(now),
            reopened: false,
            last_good: None,
            busy_since: None,
            crash: None,
            probation: 0,
            state: NodeState::Up,
            next_report: None,
            trouble: None,
            info_denied: false,
            run_id: None,
            acts: VecDeque::new(),
        };
        watcher.handle_timeout(now);
        watcher
    }

    /// Takes changed settings.
    pub fn set(&mut self, settings: &Settings) {
        self.down_after = settings.down_after();
        self.crash_grace = Duration::from_millis(settings.crash_grace_ms);
        self.busy_budget = Duration::from_millis(settings.busy_budget_ms);
        self.ping_every = settings.ping_interval();
    }

    /// Whether the group is in trouble, so that `INFO` is wanted more often.
    pub fn set_trouble(&mut self, in_trouble: bool, now: Instant) {
        if in_trouble && !self.in_trouble {
            self.next_info = now;
        }
        self.in_trouble = in_trouble;
    }

    /// The present opinion.
    pub const fn state(&self) -> &NodeState {
        &self.state
    }

    /// The process last seen there.
    pub const fn run_id(&self) -> Option<&RunId> {
        self.run_id.as_ref()
    }

    /// When the last valid reply came.
    pub const fn last_good(&self) -> Option<Instant> {
        self.last_good
    }

    /// Says the present opinion again, for a voter that has just been born.
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
            LinkEvent::Connected => self.connected(now),
            LinkEvent::ConnectFailed(fault) => self.connect_failed(fault, now),
            LinkEvent::Lost => self.lost(now),
            LinkEvent::Pong(reply) => self.pong(reply, now),
            LinkEvent::Info(Ok(view)) => self.info(view),
            LinkEvent::Info(Err(NodeFault::Denied(text))) => {
                self.info_denied = true;
                self.denied(&text, now);
            }
            LinkEvent::Info(Err(_)) => {}
        }
        self.judge(now);
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.notice_stall(now);
        match self.link {
            Link::Closed if now >= self.next_connect => self.connect(now),
            Link::Opening { since } if now >= since + CONNECT_LIMIT => self.connect(now),
            Link::Open => self.tick_open(now),
            Link::Closed | Link::Opening { .. } => {}
        }
        if self.next_report.is_some_and(|at| now >= at) {
            self.report(now);
        }
        self.judge(now);
    }

    /// When something is due next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let link = match self.link {
            Link::Closed => self.next_connect,
            Link::Opening { since } => since + CONNECT_LIMIT,
            Link::Open => self.next_ping.min(self.next_info),
        };
        let verdict = match (&self.state, self.unanswered_since) {
            (NodeState::Up, Some(since)) if self.probation == 0 => Some(since + self.down_after),
            (NodeState::Up | NodeState::Down(_), _) => None,
        };
        [Some(link), verdict, self.half_silence(), self.busy_end(), self.next_report]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Act> {
        self.acts.pop_front()
    }

    fn connect(&mut self, now: Instant) {
        self.attempt += 1;
        self.link = Link::Opening { since: now };
        self.pings_under_way = 0;
        self.acts.push_back(Act::Connect { attempt: self.attempt });
    }

    fn connected(&mut self, now: Instant) {
        self.link = Link::Open;
        self.opened_at = now;
        self.crash = None;
        self.next_ping = now;
        self.next_info = now;
        self.tick_open(now);
    }

    fn tick_open(&mut self, now: Instant) {
        if self.half_silence().is_some_and(|at| now >= at) {
            self.reopened = true;
            self.connect(now);
            return;
        }
        if now >= self.next_ping {
            self.next_ping = now + self.ping_every;
            self.punctual_probe();
            if self.pings_under_way < PINGS_UNDER_WAY {
                self.pings_under_way += 1;
                self.unanswered_since = self.unanswered_since.or(Some(now));
                self.acts.push_back(Act::Ping);
            }
        }
        if now >= self.next_info {
            let every = if self.in_trouble { INFO_EVERY_IN_TROUBLE } else { INFO_EVERY };
            self.next_info = now + every;
            self.acts.push_back(Act::Info);
        }
    }

    /// Half of `down_after` without an answer, on a connection that old: time for a fresh one.
    fn half_silence(&self) -> Option<Instant> {
        let since = self.unanswered_since.filter(|_| self.link == Link::Open && !self.reopened)?;
        Some(since.max(self.opened_at) + self.down_after / 2)
    }

    fn busy_end(&self) -> Option<Instant> {
        let judged = self.state == NodeState::Up && self.probation == 0;
        self.busy_since.filter(|_| judged).map(|at| at + self.busy_budget)
    }

    fn lost(&mut self, now: Instant) {
        self.unanswered_since = self.unanswered_since.or(Some(now));
        if self.state == NodeState::Up && !self.crash_grace.is_zero() {
            self.crash = Some(Crash { broken_at: now, refused: 0 });
        }
        self.connect(now);
    }

    fn connect_failed(&mut self, fault: NodeFault, now: Instant) {
        self.link = Link::Closed;
        self.next_connect = now + self.ping_every;
        self.punctual_probe();
        match fault {
            NodeFault::Refused => self.refused(now),
            NodeFault::Denied(text) => self.denied(&text, now),
            NodeFault::Unresolved(text) => {
                self.crash = None;
                self.busy_since = None;
                self.unanswered_since = None;
                let cause = format!(
                    "its name does not resolve ({text}): nothing is voted; check the resolver, or \
                     declare the node by its IP address"
                );
                self.enter_trouble(EventName::DnsError, cause);
            }
            NodeFault::Broken(_) => self.broken_again(now),
            NodeFault::TimedOut | NodeFault::Expired | NodeFault::Error(_) => {
                self.crash = None;
                self.unanswered_since = self.unanswered_since.or(Some(now));
            }
        }
    }

    /// A connection that broke before it was usable. A dying process cuts its clients a moment
    /// before it stops listening: who comes back in between is accepted and cut again. That must
    /// not hide the crash, so it is tried a few times more while the grace lasts.
    fn broken_again(&mut self, now: Instant) {
        self.unanswered_since = self.unanswered_since.or(Some(now));
        match &self.crash {
            Some(crash) if now < crash.broken_at + self.crash_grace => {
                self.next_connect = now + (self.crash_grace / 10).max(Duration::from_millis(1));
            }
            Some(_) | None => self.crash = None,
        }
    }

    fn refused(&mut self, now: Instant) {
        self.unanswered_since = self.unanswered_since.or(Some(now));
        let Some(crash) = &mut self.crash else { return };
        crash.refused += 1;
        let proven_at = crash.broken_at + self.crash_grace;
        if crash.refused < 2 || now < proven_at {
            self.next_connect = proven_at.max(now + Duration::from_millis(1));
        }
    }

    fn denied(&mut self, text: &str, now: Instant) {
        self.busy_since = None;
        self.alive(now);
        let cause = format!(
            "it refuses our login or command ({text}): nothing is voted; correct the group's \
             credentials or the node's ACL"
        );
        self.enter_trouble(EventName::AuthError, cause);
    }

    fn pong(&mut self, reply: PingReply, now: Instant) {
        self.pings_under_way = self.pings_under_way.saturating_sub(1);
        match reply {
            PingReply::Pong | PingReply::Loading | PingReply::MasterDown => {
                self.good(now);
                self.leave_trouble();
            }
            PingReply::Busy => {
                let since = *self.busy_since.get_or_insert(now);
                self.last_good = Some(now);
                if now.since(since) < self.busy_budget {
                    self.alive(now);
                }
                let cause = format!(
                    "a script runs past its threshold; it counts as down after {} ms of that; end \
                     it by SCRIPT KILL",
                    self.busy_budget.as_millis()
                );
                self.enter_trouble(EventName::Busy, cause);
            }
            PingReply::Misconf => {
                self.good(now);
                let cause = "it cannot write its disk and refuses writes: free space there, see \
                             rdb_last_bgsave_status";
                self.enter_trouble(EventName::WriteImpaired, cause.into());
            }
            PingReply::Denied(text) => self.denied(&text, now),
            PingReply::Other(_) => {}
        }
    }

    fn info(&mut self, view: NodeView) {
        self.info_denied = false;
        let before = self.run_id.replace(view.run_id.clone());
        if let Some(before) = before.filter(|b| b != &view.run_id) {
            let cause = format!("run id {before} became {}", view.run_id);
            self.acts.push_back(Act::Event(EventName::Reboot, cause));
        }
        self.acts.push_back(Act::View(view));
    }

    /// A valid reply: the node lives and serves.
    fn good(&mut self, now: Instant) {
        self.busy_since = None;
        self.last_good = Some(now);
        self.alive(now);
    }

    fn alive(&mut self, now: Instant) {
        self.unanswered_since = None;
        self.reopened = false;
        self.crash = None;
        if self.state != NodeState::Up {
            self.state = NodeState::Up;
            self.report(now);
        }
    }

    fn enter_trouble(&mut self, name: EventName, cause: String) {
        if self.trouble != Some(name) {
            self.trouble = Some(name);
            self.acts.push_back(Act::Event(name, cause));
        }
    }

    fn leave_trouble(&mut self) {
        if self.info_denied && self.trouble == Some(EventName::AuthError) {
            return;
        }
        if let Some(name) = self.trouble.take() {
            self.acts.push_back(Act::Event(EventName::TroubleOver, format!("{name} is over")));
        }
    }

    fn judge(&mut self, now: Instant) {
        if self.state != NodeState::Up || self.probation > 0 {
            return;
        }
        let Some(evidence) = self.evidence(now) else { return };
        self.state = NodeState::Down(evidence);
        self.report(now);
    }

    fn evidence(&self, now: Instant) -> Option<Evidence> {
        let millis =
            |since: Instant| u64::try_from(now.since(since).as_millis()).unwrap_or(u64::MAX);
        if let Some(crash) = self.crash
            && crash.refused >= 2
            && now >= crash.broken_at + self.crash_grace
        {
            return Some(Evidence::Crash { refused: crash.refused });
        }
        if let Some(since) = self.busy_since
            && now >= since + self.busy_budget
        {
            return Some(Evidence::Busy { for_ms: millis(since) });
        }
        let since = self.unanswered_since?;
        (now >= since + self.down_after).then(|| Evidence::Silence { for_ms: millis(since) })
    }

    fn report(&mut self, now: Instant) {
        self.acts.push_back(Act::Report(self.state.clone()));
        self.next_report = (self.state != NodeState::Up).then(|| now + REPORT_EVERY);
    }

    fn punctual_probe(&mut self) {
        if self.probation == 1 {
            let cause = "this prober keeps time again";
            self.acts.push_back(Act::Event(EventName::SelfSuspectOver, cause.into()));
        }
        self.probation = self.probation.saturating_sub(1);
    }

    /// The loop woke so late that what was measured meanwhile says more about us than about the
    /// node.
    fn notice_stall(&mut self, now: Instant) {
        let Some(due) = self.poll_timeout() else { return };
        if now < due + self.down_after / 4 {
            return;
        }
        let late = now.since(due).as_millis();
        self.probation = PROBATION;
        self.crash = None;
        self.busy_since = None;
        self.reopened = false;
        self.unanswered_since = self.unanswered_since.map(|_| now);
        self.next_report = self.next_report.map(|_| now);
        self.next_ping = now;
        self.next_connect = now;
        if let Link::Opening { .. } = self.link {
            self.link = Link::Opening { since: now };
        }
        if self.next_info < now {
            self.next_info = now;
        }
        if self.state != NodeState::Up {
            self.state = NodeState::Up;
            self.report(now);
        }
        let cause = format!("this prober was stalled for {late} ms; its samples are thrown away");
        self.acts.push_back(Act::Event(EventName::SelfSuspect, cause));
    }
}

#[cfg(test)]
mod tests;
