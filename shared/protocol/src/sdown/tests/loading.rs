//! A node that loads its data set.

use super::*;

const LOADING: Node = Node::Says(PingReply::Loading);

fn over_budget(for_ms: u64) -> Act {
    down(Evidence::Loading { for_ms })
}

/// The recorded master loads from 0 on; a budget of 5 s.
fn master_loads(company: Company) -> Script {
    let mut script = Script::with(|s| s.loading_budget_ms = Some(5_000));
    script.watcher.keep_company(company, at(0));
    let _ = script.run(0, &LOADING);
    script
}

/// What `INFO` says meanwhile.
fn loading(eta_ms: Option<u64>) -> LinkEvent {
    let mut view = master_view(1, 0);
    (view.loading, view.loading_eta_ms) = (true, eta_ms);
    LinkEvent::Info(Ok(view))
}

fn loading_events(said: &[Act]) -> Vec<&str> {
    let event = |act: &'_ Act| matches!(act, Act::Event(EventName::Loading, _));
    said.iter()
        .filter(|act| event(act))
        .map(|act| match act {
            Act::Event(_, cause) => cause.as_str(),
            Act::Connect { .. }
            | Act::Ping
            | Act::Info
            | Act::Role
            | Act::Report(_)
            | Act::View(_) => "",
        })
        .collect()
}

#[test]
fn loading_is_alive_for_its_budget_and_down_after_it() {
    let mut script = Script::with(|s| s.loading_budget_ms = Some(3_000));
    let said = script.tell(2_999, &LOADING);
    assert_eq!((events(&said), said.len()), (vec![(100, EventName::Loading)], 1));
    let said = script.tell(4_500, &LOADING);
    assert_eq!(said, [(3_000, over_budget(3_000)), (4_000, over_budget(3_000))]);
    let said = script.tell(4_600, &WELL);
    let over = Act::Event(EventName::TroubleOver, "loading is over".into());
    assert_eq!(said, [(4_600, over), (4_600, UP)]);
}

#[test]
fn the_budget_is_down_after_unless_it_is_set_and_none_is_for_ever() {
    let mut script = Script::new();
    assert_eq!(script.tell(1_500, &LOADING).last(), Some(&(1_000, over_budget(1_000))));
    let mut script = Script::with(|s| s.loading_budget_ms = Some(0));
    let said = script.tell(3_600_000, &LOADING);
    assert_eq!((events(&said), said.len()), (vec![(100, EventName::Loading)], 1));
}

#[test]
fn one_episode_has_one_budget_whatever_happens_to_its_link() {
    let mut script = Script::with(|s| s.loading_budget_ms = Some(3_000));
    let _ = script.run(2_000, &LOADING);
    let _ = script.hear(2_050, LinkEvent::Lost);
    let _ = script.hear(2_060, LinkEvent::Connected);
    let said = script.tell(3_000, &LOADING);
    assert_eq!(said, [(3_000, over_budget(3_000))]);
    // A pong ends it; the next has a budget of its own.
    let _ = script.run(4_000, &WELL);
    assert_eq!(*script.watcher.state(), NodeState::Up);
    let said = script.tell(7_200, &LOADING);
    assert_eq!(said.last(), Some(&(7_060, over_budget(3_000))));
}

#[test]
fn people_are_told_the_estimate_once() {
    let mut script = master_loads(master());
    let said = script.hear(10, loading(Some(2_000)));
    let causes = loading_events(&said);
    assert!(matches!(causes[..], [cause] if cause.contains("about 2000 ms more")), "{said:?}");
    assert_eq!(loading_events(&script.hear(1_010, loading(Some(1_000)))), Vec::<&str>::new());
}

#[test]
fn a_master_that_will_load_for_longer_than_its_budget_is_down_after_down_after() {
    let mut script = master_loads(master());
    let _ = script.hear(10, loading(Some(60_000)));
    assert_eq!(script.tell(999, &LOADING), []);
    assert_eq!(script.tell(1_500, &LOADING), [(1_000, over_budget(1_000))]);
    // One that will be ready in time has its whole budget.
    let mut script = master_loads(master());
    let _ = script.hear(10, loading(Some(4_000)));
    assert_eq!(script.tell(4_999, &LOADING), []);
    assert_eq!(script.tell(5_000, &LOADING), [(5_000, over_budget(5_000))]);
}

#[test]
fn without_a_synced_replica_a_loading_master_is_waited_for_and_people_are_told() {
    let mut script = master_loads(Company { spare: false, writable_spare: false, ..master() });
    let _ = script.hear(10, loading(Some(60_000)));
    let said = script.tell(30_000, &LOADING);
    assert_eq!((events(&said), said.len()), (vec![(5_000, EventName::Loading)], 1));
    // As soon as one is there it is judged.
    script.watcher.keep_company(master(), at(30_050));
    assert_eq!(script.watcher.poll_output(), Some(over_budget(30_050)));
    // And when it is gone the verdict is too.
    script.watcher.keep_company(Company { spare: false, ..master() }, at(30_060));
    assert_eq!(script.watcher.poll_output(), Some(UP));
}

#[test]
fn what_a_master_has_loaded_is_heard_before_it_counts_as_alive() {
    let mut script = master_loads(master());
    let _ = script.hear(10, loading(Some(60_000)));
    let _ = script.run(2_000, &LOADING);
    let said = script.run(2_100, &WELL);
    assert_eq!(times(&said, &Act::Info), [2_100]);
    assert_eq!(told(said), [(2_010, over_budget(1_000))][..0], "still down");
    assert_ne!(*script.watcher.state(), NodeState::Up);
    let _ = script.hear(2_110, LinkEvent::Info(Ok(master_view(1, 0))));
    assert_ne!(*script.watcher.state(), NodeState::Up, "the group has not been asked");
    script.watcher.keep_company(master(), at(2_110));
    let said = drain(|| script.watcher.poll_output());
    assert!(said.contains(&UP), "{said:?}");
}
