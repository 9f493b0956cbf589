//! What somebody else changed by hand.

use super::*;

fn told(acts: &[Act]) -> Vec<String> {
    let told = |act: &Act| {
        let Act::Event(told) = act else { return None };
        (told.name == EventName::ExternalChange).then(|| told.cause.clone())
    };
    acts.iter().filter_map(told).collect()
}

fn asks(acts: &[Act]) -> Vec<bool> {
    let asks = |act: &Act| {
        let Act::Follow { ask_who, .. } = act else { return None };
        Some(*ask_who)
    };
    acts.iter().filter_map(asks).collect()
}

/// Node 2 was in line, and is now looked at.
fn in_line() -> Script {
    let mut script = Script::new(2);
    let _ = script.seen(0, 2, good(2));
    let _ = script.begin(false, 0, 0);
    script
}

fn corrected(script: &mut Script, now: u64, changed_by: Option<&str>) -> Vec<Act> {
    let changed_by = changed_by.map(ToString::to_string);
    script.answer(now, 2, Answer::Done { view: linking(2, 1), rewrite_error: None, changed_by })
}

#[test]
fn a_replica_promoted_by_hand_is_brought_back_and_who_did_it_is_told() {
    let mut script = in_line();
    let acts = script.says(0, 2, stray(2));
    assert_eq!((follows(&acts), asks(&acts)), (vec![converted(2)], vec![true]));
    let acts = corrected(&mut script, 10, Some("10.9.9.9:40000, name healer"));
    assert_eq!(
        told(&acts),
        ["it was made a master, and not by us (by 10.9.9.9:40000, name healer); it is brought \
          back. To work on it by hand, pause the group"]
    );
}

#[test]
fn a_replica_that_was_made_to_follow_another_is_told_too() {
    let mut script = in_line();
    let acts = script.says(0, 2, wrong(2));
    assert_eq!(asks(&acts), [true]);
    let told = told(&script.fails(10, 2, NodeFault::TimedOut));
    assert!(told[0].starts_with("it was made to follow 10.0.0.99:6379, and not by us (by whom"));
}

#[test]
fn what_was_not_sent_is_told_when_it_is() {
    let mut script = in_line();
    let _ = script.says(0, 2, stray(2));
    assert_eq!(told(&script.fails(10, 2, NodeFault::Expired)), Vec::<String>::new());
    let _ = script.tick(110);
    assert_eq!(asks(&script.says(110, 2, stray(2))), [true]);
    assert_eq!(told(&corrected(&mut script, 120, None)).len(), 1);
}

#[test]
fn a_restarted_process_is_nobodys_doing() {
    let mut script = in_line();
    let restarted = changed(stray(2), |v| v.run_id = run_id(77));
    let acts = script.says(0, 2, restarted);
    assert_eq!((follows(&acts), asks(&acts)), (vec![converted(2)], vec![false]));
    assert_eq!(told(&corrected(&mut script, 10, None)), Vec::<String>::new());
}

#[test]
fn what_a_failover_leaves_behind_is_nobodys_doing() {
    let mut script = in_line();
    script.record.master = node(9);
    script.reconciler.new_reign();
    let _ = script.begin(true, 0, 0);
    assert_eq!(asks(&script.says(0, 2, good(2))), [false]);
}

#[test]
fn a_chain_that_is_no_longer_allowed_is_nobodys_doing() {
    let mut script = Script::new(3);
    script.record.settings.chained_replicas = true;
    let _ = script.seen(0, 3, good(3));
    let _ = script.seen(0, 2, replica_view(2, 3, 100));
    script.record.settings.chained_replicas = false;
    let _ = script.begin(false, 0, 0);
    assert_eq!(asks(&script.says(0, 2, replica_view(2, 3, 100))), [false]);
}

#[test]
fn who_was_changed_once_is_looked_at_again_after_5_s() {
    let mut script = in_line();
    let _ = script.says(0, 2, stray(2));
    let _ = corrected(&mut script, 10, None);
    assert!(!script.reconciler.in_round() && !script.has_work(4_999));
    assert_eq!(script.reconciler.work_due(at(10)), Some(at(5_000)));
    assert!(script.has_work(5_000));
    assert_eq!(script.begin(false, 5_000, 5_000), [Act::Inspect(node(2))]);
    let _ = script.says(5_010, 2, good(2));
    assert!(!script.has_work(60_000));
}

#[test]
fn a_node_that_is_flipped_all_the_time_is_corrected_once_in_5_s_and_each_time_is_told() {
    let mut script = in_line();
    script.reconciler.stop();
    let (mut follow, mut tell) = (vec![], 0);
    for now in (0..60_000).step_by(500) {
        let _ = script.seen(now, 2, if now % 1_000 == 0 { stray(2) } else { good(2) });
        if script.has_work(now) {
            let _ = script.begin(false, now, now);
            if !follows(&script.says(now, 2, stray(2))).is_empty() {
                follow.push(now);
                let acts = script.says(now + 2, 2, good(2));
                tell += told(&acts).len();
            }
        }
        script.reconciler.stop();
    }
    assert!(follow.windows(2).all(|pair| pair[1] - pair[0] >= 5_000), "{follow:?}");
    assert_eq!((follow.len(), tell), (12, 12));
}

#[test]
fn a_recorded_master_made_a_replica_is_told_once_per_flip() {
    let mut script = Script::new(2);
    let _ = script.seen(0, 1, stray(1));
    assert_eq!(told(&script.seen(10, 1, replica_view(1, 2, 100))).len(), 1);
    assert_eq!(told(&script.seen(20, 1, replica_view(1, 2, 100))).len(), 0);
    let _ = script.seen(30, 1, stray(1));
    assert_eq!(told(&script.seen(40, 1, replica_view(1, 2, 100))).len(), 1);
}
