//! Connecting, asking, and what a broken connection proves.

use super::role::ROLE_EVERY;
use super::{Act, Crowd, Identity, Watcher};
use core::time::Duration;
use vedette_model::{Instant, NodeFault};

/// A connection attempt that has not ended by itself is given up by us.
const CONNECT_LIMIT: Duration = Duration::from_millis(1_500);
/// Pings under way at most; a silent node gets no more.
pub(super) const PINGS_UNDER_WAY: u32 = 4;
/// While a crash is suspected, reconnects come a tenth of its grace apart, but no faster.
const FASTEST_RECONNECT: Duration = Duration::from_millis(5);
/// Of many nodes that crash at the same time, or are down, one is tried so often: a thousand that are
/// tried like one alone would leave a prober and its machine no time for what has to be done about
/// them.
const ATTEMPT_EVERY: Duration = Duration::from_millis(1);
/// But each of them so often.
const SLOWEST_RECONNECT: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    Closed,
    Opening { since: Instant },
    Open,
}

/// A replica whose connection broke is connected to again after so long. A promotion closes all
/// connections, and applications wait for the promoted node in those milliseconds.
const REPLICA_REST: Duration = Duration::from_millis(20);

/// After a broken link: how reconnecting went so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    broken_at: Instant,
    pub(super) refused: u32,
    /// The grace is over and it still refuses.
    pub(super) proven: bool,
}

impl Watcher {
    pub(super) fn tick_link(&mut self, now: Instant) {
        match self.link {
            Link::Closed if now >= self.next_connect => self.connect(now),
            Link::Opening { since } if now >= since + CONNECT_LIMIT => self.connect(now),
            Link::Open => self.tick_open(now),
            Link::Closed | Link::Opening { .. } => {}
        }
    }

    pub(super) fn link_due(&self) -> Instant {
        match self.link {
            Link::Closed => self.next_connect,
            Link::Opening { since } => since + CONNECT_LIMIT,
            Link::Open => {
                let asks = self.next_ping.min(self.next_info);
                self.role_due().map_or(asks, |role| asks.min(role))
            }
        }
    }

    /// Opens another connection in place of the present one, which proves nothing of the node.
    pub fn reconnect(&mut self, now: Instant) {
        self.connect(now);
    }

    fn connect(&mut self, now: Instant) {
        self.attempt += 1;
        self.link = Link::Opening { since: now };
        self.pings_under_way = 0;
        self.acts.push_back(Act::Connect { attempt: self.attempt });
    }

    pub(super) fn connected(&mut self, now: Instant) {
        self.link = Link::Open;
        self.opened_at = now;
        self.crash = None;
        self.identity = if self.company.master { Identity::Unknown } else { Identity::Known };
        self.next_ping = now;
        self.next_info = now;
        self.roles_anew(now);
        self.tick_open(now);
    }

    /// `INFO` goes first: who it is that answers must be known before the answer counts.
    fn tick_open(&mut self, now: Instant) {
        if self.half_silence().is_some_and(|at| now >= at) {
            self.reopened = true;
            self.connect(now);
            return;
        }
        if now >= self.next_info {
            self.ask_info(now);
        }
        let role = self.role_due().is_some_and(|at| now >= at);
        if role {
            self.ask_role(now);
        }
        // A ping that is due before the next `ROLE` goes with this one: to wake node and prober
        // twice costs more than what is said.
        if now >= self.next_ping || (role && self.next_ping < now + ROLE_EVERY) {
            self.next_ping = now + self.limits.ping_every;
            self.punctual_probe();
            if self.pings_under_way < PINGS_UNDER_WAY {
                self.pings_under_way += 1;
                self.unanswered_since = self.unanswered_since.or(Some(now));
                self.acts.push_back(Act::Ping);
            }
        }
    }

    pub(super) fn ask_info(&mut self, now: Instant) {
        self.next_info = now + self.info_every();
        self.acts.push_back(Act::Info);
    }

