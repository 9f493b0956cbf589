//! A master that comes back as another process.

use super::*;
use vedette_model::Role;

/// The views of a healthy group of so many nodes, at `offset`; each has data.
fn healthy(nodes: usize, offset: u64) -> Script {
    let mut script = Script::new(nodes);
    for n in 1..=nodes {
        let _ = script.link(10, n, 1, LinkEvent::Connected);
        let _ = script.link(10, n, 1, LinkEvent::Pong(PingReply::Pong));
        let view = if n == 1 { master_view(1, offset) } else { replica_view(n, 1, offset) };
        let said = script.link(10, n, 1, LinkEvent::Info(Ok(view)));
        assert_eq!((reports(&said), events(&said)), (vec![], vec![]));
    }
    script
}

/// Another process, number 9, with a history of its own and nothing in it.
fn empty() -> NodeView {
    NodeView { run_id: run_id(9), replid: history(9), empty: true, ..master_view(1, 0) }
}

/// Another process that loaded the group's data up to `offset`.
fn restored(offset: u64) -> NodeView {
    NodeView {
        run_id: run_id(9),
        replid: history(9),
        replid2: Some(history(1)),
        ..master_view(1, offset)
    }
}

fn info(view: NodeView) -> LinkEvent {
    LinkEvent::Info(Ok(view))
}

/// The master's link breaks, and this answers on the next one.
fn restart(script: &mut Script, view: NodeView) -> Vec<Output> {
    let _ = script.link(20, 1, 1, LinkEvent::Lost);
    let _ = script.link(25, 1, 2, LinkEvent::Connected);
    script.link(26, 1, 2, info(view))
}

fn reborn() -> NodeState {
    NodeState::Down(Evidence::Rebirth { run_id: run_id(9) })
}

fn names(said: &[Output]) -> Vec<EventName> {
    events(said).into_iter().map(|(name, _)| name).collect()
}

#[track_caller]
fn is_reborn(said: &[Output]) {
    let states: Vec<_> = reports(said).into_iter().map(|r| (r.node, r.state)).collect();
    assert_eq!(states, [(node(1), reborn())]);
    let names = names(said);
    assert!(names.contains(&EventName::DataLossRisk), "{names:?}");
    assert!(names.contains(&EventName::Reboot), "{names:?}");
}

#[track_caller]
fn is_only_a_reboot(said: &[Output]) {
    assert_eq!(reports(said), []);
    assert_eq!(names(said), [EventName::Reboot]);
}

#[test]
fn a_master_that_restarts_empty_is_sdown_at_its_first_info() {
    let mut script = healthy(3, 100);
    is_reborn(&restart(&mut script, empty()));
    // It answers; that changes nothing. People are told once.
    let said = script.link(27, 1, 2, LinkEvent::Pong(PingReply::Pong));
    assert_eq!((reports(&said), events(&said)), (vec![], vec![]));
    let said = script.link(30, 1, 2, info(empty()));
    assert_eq!((reports(&said), events(&said)), (vec![], vec![]));
}

#[test]
fn a_master_that_restarts_with_all_its_data_is_a_reboot_only() {
    for offset in [100, 140] {
        let mut script = healthy(3, 100);
        is_only_a_reboot(&restart(&mut script, restored(offset)));
    }
}

#[test]
fn a_master_that_restarts_with_an_older_data_set_is_sdown() {
    is_reborn(&restart(&mut healthy(3, 100), restored(99)));
    // A replica may have been seen further on than the master.
    let mut script = healthy(3, 100);
    let _ = script.link(15, 2, 1, info(replica_view(2, 1, 150)));
    is_reborn(&restart(&mut script, restored(120)));
}

