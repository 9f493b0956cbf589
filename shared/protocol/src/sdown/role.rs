//! What changes between two `INFO`s and readers must know soon: a replica's link, which replicas a
//! master has, and how far these are behind. `ROLE` is small enough to ask for it again and again;
//! as soon as it says something else than `INFO` did, `INFO` is asked for.

use super::link::PINGS_UNDER_WAY;
use super::{Act, Watcher};
use crate::prober::RoleReply;
use core::time::Duration;
use vedette_model::{Instant, NodeView, Role};

/// Between two `ROLE`s in quiet times. In trouble `INFO` comes as often.
pub(super) const ROLE_EVERY: Duration = Duration::from_millis(800);

/// What was heard of the node's part in replication.
#[derive(Debug, Clone, Default)]
pub(super) struct Roles {
    next: Instant,
    refused: bool,
    /// Whether the replica's link is up; nothing of a master, and before the first `INFO`.
    linked: Option<bool>,
    /// The master's offset by the `ROLE` before, and how many replicas it listed.
    listed: Option<(u64, usize)>,
    /// Whether a replica had not acknowledged by then what the master held one `ROLE` before.
    behind: bool,
}

impl Watcher {
    /// On a new connection it is asked again, after an `INFO`.
    pub(super) fn roles_anew(&mut self, now: Instant) {
        self.roles = Roles { next: now + ROLE_EVERY, ..Roles::default() };
    }

    /// Not before this moment: what is due in the past looks like a prober that was stalled.
    pub(super) fn ask_role_from(&mut self, now: Instant) {
        self.roles.next = self.roles.next.max(now);
    }

    /// Not while too much is owed already: a silent node gets no more.
    pub(super) const fn role_due(&self) -> Option<Instant> {
        let owes = self.pings_under_way >= PINGS_UNDER_WAY;
        if self.in_trouble || self.roles.refused || owes { None } else { Some(self.roles.next) }
    }

    /// Whether the node called itself a replica when it was heard last on this connection.
    pub(super) const fn says_replica(&self) -> bool {
        self.roles.linked.is_some()
    }

    pub(super) fn ask_role(&mut self, now: Instant) {
        self.roles.next = now + ROLE_EVERY;
        self.acts.push_back(Act::Role);
    }

    /// `INFO` says all that `ROLE` does.
    pub(super) fn see_role(&mut self, view: &NodeView) {
        self.roles.linked = match view.role {
            Role::Replica => Some(view.upstream.as_ref().is_some_and(|up| up.link_up)),
            Role::Master => None,
        };
    }

    pub(super) fn role(&mut self, reply: RoleReply, now: Instant) {
        let before = &self.roles;
        let (linked, listed, behind) = match reply {
            RoleReply::Refused => {
                self.roles.refused = true;
                return;
            }
            RoleReply::Unclear => return,
            RoleReply::Replica { linked } => (Some(linked), None, false),
            RoleReply::Master { offset, replicas, least } => {
                let held = least.zip(before.listed);
                let behind = held.is_some_and(|(least, (before, _))| least < before);
                (None, Some((offset, replicas)), behind)
            }
        };
        let other = before.listed.zip(listed).is_some_and(|((_, before), (_, now))| before != now);
        // Once more when they have caught up.
        let news = linked != before.linked || other || behind || before.behind;
        self.roles = Roles { linked, listed, behind, ..self.roles };
        if news {
            self.ask_info(now);
        }
    }
}
