//! A node whose disk does not work.

use super::*;

const MISCONF: Node = Node::Says(PingReply::Misconf);

fn impaired(for_ms: u64) -> Act {
    down(Evidence::WriteImpaired { for_ms })
}

/// The recorded master, which refuses writes from 100 ms on.
fn refusing(company: Company, change: impl FnOnce(&mut Settings)) -> Script {
    let mut script = Script::with(change);
    script.watcher.keep_company(company, at(0));
    let _ = script.run(0, &WELL);
    let said = script.tell(100, &MISCONF);
    assert_eq!((events(&said), said.len()), (vec![(100, EventName::WriteImpaired)], 1));
    script
}

#[test]
fn a_master_that_refuses_writes_for_down_after_is_sdown_if_a_replicas_disk_works() {
    let mut script = refusing(master(), |_| {});
    assert_eq!(script.tell(1_099, &MISCONF), []);
    assert_eq!(script.tell(1_200, &MISCONF), [(1_100, impaired(1_000))]);
    let said = script.tell(1_300, &WELL);
    let over = Act::Event(EventName::TroubleOver, "write-impaired is over".into());
    assert_eq!(said, [(1_300, over), (1_300, UP)]);
}

#[test]
fn if_none_is_better_nothing_is_voted_and_it_is_told_once() {
    let none_better = Company { writable_spare: false, ..master() };
    let mut script = refusing(none_better.clone(), |_| {});
    assert_eq!(script.tell(60_000, &MISCONF), []);
    script.watcher.keep_company(master(), at(60_010));
    assert_eq!(drain(|| script.watcher.poll_output()), [impaired(59_910)]);
    script.watcher.keep_company(none_better, at(60_020));
    assert_eq!(drain(|| script.watcher.poll_output()), [UP]);
}

#[test]
fn whoever_only_wants_to_be_told_is_only_told() {
    let mut script = refusing(master(), |s| s.switch_when_write_impaired = false);
    assert_eq!(script.tell(60_000, &MISCONF), []);
}

#[test]
fn a_failed_save_of_a_node_that_takes_writes_is_only_told() {
    let mut script = Script::new();
    script.watcher.keep_company(master(), at(0));
    let _ = script.run(0, &WELL);
    let failed = || NodeView { persistence_ok: false, ..master_view(1, 0) };
    let said = script.hear(10, LinkEvent::Info(Ok(failed())));
    assert!(matches!(&said[..], [Act::Event(EventName::WriteImpaired, _), Act::View(_)]));
    assert_eq!(script.hear(20, LinkEvent::Info(Ok(failed()))).len(), 1, "it is told once");
    assert_eq!(script.tell(30_000, &WELL), []);
    let said = script.hear(30_010, LinkEvent::Info(Ok(master_view(1, 0))));
    assert!(matches!(&said[..], [Act::Event(EventName::TroubleOver, _), Act::View(_)]));
}

#[test]
fn it_is_over_when_both_the_answers_and_the_saves_are_well() {
    let mut script = refusing(master(), |_| {});
    let failed = NodeView { persistence_ok: false, ..master_view(1, 0) };
    let _ = script.hear(150, LinkEvent::Info(Ok(failed)));
    assert_eq!(script.tell(500, &WELL), []);
    let said = script.hear(510, LinkEvent::Info(Ok(master_view(1, 0))));
    assert!(matches!(&said[..], [Act::Event(EventName::TroubleOver, _), Act::View(_)]));
}