    /// Half of `down_after` without an answer, on a connection that old: time for a fresh one.
    pub(super) fn half_silence(&self) -> Option<Instant> {
        let since = self.unanswered_since.filter(|_| self.link == Link::Open && !self.reopened)?;
        Some(since.max(self.opened_at) + self.limits.down_after / 2)
    }

    pub(super) fn lost(&mut self, now: Instant) {
        self.unanswered_since = self.unanswered_since.or(Some(now));
        self.replica = None;
        self.loaded_at = None;
        if !self.lifeless && !self.limits.crash_grace.is_zero() {
            self.crash = Some(Crash { broken_at: now, refused: 0, proven: false });
        }
        if !self.company.master && self.says_replica() {
            self.link = Link::Closed;
            self.next_connect = now + REPLICA_REST;
        } else {
            self.connect(now);
        }
    }

    /// Takes how many of the prober's nodes, this one or others, are as this one is.
    pub const fn set_crowd(&mut self, crowd: Crowd) {
        self.crowd = crowd;
    }

    /// Whether there is no connection.
    pub fn is_away(&self) -> bool {
        self.link != Link::Open
    }

    /// Whether its connection broke, and it is not known yet what that means.
    pub fn may_have_crashed(&self) -> bool {
        self.crash.is_some_and(|crash| !crash.proven)
    }

    pub(super) fn connect_failed(&mut self, fault: NodeFault, now: Instant) {
        self.link = Link::Closed;
        self.next_connect = now + self.limits.ping_every;
        if self.lifeless {
            self.in_turn(now);
        }
        self.punctual_probe();
        match fault {
            NodeFault::Refused => self.refused(now),
            NodeFault::Denied(text) => self.denied(&text, now),
            NodeFault::Unresolved(text) => self.never_resolved(&text, now),
            NodeFault::Broken(_) => self.broken_again(now),
            NodeFault::TimedOut
            | NodeFault::Expired
            | NodeFault::Replaced
            | NodeFault::Error(_) => {
                self.crash = None;
                self.unanswered_since = self.unanswered_since.or(Some(now));
            }
        }
    }

    /// A connection that broke before it was usable. A dying process cuts its clients a moment
    /// before it stops listening: who comes back in between is accepted and cut again. That must
    /// not hide the crash, so it is tried again while the grace lasts.
    fn broken_again(&mut self, now: Instant) {
        self.unanswered_since = self.unanswered_since.or(Some(now));
        let proven_at = self.crash.map(|crash| crash.broken_at + self.limits.crash_grace);
        match proven_at.filter(|at| now < *at) {
            Some(proven_at) => self.next_connect = proven_at.min(now + self.crash_pace()),
            None => self.crash = None,
        }
    }

    /// It is tried again soon: a master that restarts at once, without its data, must be seen
    /// before its replicas see it.
    fn refused(&mut self, now: Instant) {
        self.unanswered_since = self.unanswered_since.or(Some(now));
        let pace = self.crash_pace();
        let Some(crash) = &mut self.crash else { return };
        crash.refused += 1;
        let proven_at = crash.broken_at + self.limits.crash_grace;
        if now < proven_at {
            self.next_connect = proven_at.min(now + pace);
        } else if crash.refused < 2 {
            self.next_connect = now + FASTEST_RECONNECT;
        } else {
            crash.proven = true;
            self.in_turn(now);
        }
    }

    /// One that is down waits for its turn among all that have no connection.
    fn in_turn(&mut self, now: Instant) {
        self.next_connect = self.next_connect.max(now + every(self.crowd.away));
    }

    fn crash_pace(&self) -> Duration {
        let alone = (self.limits.crash_grace / 10).max(FASTEST_RECONNECT);
        alone.max(every(self.crowd.crashing))
    }
}

/// Between two turns of each of so many nodes.
fn every(nodes: usize) -> Duration {
    let turns = u32::try_from(nodes).unwrap_or(u32::MAX);
    ATTEMPT_EVERY.saturating_mul(turns).min(SLOWEST_RECONNECT)
}
