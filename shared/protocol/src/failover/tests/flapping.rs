//! How failovers in a row are counted, and when the group is held.

use super::*;

/// What the plan says of a group that had `count` failovers in a row, the last so long ago.
fn counted(count: u32, failover_ms_ago: Option<u64>, hard: bool) -> Flapping {
    let mut known = record(3);
    known.flapping.count = count;
    let (mut script, _) = Script::knowing(replace(), Some(&known));
    script.0.setting.hard = hard;
    for n in [2, 3] {
        let _ = script.answer(5, n, replica(n));
    }
    script.0.elected(Some(known), at(0), failover_ms_ago, at(10));
    let said = script.drain();
    let Act::Propose(plan) = &said[2] else { panic!("{said:?}") };
    assert_eq!(plan.flapping.count, count, "nothing is counted before there is a new master");
    plan.failover.as_ref().unwrap().flapping
}

#[test]
fn failovers_within_the_window_are_counted_and_the_second_holds_the_group() {
    let flapping = |count, held| Flapping { count, held };
    assert_eq!(counted(0, None, false), flapping(1, false));
    assert_eq!(counted(1, Some(600_000), false), flapping(2, true));
    assert_eq!(counted(1, Some(600_001), false), flapping(1, false), "the window is over");
    assert_eq!(counted(1, None, false), flapping(1, false), "nobody remembers one");
}

#[test]
fn a_crash_is_no_flapping() {
    assert_eq!(counted(1, Some(10), true), Flapping { count: 1, held: false });
}

#[test]
fn the_count_becomes_the_records_with_the_new_master() {
    let mut known = record(3);
    known.settings.flap_limit = 1;
    let (mut script, _) = Script::knowing(replace(), Some(&known));
    for n in [2, 3] {
        let _ = script.answer(5, n, replica(n));
    }
    let said = script.elected(10, 0, &known);
    let Act::Propose(plan) = &said[2] else { panic!("{said:?}") };
    let _ = script.committed(12, plan);
    let said = script.answer(13, 2, done(promoted(2)));
    let switched = &proposed(&said);
    assert_eq!(switched.flapping, Flapping { count: 1, held: true });
}

#[test]
fn a_group_that_is_held_is_not_failed_over_whatever_the_candidate_thought() {
    let mut held = record(3);
    held.flapping.held = true;
    let (mut script, _) = Script::new(replace());
    let said = script.elected(10, 0, &held);
    assert_eq!(said, [Act::Step(Step::Claimed), Act::Propose(held.clone())]);
    assert_eq!(script.committed(12, &held), [end(Some("the group is held"), 0)]);
}

#[test]
fn a_plan_that_is_taken_over_is_carried_out_and_counted_once_also_with_another_target() {
    let mut found = plan();
    let flapping = Flapping { count: 2, held: true };
    found.failover.as_mut().unwrap().flapping = flapping;
    let (mut script, _) = Script::knowing(Purpose::Takeover, Some(&found));
    let said = script.elected(10, 0, &found);
    let Act::Propose(mine) = &said[2] else { panic!("{said:?}") };
    let _ = script.committed(12, mine);
    let _ = script.answer(13, 2, Answer::Failed(NodeFault::Refused));
    let said = script.answer(14, 3, replica(3));
    let Act::Propose(second) = &said[1] else { panic!("{said:?}") };
    assert_eq!(second.failover.as_ref().unwrap().flapping, flapping);
}
