//! What each answer says of the node, and the troubles that are told while they last.

use super::{Act, Identity, Watcher};
use crate::prober::PingReply;
use alloc::format;
use alloc::string::String;
use core::time::Duration;
use vedette_model::{EventName, Instant, NodeFault, NodeView, Role};

/// A node that loads its data set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Loading {
    /// The first `-LOADING`.
    pub(super) since: Instant,
    /// It answers otherwise now; who it is has not been heard yet.
    pub(super) over: bool,
    /// Whether people know that it has used up its budget and is waited for all the same.
    pub(super) waiting_told: bool,
}

impl Watcher {
    pub(super) fn pong(&mut self, reply: PingReply, now: Instant) {
        self.pings_under_way = self.pings_under_way.saturating_sub(1);
        // It was not due while too much was owed.
        self.ask_role_from(now);
        match reply {
            PingReply::Pong | PingReply::MasterDown => {
                self.refuses_writes_since = None;
                self.loaded(now);
                self.good(now);
                self.leave_answered();
                self.leave_write_impaired();
            }
            PingReply::Loading => self.loads(now),
            PingReply::Busy => self.busy(now),
            PingReply::Misconf => {
                self.refuses_writes_since = self.refuses_writes_since.or(Some(now));
                self.loaded(now);
                self.good(now);
                self.leave_answered();
                let cause = "it cannot write its disk and refuses writes: free space there, see \
                             rdb_last_bgsave_status";
                self.enter(EventName::WriteImpaired, cause.into());
            }
            PingReply::Denied(text) => self.denied(&text, now),
            PingReply::Other(_) => {}
        }
    }

    fn busy(&mut self, now: Instant) {
        let since = *self.busy_since.get_or_insert(now);
        self.last_good = Some(now);
        if now.since(since) < self.limits.busy_budget {
            self.alive(now);
        }
        let cause = format!(
            "a script runs past its threshold; it counts as down after {} ms of that; end it by \
             SCRIPT KILL",
            self.limits.busy_budget.as_millis()
        );
        self.enter(EventName::Busy, cause);
    }

    fn loads(&mut self, now: Instant) {
        let first = self.loading.is_none();
        let begun = Loading { since: now, over: false, waiting_told: false };
        self.loading.get_or_insert(begun).over = false;
        self.good(now);
        if first && self.loaded_at.is_none() {
            self.ask_info(now);
        } else {
            self.tell_loading(now);
        }
    }

    /// Told with the estimate that the first `INFO` gives, or at the second `-LOADING`.
    fn tell_loading(&mut self, now: Instant) {
        let end = match self.loaded_at {
            Some(at) => format!("about {} ms more by its own estimate", at.since(now).as_millis()),
            None => "it gives no estimate".into(),
        };
        let patience = match self.limits.loading_budget {
            Some(budget) => format!("it counts as down after {} ms of that", budget.as_millis()),
            None => "it may take as long as it takes".into(),
        };
        self.enter(EventName::Loading, format!("it loads its data set: {end}; {patience}"));
    }

    /// It answers otherwise than by `-LOADING`. Of the master it must be heard first what it has
    /// loaded.
    fn loaded(&mut self, now: Instant) {
        let Some(loading) = &mut self.loading else { return };
        if self.company.master && !loading.over {
            loading.over = true;
            self.identity = Identity::Unknown;
            self.ask_info(now);
        }
        if self.identity == Identity::Known {
            self.loading_over();
        }
    }

    fn loading_over(&mut self) {
        self.loading = None;
        self.leave(EventName::Loading);
    }

    pub(super) fn info(&mut self, answer: Result<NodeView, NodeFault>, now: Instant) {
        match answer {
            Ok(view) => self.view(view, now),
            Err(NodeFault::Denied(text)) => {
                self.info_denied = true;
                self.denied(&text, now);
            }
            // What it holds cannot be learned; that it answers is all there is to go by.
            Err(_) if self.identity != Identity::Known => self.identify(now),
            Err(_) => {}
        }
    }

