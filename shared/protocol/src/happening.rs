//! How a happening becomes an event with Sentinel's payload and a stable id.

use alloc::format;
use alloc::string::{String, ToString};
use vedette_model::{Epoch, Event, EventName, GroupName, GroupRecord, NodeAddr, Sender, TraceId};

/// A happening before it is dressed for the public.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Happening {
    /// What.
    pub name: EventName,
    /// Which node; none means the group's master.
    pub node: Option<NodeAddr>,
    /// Why, in words.
    pub cause: String,
    /// What Sentinel says behind the node, if anything.
    pub(crate) detail: String,
}

impl Happening {
    pub(crate) fn new(name: EventName, cause: impl Into<String>) -> Self {
        Self { name, node: None, cause: cause.into(), detail: String::new() }
    }

    pub(crate) fn of(name: EventName, node: &NodeAddr, cause: impl Into<String>) -> Self {
        let node = Some(node.clone());
        Self { name, node, cause: cause.into(), detail: String::new() }
    }

    pub(crate) fn with_detail(self, detail: String) -> Self {
        Self { detail, ..self }
    }
}

/// Dresses happenings of one process. Ids count the process's life, except where a repetition by
/// another process must carry the same id.
#[derive(Debug, Clone)]
pub(crate) struct Dresser {
    sender: Sender,
    count: u64,
}

impl Dresser {
    pub(crate) const fn new(sender: Sender) -> Self {
        Self { sender, count: 0 }
    }

    pub(crate) fn dress(
        &mut self,
        happening: Happening,
        record: &GroupRecord,
        trace_id: TraceId,
    ) -> Event {
        let payload = match (happening.name, &record.switch.previous) {
            (EventName::SwitchMaster, Some(old)) => switch_payload(&record.group, old, record),
            _ => instance_payload(&record.group, &record.master, happening.node.as_ref()),
        };
        let payload = match happening.detail.as_str() {
            "" => payload,
            detail => format!("{payload} {detail}"),
        };
        let id = if happening.name == EventName::SwitchMaster {
            format!("{}:{}:{}", record.group, record.epoch, happening.name)
        } else {
            self.count += 1;
            format!("{}:{:x}:{}", self.sender.id, self.sender.incarnation, self.count)
        };
        Event {
            id,
            group: record.group.clone(),
            name: happening.name,
            payload,
            cause: happening.cause,
            epoch: record.epoch,
            source: self.sender.to_string(),
            trace_id,
        }
    }

    /// An event of a group that has no record (yet).
    pub(crate) fn dress_bare(
        &mut self,
        happening: Happening,
        group: &GroupName,
        master: &NodeAddr,
    ) -> Event {
        self.count += 1;
        Event {
            id: format!("{}:{:x}:{}", self.sender.id, self.sender.incarnation, self.count),
            group: group.clone(),
            name: happening.name,
            payload: instance_payload(group, master, happening.node.as_ref()),
            cause: happening.cause,
            epoch: Epoch(0),
            source: self.sender.to_string(),
            trace_id: TraceId::of(group, Epoch(0), master, None),
        }
    }
}

fn switch_payload(group: &GroupName, old: &NodeAddr, record: &GroupRecord) -> String {
    let new = &record.master;
    format!("{group} {} {} {} {}", old.host(), old.port(), new.host(), new.port())
}

fn instance_payload(group: &GroupName, master: &NodeAddr, node: Option<&NodeAddr>) -> String {
    match node.filter(|node| *node != master) {
        None => format!("master {group} {} {}", master.host(), master.port()),
        Some(node) => format!(
            "slave {node} {} {} @ {group} {} {}",
            node.host(),
            node.port(),
            master.host(),
            master.port()
        ),
    }
}
