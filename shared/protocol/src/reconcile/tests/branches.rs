//! A member that may have been promoted without a record of it, and was restarted since.

use super::*;
use vedette_model::Branch;

/// Another process than the known one, with two histories that nobody knows.
fn branched(offset: u64) -> NodeView {
    changed(foreign(2), |v| (v.replid2, v.offset) = (Some(history(3)), offset))
}

fn script() -> Script {
    let mut script = Script::new(3);
    script.record.branches = vec![Branch { node: node(2), offset: 100 }];
    script
}

#[test]
fn who_was_perhaps_promoted_is_ours_with_whatever_history() {
    let script = script();
    assert_eq!(compare(&script.record, &node(2), &branched(100)), Fit::Stray);
    assert_eq!(compare(&record(3), &node(2), &branched(100)), Fit::Foreign, "without a plan");
    assert_eq!(compare(&script.record, &node(3), &branched(100)), Fit::Foreign, "another member");
}

#[test]
fn who_has_less_than_it_had_or_no_former_history_is_a_stranger() {
    let script = script();
    assert_eq!(compare(&script.record, &node(2), &branched(99)), Fit::Foreign);
    assert_eq!(compare(&script.record, &node(2), &foreign(2)), Fit::Foreign);
}

#[test]
fn in_line_again_it_is_like_any_other() {
    let mut script = script();
    let _ = script.seen(0, 3, good(3));
    assert_eq!(script.learned(0), None);
    let _ = script.seen(0, 2, good(2));
    assert_eq!(script.learned(0).unwrap().branches, []);
}

#[test]
fn who_is_no_member_any_more_is_a_stranger() {
    let mut script = script();
    script.record.members.retain(|m| m.addr != node(2));
    assert_eq!(compare(&script.record, &node(2), &branched(100)), Fit::Foreign);
    assert_eq!(script.learned(0).unwrap().branches, []);
}