#[test]
fn a_master_that_restarts_empty_by_its_own_history_is_sdown_if_there_was_data() {
    let emptied = NodeView { empty: true, ..restored(100) };
    is_reborn(&restart(&mut healthy(3, 100), emptied.clone()));
    // What was empty before has lost nothing.
    let mut script = healthy(3, 100);
    for n in 1..=3 {
        let view = if n == 1 { master_view(1, 100) } else { replica_view(n, 1, 100) };
        let _ = script.link(15, n, 1, info(NodeView { empty: true, ..view }));
    }
    is_only_a_reboot(&restart(&mut script, emptied));
}

#[test]
fn a_process_of_another_history_is_sdown_however_much_it_holds() {
    let foreign = NodeView { empty: false, offset: 9_999, ..empty() };
    is_reborn(&restart(&mut healthy(3, 100), foreign));
}

#[test]
fn a_group_without_a_history_or_a_known_process_cannot_be_reborn() {
    let mut young = revision(2, 3);
    young.lineage = vedette_model::Lineage::default();
    let mut unknown = revision(2, 3);
    unknown.members[0].run_id = None;
    for record in [young, unknown] {
        let mut script = healthy(3, 100);
        let _ = script.knows(15, record);
        is_only_a_reboot(&restart(&mut script, empty()));
    }
}

#[test]
fn while_it_loads_nothing_is_known_of_what_it_holds() {
    let mut script = healthy(3, 100);
    let loading = NodeView { loading: true, empty: false, ..empty() };
    is_only_a_reboot(&restart(&mut script, loading));
    let said = script.link(40, 1, 2, info(restored(100)));
    assert_eq!((reports(&said), events(&said)), (vec![], vec![]));
}

#[test]
fn when_all_replicas_have_copied_it_there_is_nothing_to_save_and_the_report_is_withdrawn() {
    let mut script = healthy(3, 100);
    is_reborn(&restart(&mut script, empty()));
    let copied = |n| NodeView { replid: history(9), empty: true, ..replica_view(n, 1, 0) };
    let said = script.link(40, 2, 1, info(copied(2)));
    assert_eq!(reports(&said), [], "one holds the data still");
    let said = script.link(50, 3, 1, info(copied(3)));
    assert_eq!(reports(&said).iter().map(|r| &r.state).collect::<Vec<_>>(), [&NodeState::Up]);
    assert_eq!(names(&said), [EventName::DataLossRisk, EventName::SdownOver]);
}

#[test]
fn who_could_not_be_promoted_saves_nothing() {
    let mut script = healthy(3, 100);
    is_reborn(&restart(&mut script, empty()));
    let copied = NodeView { replid: history(9), empty: true, ..replica_view(3, 1, 0) };
    assert_eq!(reports(&script.link(40, 3, 1, info(copied))), [], "node 2 holds the data");
    // It turns out to be a master of its own, or dies.
    let said = script.link(50, 2, 1, info(master_view(2, 100)));
    assert_eq!(reports(&said).iter().map(|r| &r.state).collect::<Vec<_>>(), [&NodeState::Up]);
}

#[test]
fn a_group_of_one_has_nothing_to_switch_to() {
    let mut script = healthy(1, 100);
    let said = restart(&mut script, empty());
    assert_eq!(reports(&said), []);
    assert!(names(&said).contains(&EventName::DataLossRisk), "but it is told");
}

#[test]
fn a_record_that_takes_the_new_process_ends_it() {
    let mut by_id = revision(2, 3);
    by_id.members[0].run_id = Some(run_id(9));
    let mut by_history = revision(2, 3);
    by_history.lineage.add(&history(9));
    for record in [by_id, by_history] {
        let mut script = healthy(3, 100);
        is_reborn(&restart(&mut script, empty()));
        let _ = script.link(30, 1, 2, LinkEvent::Pong(PingReply::Pong));
        let said = script.knows(40, record);
        assert_eq!(reports(&said).iter().map(|r| &r.state).collect::<Vec<_>>(), [&NodeState::Up]);
    }
}

