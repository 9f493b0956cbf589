//! Entries of masters, replicas and other Sentinels: names and order as Sentinel's, every value a
//! bulk string.

use super::Answers;
use crate::config::UnreadableReplicas;
use crate::reply::Reply;
use vedette_model::{GroupRecord, Instant, NodeAddr, Role};
use vedette_protocol::gateway::{Gateway, Look, Peer, replicas, sentinel_id};

/// An entry being made.
struct Entry(Vec<(Reply, Reply)>);

impl Entry {
    fn new(name: &str, addr: &NodeAddr, run_id: &str, flags: &[&str]) -> Self {
        let mut entry = Self(Vec::with_capacity(24));
        entry.put("name", name);
        entry.put("ip", addr.host());
        entry.number("port", addr.port());
        entry.put("runid", run_id);
        entry.put("flags", &flags.join(","));
        entry.number("link-pending-commands", 0_u8);
        entry.number("link-refcount", 1_u8);
        entry
    }

    fn put(&mut self, name: &'static str, value: &str) {
        self.0.push((Reply::bulk(name), Reply::bulk(value)));
    }

    fn number(&mut self, name: &'static str, value: impl ToString) {
        self.0.push((Reply::bulk(name), Reply::bulk(value.to_string())));
    }

    /// Milliseconds since the instant; 0 if there is none. A client may read them into 32 bits.
    fn since(&mut self, name: &'static str, at: Option<Instant>, now: Instant) {
        let ms = at.map_or(0, |at| now.since(at).as_millis());
        self.number(name, ms.min(u128::from(u32::MAX)));
    }

    /// What a node answered, and since when it is down.
    fn health(&mut self, look: &Look<'_>, odown: Option<Instant>, now: Instant) {
        let down = look.down.map(|down| down.since);
        self.since("last-ping-sent", down, now);
        self.since("last-ok-ping-reply", look.good, now);
        self.since("last-ping-reply", look.good, now);
        // Some clients look for this field and not at the flags.
        let shown = down.or(look.unreadable);
        if shown.is_some() {
            self.since("s-down-time", shown, now);
        }
        if odown.is_some() {
            self.since("o-down-time", odown, now);
        }
    }

    fn role(&mut self, look: &Look<'_>, recorded: Role, now: Instant) {
        self.since("info-refresh", look.view.map(|(_, at)| at), now);
        let role = match look.view.map_or(recorded, |(view, _)| view.role) {
            Role::Master => "master",
            Role::Replica => "slave",
        };
        self.put("role-reported", role);
        self.since("role-reported-time", look.role_since, now);
    }

    fn done(self) -> Reply {
        Reply::Map(self.0)
    }
}

/// The process last known there.
fn run_id(record: &GroupRecord, addr: &NodeAddr, look: &Look<'_>) -> String {
    let recorded = record.member(addr).and_then(|m| m.run_id.as_ref());
    let seen = look.view.map(|(view, _)| &view.run_id);
    seen.or(recorded).map_or_else(String::new, ToString::to_string)
}

/// Sentinel's words for how a node is, in its order.
fn flags(look: &Look<'_>, odown: bool, kind: &'static str) -> Vec<&'static str> {
    let down = look.down.is_some();
    let words = [
        (down || look.unreadable.is_some(), "s_down"),
        (odown, "o_down"),
        (true, kind),
        // Nobody has a connection to a node that is down, or was never seen.
        (down || look.view.is_none(), "disconnected"),
    ];
    words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect()
}

