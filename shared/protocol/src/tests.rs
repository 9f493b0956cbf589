//! What the scripts of all stages share: one small group, its nodes and the people around it.
//!
//! Nodes are numbered from 1; the first is the recorded master. Histories are numbered as well,
//! and the group's own is history 1.

use alloc::format;
use alloc::vec::Vec;
use vedette_model::{
    BallotNumber, GroupName, GroupRecord, Health, Heartbeat, Instant, Member, NodeAddr, NodeView,
    OrchestratorId, Place, ProberId, Quorum, ReplId, Role, Roster, RosterVersion, RunId, Service,
    Settings, Upstream, VoterId,
};

pub(crate) fn at(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

pub(crate) fn group() -> GroupName {
    GroupName::parse("g").unwrap()
}

pub(crate) fn node(n: usize) -> NodeAddr {
    NodeAddr::parse(&format!("10.0.0.{n}:6379")).unwrap()
}

pub(crate) fn run_id(n: usize) -> RunId {
    RunId::parse(&format!("{n:040x}")).unwrap()
}

pub(crate) fn history(n: usize) -> ReplId {
    ReplId::parse(&format!("{n:040x}")).unwrap()
}

pub(crate) fn voter(n: usize) -> VoterId {
    VoterId::parse(&format!("v{n}")).unwrap()
}

pub(crate) fn prober(n: usize) -> ProberId {
    ProberId::parse(&format!("p{n}")).unwrap()
}

pub(crate) fn orchestrator(n: usize) -> OrchestratorId {
    OrchestratorId::parse(&format!("o{n}")).unwrap()
}

/// A service that is well says that it lives.
pub(crate) fn heartbeat(service: Service, id: &str, incarnation: u64, tick: u64) -> Heartbeat {
    Heartbeat {
        service,
        id: id.into(),
        incarnation,
        tick,
        place: place("here"),
        health: Health::Well,
        roster: None,
        standings: Vec::new(),
        serves: None,
        back: false,
        host: None,
    }
}

pub(crate) fn place(name: &str) -> Place {
    Place::parse(name).unwrap()
}

pub(crate) fn roster(size: usize) -> Roster {
    Roster::parse(RosterVersion(1), (1..=size).map(voter).collect()).unwrap()
}

/// A ballot of orchestrator `o<n>` in its first life.
pub(crate) fn ballot(number: u64, n: usize) -> BallotNumber {
    BallotNumber { number, proposer: orchestrator(n), incarnation: 1 }
}

pub(crate) fn settings(quorum: u32) -> Settings {
    Settings::with_quorum(Quorum::parse(quorum).unwrap())
}

/// A group of so many nodes, each known by its run id, with a quorum of 2.
pub(crate) fn record(nodes: usize) -> GroupRecord {
    let mut record = GroupRecord::first(group(), node(1), settings(2));
    record.members = (1..=nodes).map(|n| Member::new(node(n), Some(run_id(n)))).collect();
    record.lineage.add(&history(1));
    record
}

/// Node `n` as a master of the group's history.
pub(crate) fn master_view(n: usize, offset: u64) -> NodeView {
    NodeView {
        run_id: run_id(n),
        role: Role::Master,
        replid: history(1),
        replid2: None,
        second_offset: None,
        offset,
        priority: 100,
        upstream: None,
        replicas: Vec::new(),
        loading: false,
        loading_eta_ms: None,
        empty: false,
        persistence_ok: true,
        unsaved: false,
        hidden: false,
    }
}

/// Node `n` as a replica of the group's history whose link to `of` is up.
pub(crate) fn replica_view(n: usize, of: usize, offset: u64) -> NodeView {
    NodeView {
        role: Role::Replica,
        upstream: Some(Upstream {
            addr: node(of),
            link_up: true,
            down_for_ms: None,
            syncing: false,
        }),
        ..master_view(n, offset)
    }
}

/// All that a machine has to say now.
pub(crate) fn drain<T>(poll: impl FnMut() -> Option<T>) -> Vec<T> {
    core::iter::from_fn(poll).collect()
}