#[test]
fn a_record_that_takes_an_older_data_set_for_its_history_does_not_end_it() {
    let mut script = healthy(3, 100);
    is_reborn(&restart(&mut script, restored(99)));
    let mut taken = revision(2, 3);
    taken.members[0].run_id = Some(run_id(9));
    taken.lineage.add(&history(9));
    assert_eq!(reports(&script.knows(40, taken)), []);
    // Only that nothing is left to save.
    let copied = |n| NodeView { replid: history(9), ..replica_view(n, 1, 99) };
    assert_eq!(reports(&script.link(50, 2, 1, info(copied(2)))), []);
    let said = script.link(60, 3, 1, info(copied(3)));
    assert_eq!(reports(&said).iter().map(|r| &r.state).collect::<Vec<_>>(), [&NodeState::Up]);
}

#[test]
fn a_process_that_fits_ends_it() {
    let mut script = healthy(3, 100);
    is_reborn(&restart(&mut script, empty()));
    let _ = script.link(30, 1, 2, LinkEvent::Lost);
    let _ = script.link(31, 1, 3, LinkEvent::Connected);
    let fitting = NodeView { run_id: run_id(8), ..restored(100) };
    let _ = script.link(32, 1, 3, info(fitting));
    let state = script.0.watched(&watch(1)).unwrap().watcher.state().clone();
    assert_eq!(state, NodeState::Up);
}

#[test]
fn a_new_reign_ends_it() {
    let mut script = healthy(3, 100);
    is_reborn(&restart(&mut script, empty()));
    let mut next = revision(2, 3);
    (next.epoch, next.master) = (Epoch(2), node(2));
    let said = script.knows(40, next);
    assert_eq!(reports(&said).iter().map(|r| &r.state).collect::<Vec<_>>(), [&NodeState::Up]);
}

#[test]
fn a_prober_that_has_not_heard_of_the_replicas_waits_until_it_knows() {
    let mut script = Script::new(2);
    let _ = script.link(10, 1, 1, LinkEvent::Connected);
    let said = script.link(11, 1, 1, info(empty()));
    assert_eq!((reports(&said), events(&said)), (vec![], vec![]));
    let _ = script.link(12, 2, 1, LinkEvent::Connected);
    let said = script.link(13, 2, 1, info(replica_view(2, 1, 100)));
    assert_eq!(reports(&said)[0].state, reborn());
    // A replica that is down may hold the data as well.
    let mut script = Script::new(2);
    let _ = script.link(10, 1, 1, LinkEvent::Connected);
    let _ = script.link(11, 1, 1, info(empty()));
    let said = script.crash(20, 2);
    assert!(reports(&said).iter().any(|r| r.state == reborn()), "{said:?}");
}

#[test]
fn a_master_that_became_a_replica_is_not_reborn() {
    let mut script = healthy(3, 100);
    let view = NodeView { run_id: run_id(9), replid: history(9), ..replica_view(1, 2, 0) };
    is_only_a_reboot(&restart(&mut script, view.clone()));
    assert_eq!(view.role, Role::Replica);
}

#[test]
fn where_its_disk_was_behind_the_others_addresses_vouch_for_what_they_hold() {
    let older = NodeView { empty: false, offset: 5, ..empty() };
    let elsewhere = NodeView { run_id: run_id(8), replid: history(8), ..master_view(2, 7) };
    for (unsaved, trusted, down) in [(true, true, true), (false, true, false), (true, false, false)]
    {
        let mut script = healthy(2, 100);
        let mut record = revision(2, 2);
        record.settings.trust_recorded_address = trusted;
        record.members[0].unsaved = unsaved;
        let _ = script.knows(12, record);
        let _ = script.link(15, 2, 1, info(elsewhere.clone()));
        let said = restart(&mut script, older.clone());
        assert_eq!(reports(&said).len(), usize::from(down), "{unsaved} {trusted}: {said:?}");
    }
}
