//! Going on with a plan whose leader fell silent.

use super::*;

/// The plan of `o9` to promote node 2.
fn found() -> GroupRecord {
    let mut record = plan();
    record.failover.as_mut().unwrap().leader = orchestrator(9);
    record
}

fn take_over(found: &GroupRecord) -> (Script, Vec<Act>) {
    let (mut script, said) = Script::knowing(Purpose::Takeover, Some(found));
    assert_eq!(said, [], "its target is chosen; an answer must not pass for its promotion");
    let said = script.elected(10, 0, found);
    (script, said)
}

#[test]
fn a_takeover_keeps_the_recorded_target() {
    let (mut script, said) = take_over(&found());
    // It is committed again under the new ballot before anything is done.
    let mut mine = plan();
    mine.revision = Revision(3);
    mine.failover.as_mut().unwrap().perhaps_announced = true;
    let cause = "o9 fell silent";
    assert_eq!(
        said,
        [
            Act::Step(Step::Claimed),
            Act::Event(Happening::new(EventName::TakeOver, cause)),
            Act::Propose(mine.clone()),
        ]
    );
    let said = script.committed(12, &mine);
    assert_eq!(deeds(said), [Act::Promote(node(2))]);
    let switched = proposed(&script.answer(13, 2, done(promoted(2))));
    assert_eq!((switched.epoch, &switched.master), (Epoch(2), &node(2)));
}

#[test]
fn nothing_is_sent_before_the_silent_leader_can_send_nothing_more() {
    let (mut script, _) = Script::knowing(Purpose::Takeover, Some(&found()));
    let said = script.elected(10, 310, &found());
    let Act::Propose(mine) = &said[2] else { panic!("{said:?}") };
    assert_eq!(deeds(script.committed(12, mine)), []);
    assert_eq!(script.0.poll_timeout(), Some(at(310)));
}

#[test]
fn a_target_that_is_down_is_replaced_under_a_higher_epoch() {
    let (mut script, said) = take_over(&found());
    let Act::Propose(mine) = &said[2] else { panic!("{said:?}") };
    let _ = script.committed(12, mine);
    let said = script.answer(13, 2, Answer::Failed(NodeFault::Refused));
    assert_eq!(deeds(said), [Act::Inspect(node(3))]);
    let said = script.answer(14, 3, replica(3));
    let Act::Propose(second) = &said[1] else { panic!("{said:?}") };
    let failover = second.failover.as_ref().unwrap();
    assert_eq!((failover.epoch, &failover.target), (Epoch(3), &node(3)));
    assert_eq!((&failover.leader, &failover.failed), (&orchestrator(1), &node(1)));
}

#[test]
fn a_master_that_is_committed_already_is_announced_again_and_not_promoted_again() {
    let mut found = found();
    (found.epoch, found.master) = (Epoch(2), node(2));
    let (mut script, said) = take_over(&found);
    let Act::Propose(mine) = &said[2] else { panic!("{said:?}") };
    let said = script.committed(12, mine);
    assert_eq!(said, [Act::Announce, Act::Step(Step::Committed { epoch: Epoch(2) })]);
    script.0.repaired(false);
    assert!(matches!(script.drain()[..], [Act::Propose(_)]));
}

#[test]
fn where_there_is_no_failover_any_more_what_was_found_is_committed_and_left() {
    let (mut script, said) = take_over(&record(3));
    assert_eq!(said, [Act::Step(Step::Claimed), Act::Propose(record(3))]);
    assert_eq!(script.committed(12, &record(3)), [end(None, 0)]);
}

#[test]
fn a_plan_is_carried_out_also_in_a_group_that_was_paused_since() {
    let mut found = found();
    found.pause = Some(Pause::for_good("maintenance".into()));
    let (_, said) = take_over(&found);
    assert!(matches!(said[2], Act::Propose(_)), "half a failover is no state to rest in");
}

#[test]
fn a_target_that_was_replaced_is_remembered_until_it_is_master() {
    let (mut script, said) = take_over(&found());
    let Act::Propose(mine) = &said[2] else { panic!("{said:?}") };
    let _ = script.committed(12, mine);
    let _ = script.answer(13, 2, Answer::Failed(NodeFault::Refused));
    let said = script.answer(14, 3, replica(3));
    let Act::Propose(second) = &said[1] else { panic!("{said:?}") };
    let branch = |n| Branch { node: node(n), offset: 1_000 };
    assert_eq!(second.branches, [branch(2), branch(3)]);
    let _ = script.committed(15, second);
    let switched = proposed(&script.answer(16, 3, done(promoted(3))));
    assert_eq!(switched.branches, [branch(2)]);
}

/// Node 2 and then node 3 refuse: nobody is left.
fn nobody_left(script: &mut Script) -> GroupRecord {
    let refused = || Answer::Failed(NodeFault::Refused);
    let said = script.answer(13, 2, refused());
    assert_eq!(deeds(said), [Act::Inspect(node(3))]);
    proposed(&script.answer(14, 3, refused()))
}

#[test]
fn a_plan_that_was_taken_over_is_given_up_under_a_higher_epoch() {
    // Whoever fell silent may have announced node 2.
    let (mut script, said) = take_over(&found());
    let _ = script.committed(12, &proposed(&said));
    let kept = nobody_left(&mut script);
    assert_eq!((kept.epoch, kept.top_epoch, &kept.master), (Epoch(3), Epoch(3), &node(1)));
    assert_eq!(kept.switch.loss, LossBound::default(), "nobody knows what it took");
    assert_eq!(script.committed(15, &kept)[0], Act::Announce);
}

#[test]
fn so_is_a_plan_that_replaced_such_a_one() {
    let (mut script, said) = take_over(&found());
    let _ = script.committed(12, &proposed(&said));
    let _ = script.answer(13, 2, Answer::Failed(NodeFault::Refused));
    let second = proposed(&script.answer(14, 3, replica(3)));
    let _ = script.committed(15, &second);
    let kept = proposed(&script.answer(16, 3, Answer::Failed(NodeFault::Refused)));
    assert_eq!((kept.epoch, &kept.master), (Epoch(4), &node(1)));
}

#[test]
fn the_own_plan_is_erased_for_nobody_was_told_of_its_target() {
    let (mut script, plan) = Script::promoting();
    let erased = nobody_left(&mut script);
    let revision = plan.revision.next();
    assert_eq!(erased, GroupRecord { revision, failover: None, ..plan });
}
