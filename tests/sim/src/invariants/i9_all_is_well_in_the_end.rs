//! 9. When faults have ended there is, within a bound, exactly one master; all reachable replicas
//!    follow it, and every reader says so, applications too. What all nodes held before the first fault is still
//!    there.

use crate::node::{Life, Node};
use crate::process::Process;
use vedette_model::{GroupName, GroupRecord, MasterRecord, Role};

/// See the file's head. Only the group's own nodes are handed in.
///
/// # Errors
/// What is not well yet.
pub fn all_is_well_in_the_end<'a>(
    newest: Option<&GroupRecord>,
    nodes: impl Iterator<Item = &'a Node> + Clone,
    processes: &[Process],
    group: &GroupName,
    announced: Option<&MasterRecord>,
) -> Result<(), String> {
    let Some(record) = newest else { return Err("no record was ever committed".into()) };
    // One without its history that holds something cannot be told from a stranger.
    let strange = |n: &Node| n.forgot && !n.is_empty() && !record.settings.trust_recorded_address;
    let living = nodes.clone().filter(|n| n.life == Life::Up);
    if living.clone().next().is_some() && living.clone().all(strange) {
        return Ok(());
    }
    if record.failover.is_some() {
        return Err(format!("a failover is still under way: {:?}", record.failover));
    }
    for node in living.filter(|n| !strange(n)) {
        let should = if node.addr == record.master { Role::Master } else { Role::Replica };
        if node.role() != should {
            return Err(format!("{} is a {}, it should be a {should}", node.addr, node.role()));
        }
        if let Some(following) = &node.following
            && (following.addr != record.master || !(following.up || node.unlinked))
        {
            return Err(format!("{} follows {following:?}", node.addr));
        }
    }
    let mut nodes = nodes;
    let master = nodes.find(|n| n.addr == record.master);
    if master.is_none_or(|m| m.life != Life::Up) {
        return Err(format!("the recorded master {} does not live", record.master));
    }
    for process in processes {
        let Some(known) = process.role.as_ref().and_then(|role| role.known(group)) else {
            continue;
        };
        if known.revision != record.revision {
            return Err(format!("{} shows revision {}", process.sender, known.revision));
        }
    }
    match announced {
        Some(told) if told.epoch > record.epoch || told.master != record.master => Err(format!(
            "applications follow {} of epoch {}, the master is {} of epoch {}",
            told.master, told.epoch, record.master, record.epoch
        )),
        Some(_) | None => Ok(()),
    }
}