impl Answers {
    /// A master's entry.
    pub(super) fn master(&self, view: &Gateway, record: &GroupRecord, now: Instant) -> Reply {
        let look = view.look(record, &record.master, now);
        let odown = view.odown(record, now).map(|down| down.since);
        // Clients that see this flag wait: the new master is told when it is committed, and all that
        // is left to do then concerns other nodes.
        let moving = record.failover.is_some() && !record.is_switched();
        let mut words = flags(&look, odown.is_some(), "master");
        if moving {
            words.push("failover_in_progress");
        }
        let run_id = run_id(record, &record.master, &look);
        let mut entry = Entry::new(record.group.as_str(), &record.master, &run_id, &words);
        if moving {
            entry.put("failover-state", "wait_promotion");
        }
        entry.health(&look, odown, now);
        let settings = &record.settings;
        entry.number("down-after-milliseconds", settings.down_after_ms);
        entry.role(&look, Role::Master, now);
        entry.number("config-epoch", record.epoch);
        entry.number("num-slaves", replicas(record).count());
        entry.number("num-other-sentinels", view.peers(now).count());
        entry.number("quorum", settings.quorum);
        entry.number("failover-timeout", settings.failover_timeout_ms);
        entry.number("parallel-syncs", settings.parallel_syncs);
        if let Some(pause) = &record.pause {
            entry.put("paused", &pause.reason);
            if let Some(left) = pause.left_ms {
                entry.number("pause-ends-within", left);
            }
        }
        entry.done()
    }

    /// The entries of a master's replicas, but for those that clients are not to be told of.
    pub(super) fn replicas(&self, view: &Gateway, record: &GroupRecord, now: Instant) -> Reply {
        let left_out = self.config.unreadable_replicas == UnreadableReplicas::LeftOut;
        let looks = replicas(record).map(|addr| (addr, view.look(record, addr, now)));
        let shown = looks.filter(|(_, look)| {
            let hidden = look.view.is_some_and(|(view, _)| view.hidden);
            let unreadable = left_out && look.unreadable.is_some();
            !hidden && !unreadable
        });
        Reply::Array(shown.map(|(addr, look)| replica(record, addr, &look, now)).collect())
    }

    /// The entries of the other gateways.
    pub(super) fn sentinels(&self, view: &Gateway, record: &GroupRecord, now: Instant) -> Reply {
        let after = record.settings.down_after_ms;
        Reply::Array(view.peers(now).map(|peer| sentinel(peer, after, now)).collect())
    }
}

fn replica(record: &GroupRecord, addr: &NodeAddr, look: &Look<'_>, now: Instant) -> Reply {
    let run_id = run_id(record, addr, look);
    let name = addr.to_string();
    let mut entry = Entry::new(&name, addr, &run_id, &flags(look, false, "slave"));
    entry.health(look, None, now);
    entry.number("down-after-milliseconds", record.settings.down_after_ms);
    entry.role(look, Role::Replica, now);
    let seen = look.view.map(|(view, _)| view);
    let upstream = seen.and_then(|view| view.upstream.as_ref());
    entry.number("master-link-down-time", upstream.and_then(|up| up.down_for_ms).unwrap_or(0));
    let linked = upstream.is_some_and(|up| up.link_up);
    entry.put("master-link-status", if linked { "ok" } else { "err" });
    entry.put("master-host", upstream.map_or("?", |up| up.addr.host()));
    entry.number("master-port", upstream.map_or(0, |up| up.addr.port()));
    entry.number("slave-priority", seen.map_or(100, |view| view.priority));
    entry.number("slave-repl-offset", seen.map_or(0, |view| view.offset));
    // As in Sentinel's answers it is 1 in all that are shown.
    entry.number("replica-announced", u8::from(seen.is_none_or(|view| !view.hidden)));
    entry.done()
}

fn sentinel(peer: &Peer, down_after_ms: u64, now: Instant) -> Reply {
    let id = sentinel_id(&peer.id);
    let mut entry = Entry::new(&id, &peer.serves, &id, &["sentinel"]);
    entry.number("last-ping-sent", 0_u8);
    entry.since("last-ok-ping-reply", Some(peer.heard), now);
    entry.since("last-ping-reply", Some(peer.heard), now);
    entry.number("down-after-milliseconds", down_after_ms);
    entry.since("last-hello-message", Some(peer.heard), now);
    entry.put("voted-leader", "?");
    entry.number("voted-leader-epoch", 0_u8);
    entry.done()
}

#[cfg(test)]
mod tests;
