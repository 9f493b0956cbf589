//! What subscribers are told, in Sentinel's words.
//!
//! A change of master, who is a replica, and who is down are told from what the gateway itself
//! knows by then, so that whoever asks back finds it.

use super::{Gateway, Output, Unfit};
use crate::hash::spread;
use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use vedette_model::{EventName, GroupRecord, Instant, NodeAddr};

/// Ids of events remembered, so that a repeated one is told once.
const ONCE_LIMIT: usize = 4_096;

/// What was told already.
#[derive(Debug, Default)]
pub(super) struct Once {
    ids: BTreeSet<String>,
    order: VecDeque<String>,
}

impl Once {
    pub(super) fn is_new(&mut self, id: &str) -> bool {
        if !self.ids.insert(id.into()) {
            return false;
        }
        self.order.push_back(id.into());
        if self.order.len() > ONCE_LIMIT
            && let Some(oldest) = self.order.pop_front()
        {
            self.ids.remove(&oldest);
        }
        true
    }
}

impl Gateway {
    pub(super) fn tell(&mut self, channel: impl Into<String>, payload: String) {
        self.outputs.push_back(Output::Tell { channel: channel.into(), payload });
    }

    /// A newer record: another master, or another replica.
    pub(super) fn tell_record(&mut self, record: &GroupRecord, now: Instant) {
        let told = (record.epoch, record.master.clone());
        let before = self.told.insert(record.group.clone(), told);
        let replicas: Vec<_> = replicas(record).cloned().collect();
        self.tell_epoch(record);
        let seen = self.seen.entry(record.group.clone()).or_default();
        let known = core::mem::replace(&mut seen.replicas, replicas.iter().cloned().collect());
        let Some((epoch, old)) = before else { return };
        let switched = record.epoch > epoch && record.switch.previous.is_some();
        if switched {
            seen.new_reign(now);
            let new = &record.master;
            let payload = format!(
                "{} {} {} {} {}",
                record.group,
                old.host(),
                old.port(),
                new.host(),
                new.port()
            );
            self.tell(EventName::SwitchMaster, payload);
        }
        for node in replicas.iter().filter(|node| switched || !known.contains(*node)) {
            self.tell(EventName::Slave, instance(record, node));
        }
    }

    /// Tells who went down or came back.
    pub(super) fn tell_down(&mut self, record: &GroupRecord, now: Instant) {
        let needed = self.needed(record, now);
        let unreadable = self.unreadable(record, now);
        let Some(seen) = self.seen.get_mut(&record.group) else { return };
        let mut changed = Vec::new();
        for member in &record.members {
            let unreadable = unreadable.contains(&member.addr);
            let down = seen.is_down(&member.addr, needed, unreadable, now);
            let told = seen.told_down.insert(member.addr.clone(), down);
            if told.unwrap_or(false) != down {
                let name = if down { EventName::Sdown } else { EventName::SdownOver };
                changed.push((name, instance(record, &member.addr)));
            }
        }
        for (name, payload) in changed {
            self.tell(name, payload);
        }
    }

    /// The replicas that clients take for down because of what these say of themselves. One that was
    /// not seen lately is none of them: a gateway that has just begun has seen nobody. Nor is one that
    /// has handed over and was not asked since.
    fn unreadable(&self, record: &GroupRecord, now: Instant) -> BTreeSet<NodeAddr> {
        if !self.unreadable_is_down {
            return BTreeSet::new();
        }
        let is_unreadable =
            |node: &&NodeAddr| match self.readable(record.group.as_str(), node, None, now) {
                Ok(()) | Err(Unfit::Unseen | Unfit::Hidden) => false,
                Err(Unfit::WrongRole) => {
                    let seen = self.seen.get(&record.group);
                    !seen.is_some_and(|seen| seen.has_handed_over(record, node))
                }
                Err(_) => true,
            };
        replicas(record).filter(is_unreadable).cloned().collect()
    }

    /// Tells whether the master is objectively down.
    pub(super) fn tell_odown(&mut self, record: &GroupRecord, now: Instant) {
        let Some(roster) = self.roster.clone() else { return };
        let Some(seen) = self.seen.get_mut(&record.group) else { return };
        let down = seen.is_odown(record, &roster, now);
        if core::mem::replace(&mut seen.told_odown, down) == down {
            return;
        }
        let master = instance(record, &record.master);
        let quorum = record.settings.quorum;
        let tally = seen.tally();
        if down {
            self.tell(EventName::Odown, format!("{master} #quorum {tally}/{quorum}"));
        } else {
            self.tell(EventName::OdownOver, master);
        }
    }
}

/// The members that clients are shown as replicas.
pub fn replicas(record: &GroupRecord) -> impl Iterator<Item = &NodeAddr> {
    record.members.iter().filter(|m| !m.gone && m.addr != record.master).map(|m| &m.addr)
}

/// A node as Sentinel names it in events.
pub(super) fn instance(record: &GroupRecord, node: &NodeAddr) -> String {
    let (group, master) = (&record.group, &record.master);
    let (ip, port) = (master.host(), master.port());
    if node == master {
        return format!("master {group} {ip} {port}");
    }
    format!("slave {node} {} {} @ {group} {ip} {port}", node.host(), node.port())
}

/// The 40 hexadecimal digits by which Sentinel clients know a gateway: the same after a restart. An
/// id that is a Sentinel's stays as it is.
pub fn sentinel_id(id: &str) -> String {
    if id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return id.to_ascii_lowercase();
    }
    let mut text = String::new();
    for part in 0_u8..3 {
        let hash = spread([part].into_iter().chain(id.bytes()));
        text.push_str(&format!("{hash:016x}"));
    }
    text.truncate(40);
    text
}
