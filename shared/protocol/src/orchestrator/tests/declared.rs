//! Declarations of groups that have a record.

use super::system::{System, addr, name, three};
use crate::orchestrator::{Input, Output};
use crate::tests::settings;
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{Event, EventName, Fact, GroupRecord, NodeAddr, StatusQuery};

/// An orchestrator that declares the group with this master, 10 s after its start.
fn declared(master: NodeAddr, records: Vec<GroupRecord>) -> System {
    let mut system = System::declaring(records, vec![(name(1), master, settings(2))]);
    system.run(10_000);
    system
}

fn conflicts(system: &System) -> Vec<(u64, Event)> {
    let told = system.said.iter().filter_map(|(at, output)| {
        let Output::Publish(Fact::Event(event)) = output else { return None };
        (event.name == EventName::ConfigConflict).then(|| (*at, event.clone()))
    });
    told.collect()
}

#[test]
fn a_stranger_as_declared_master_is_told_once_and_changes_nothing() {
    let mut system = declared(addr(7, 1), vec![three(1)]);
    let before = system.record(1).clone();
    system.run(60_000);
    let told = conflicts(&system);
    let [(at, event)] = told.as_slice() else { panic!("{told:?}") };
    assert!(*at >= 3_000, "its replicas may only be on their way into the record");
    for words in ["orchestrator/o1", "10.0.7.1:6379", "10.0.1.1:6379", "groups file"] {
        assert!(event.cause.contains(words), "{words} in {}", event.cause);
    }
    assert_eq!(*system.record(1), before);
    assert_eq!((system.commands(), system.announced(1)), (vec![], vec![]));
    system.soon(Input::Fact { fact: StatusQuery {}.into(), reply_to: None });
    system.run(60_010);
    let says = |(_, output): &(u64, Output)| {
        let Output::Publish(Fact::Heartbeat(beat)) = output else { return false };
        beat.standings.iter().any(|s| s.text.contains("10.0.7.1:6379, which is no node of it"))
    };
    assert!(system.said.iter().any(says), "nor does its status hide it");
}

#[test]
fn any_node_of_the_group_may_be_the_declared_master() {
    for node in 1..=3 {
        assert_eq!(conflicts(&declared(addr(1, node), vec![three(1)])), []);
    }
}

#[test]
fn a_replica_that_is_found_a_moment_after_the_seed_is_no_stranger() {
    let mut young = three(1);
    let replica = young.members.pop().unwrap();
    let mut system = System::declaring(vec![young], vec![(name(1), replica.addr, settings(2))]);
    system.run(2_000);
    let mut grown = three(1);
    grown.revision = system.record(1).revision.next();
    system.commit(grown);
    system.run(20_000);
    assert_eq!(conflicts(&system), []);
}
