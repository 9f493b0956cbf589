//! What others say, in Sentinel's words: the events of the bus, with the steps between them that
//! only Sentinel names; the roles of nodes; the other gateways, which are Sentinels to clients.
//!
//! Nothing is told that is not known to be so. What Sentinel tells and nobody here does stands in
//! `docs/migration.md`.

use super::tell::{instance, sentinel_id};
use super::{Gateway, Peer};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{Event, EventName, GroupRecord, Instant, NodeAddr, Role};

/// What the gateway tells by itself, from what is known here.
const OWN: [EventName; 6] = [
    EventName::SwitchMaster,
    EventName::Slave,
    EventName::Sdown,
    EventName::SdownOver,
    EventName::Odown,
    EventName::OdownOver,
];
/// Sentinel's step that begins, or has ended too, where Vedette's event is; of the same instance.
const NEXT: [(EventName, &str); 3] = [
    (EventName::ElectedLeader, "+failover-state-select-slave"),
    (EventName::SendSlaveofNoOne, "+failover-state-wait-promotion"),
    (EventName::FailoverEndForTimeout, "+failover-end"),
];
/// So long Sentinel waits for votes, or as long as a failover may last.
const ELECTION_LIMIT: Duration = Duration::from_secs(10);

impl Gateway {
    /// Passes an event on, unless it is one that the gateway tells by itself.
    pub(super) fn event(&mut self, event: &Event, now: Instant) {
        // Each prober says it of the new process, in the same words.
        let id = if event.name == EventName::Reboot { &event.cause } else { &event.id };
        if OWN.contains(&event.name) || !self.once.is_new(id) {
            return;
        }
        let record = self.directory.get(&event.group);
        let payload = match (event.name, record) {
            (EventName::SelfSuspect, _) => "#tilt mode entered".into(),
            (EventName::SelfSuspectOver, _) => "#tilt mode exited".into(),
            (EventName::AbortSlaveTimeout, Some(record)) => instance(record, &record.master),
            _ => event.payload.clone(),
        };
        let planned = record.is_some_and(|record| record.failover.is_some());
        if let Some(seen) = self.seen.get_mut(&event.group) {
            seen.attempted(event.name, now);
        }
        if event.name == EventName::SlaveReconfDone {
            self.tell("+slave-reconf-inprog", payload.clone());
        }
        self.tell(event.name, payload.clone());
        let next = NEXT.iter().find(|(name, _)| *name == event.name);
        // Who takes a plan over chooses nobody.
        let chosen = event.name == EventName::ElectedLeader && planned;
        if let Some((_, next)) = next.filter(|_| !chosen) {
            self.tell(*next, payload);
        }
    }

    /// Tells of an epoch that no plan had before, once a majority of the voters took its plan.
    pub(super) fn tell_epoch(&mut self, record: &GroupRecord) {
        let seen = self.seen.entry(record.group.clone()).or_default();
        let told = seen.told_epoch.replace(record.top_epoch);
        let Some(plan) = &record.failover else { return };
        seen.attempt = None;
        if told.is_none_or(|told| told >= record.top_epoch) {
            return;
        }
        self.tell("+new-epoch", record.top_epoch.to_string());
        if plan.epoch > record.epoch {
            let leader = sentinel_id(plan.leader.as_str());
            self.tell("+vote-for-leader", format!("{leader} {}", plan.epoch));
        }
    }

    /// Tells of an attempt that has ended in nothing.
    pub(super) fn tell_not_elected(&mut self, record: &GroupRecord, now: Instant) {
        let whole = Duration::from_millis(record.settings.failover_timeout_ms);
        let limit = ELECTION_LIMIT.min(whole);
        let Some(seen) = self.seen.get_mut(&record.group) else { return };
        if seen.attempt.take_if(|began| now.since(*began) >= limit).is_some() {
            self.tell("-failover-abort-not-elected", instance(record, &record.master));
        }
    }

    /// Tells that a member says another role than before.
    pub(super) fn tell_role(&mut self, record: &GroupRecord, node: &NodeAddr, role: Role) {
        if record.member(node).is_none() {
            return;
        }
        let recorded = if *node == record.master { Role::Master } else { Role::Replica };
        let channel = if role == recorded { "+role-change" } else { "-role-change" };
        let word = match role {
            Role::Master => "master",
            Role::Replica => "slave",
        };
        self.tell(channel, format!("{} new reported role is {word}", instance(record, node)));
    }

    /// Tells of another gateway that serves, as Sentinel does of another Sentinel: a new one, one
    /// that is back, or one that `moved`.
    pub(super) fn tell_peer(&mut self, peer: &Peer, moved: bool) {
        let back = self.gone.remove(&peer.id);
        for (master, sentinel) in self.about(peer) {
            if moved {
                let (host, port) = (peer.serves.host(), peer.serves.port());
                let id = sentinel_id(&peer.id);
                let payload = format!("{master} ip {host} port {port} for {id}");
                self.tell("+sentinel-address-switch", payload);
            }
            if back {
                self.tell(EventName::SdownOver, sentinel.clone());
            }
            self.tell("+sentinel", sentinel);
        }
    }

    /// Tells that another gateway serves no more.
    pub(super) fn tell_peer_gone(&mut self, peer: &Peer) {
        for (_, sentinel) in self.about(peer) {
            self.tell(EventName::Sdown, sentinel);
        }
    }

    /// Of each group its master, and the gateway as one of its Sentinels.
    fn about(&self, peer: &Peer) -> Vec<(String, String)> {
        let (id, host, port) = (sentinel_id(&peer.id), peer.serves.host(), peer.serves.port());
        let about = self.directory.records().map(|record| {
            let (group, ip, at) = (&record.group, record.master.host(), record.master.port());
            let sentinel = format!("sentinel {id} {host} {port} @ {group} {ip} {at}");
            (instance(record, &record.master), sentinel)
        });
        about.collect()
    }
}