    fn view(&mut self, view: NodeView, now: Instant) {
        self.info_denied = false;
        let before = self.run_id.replace(view.run_id.clone());
        if let Some(before) = before.filter(|b| b != &view.run_id) {
            self.tell(EventName::Reboot, format!("run id {before} became {}", view.run_id));
        }
        self.loaded_at = view
            .loading_eta_ms
            .filter(|_| view.loading)
            .map(|millis| now + Duration::from_millis(millis));
        if view.loading && self.loading.is_some_and(|l| !l.over) {
            self.tell_loading(now);
        }
        self.replica = match (view.role, self.replica) {
            (Role::Replica, before) if self.company.master => {
                Some((before.map_or(now, |(first, _)| first), now))
            }
            (Role::Replica | Role::Master, _) => None,
        };
        self.disk_ok = view.persistence_ok;
        if self.disk_ok {
            self.leave_write_impaired();
        } else {
            let cause = "its last save or its last write of the append-only file failed: see \
                         rdb_last_bgsave_status and aof_last_write_status, free space there";
            self.enter(EventName::WriteImpaired, cause.into());
        }
        self.see_role(&view);
        if self.identity == Identity::Unknown && !view.loading {
            self.identity = Identity::Told;
        }
        self.acts.push_back(Act::View(view));
    }

    /// It is known who answers, or that it will not be known.
    pub(super) fn identify(&mut self, now: Instant) {
        self.identity = Identity::Known;
        if self.loading.is_some_and(|loading| loading.over) {
            self.loading_over();
        }
        if self.unanswered_since.is_none() && self.busy_since.is_none() {
            self.alive(now);
        }
    }

    /// Whatever was wrong with it cannot be seen any more, and that is the monitoring's fault.
    fn cannot_judge(&mut self, now: Instant) {
        self.busy_since = None;
        self.loading = None;
        self.refuses_writes_since = None;
        self.identity = Identity::Known;
        self.alive(now);
    }

    pub(super) fn denied(&mut self, text: &str, now: Instant) {
        self.cannot_judge(now);
        let cause = format!(
            "it refuses our login or command ({text}): nothing is voted; correct the group's \
             credentials or the node's ACL"
        );
        self.enter(EventName::AuthError, cause);
    }

    /// The name has never resolved: there is nothing to judge by.
    pub(super) fn never_resolved(&mut self, text: &str, now: Instant) {
        self.cannot_judge(now);
        let cause = format!(
            "its name does not resolve ({text}): nothing is voted; check the resolver, or declare \
             the node by its IP address"
        );
        self.enter(EventName::DnsError, cause);
    }

    /// Looked up again: whether the name still resolves.
    pub(super) fn name(&mut self, resolved: Result<(), String>) {
        self.name_lost = resolved.is_err();
        match resolved {
            Ok(()) => self.leave(EventName::DnsError),
            Err(text) => {
                let cause = format!(
                    "its name does not resolve any more ({text}): it is judged by the address it \
                     had; check the resolver, or whether the node was removed"
                );
                self.enter(EventName::DnsError, cause);
            }
        }
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
        if self.identity == Identity::Known {
            self.lifeless = false;
            self.judge(now);
        }
    }

    fn enter(&mut self, name: EventName, cause: String) {
        if self.troubles.insert(name) {
            self.tell(name, cause);
        }
    }

    fn leave(&mut self, name: EventName) {
        if self.troubles.remove(&name) {
            self.tell(EventName::TroubleOver, format!("{name} is over"));
        }
    }

    /// Ends the troubles that a valid answer disproves.
    fn leave_answered(&mut self) {
        self.leave(EventName::Busy);
        if !self.info_denied {
            self.leave(EventName::AuthError);
        }
        if !self.name_lost {
            self.leave(EventName::DnsError);
        }
    }

    fn leave_write_impaired(&mut self) {
        if self.disk_ok && self.refuses_writes_since.is_none() {
            self.leave(EventName::WriteImpaired);
        }
    }
}
