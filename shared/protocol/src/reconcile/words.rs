//! What the reconciliation says to people.

use crate::happening::Happening;
use alloc::format;
use alloc::string::String;
use vedette_model::{EventName, GroupRecord, NodeAddr, NodeView, Role};

pub(super) fn foreign(record: &GroupRecord, addr: &NodeAddr, view: &NodeView) -> Happening {
    let cause = format!(
        "a {} with a history that is not the group's ({}) answers there; it is left alone: {}",
        view.role,
        view.replid,
        advice(record, addr)
    );
    Happening::of(EventName::IdentityConflict, addr, cause)
}

/// What a person can do about a node with another history.
pub(super) fn advice(record: &GroupRecord, addr: &NodeAddr) -> String {
    let master = &record.master;
    if addr == master {
        return "it should be the master, and is replaced if another node with the group's history \
                can be promoted. To keep its data instead, make it a master by REPLICAOF NO ONE \
                and let all others follow it"
            .into();
    }
    format!(
        "if it is yours and its data may be replaced, send it REPLICAOF {} {}",
        master.host(),
        master.port()
    )
}

/// What was found at a node that somebody changed.
pub(super) fn found(view: &NodeView) -> String {
    match (view.role, &view.upstream) {
        (Role::Master, _) => "it was made a master".into(),
        (Role::Replica, Some(up)) => format!("it was made to follow {}", up.addr),
        (Role::Replica, None) => "it was made a replica of nobody".into(),
    }
}

pub(super) fn external_change(addr: &NodeAddr, found: &str, by: Option<&str>) -> Happening {
    let who = by.map_or_else(
        || "by whom is not known: that client is gone, or CLIENT LIST is not permitted".into(),
        |by| format!("by {by}"),
    );
    let cause = format!(
        "{found}, and not by us ({who}); it is brought back. To work on it by hand, pause the group"
    );
    Happening::of(EventName::ExternalChange, addr, cause)
}

/// The bytes that a stray master took after the present one branched off its history; none if that
/// is not what happened between the two. Only a view of after its demotion has all of them.
pub(super) fn given_up(stray: &NodeView, master: &NodeView) -> Option<u64> {
    let branched = master.second_offset.filter(|_| master.replid2.as_ref() == Some(&stray.replid));
    branched.map(|first| (stray.offset + 1).saturating_sub(first))
}

pub(super) fn master_changed(addr: &NodeAddr, view: &NodeView) -> Happening {
    let cause = format!(
        "{} although it is the recorded master, and not by us. To work on it by hand, pause the \
         group",
        found(view)
    );
    Happening::of(EventName::ExternalChange, addr, cause)
}

pub(super) fn correction(record: &GroupRecord, addr: &NodeAddr, repair: bool) -> Happening {
    let master = &record.master;
    let (name, cause) = if repair {
        (EventName::SlaveReconfSent, format!("{master} is master now"))
    } else {
        (EventName::FixSlaveConfig, format!("it does not follow {master}"))
    };
    Happening::of(name, addr, cause)
}

/// A stray master was told to follow, and gives that up, where it is known.
pub(super) fn converted(record: &GroupRecord, addr: &NodeAddr, given_up: Option<u64>) -> Happening {
    let master = &record.master;
    let given_up = given_up.map_or_else(String::new, |bytes| {
        format!("; it gives up the {bytes} bytes that it took after {master} was promoted")
    });
    let cause = format!("{master} is master now{given_up}");
    Happening::of(EventName::ConvertToSlave, addr, cause)
}
