//! A promotion that fails: again, the next one, or none.

use super::*;

/// Faults after which the node may be promoted all the same, or soon.
fn passing() -> [NodeFault; 5] {
    [
        NodeFault::TimedOut,
        NodeFault::Broken("reset".into()),
        NodeFault::Expired,
        NodeFault::Unresolved("no such host".into()),
        NodeFault::Error("LOADING".into()),
    ]
}

#[test]
fn nothing_is_promoted_before_the_ballot_before_has_ended() {
    let (mut script, _) = Script::new(replace());
    for n in [2, 3] {
        let _ = script.answer(5, n, replica(n));
    }
    let said = script.elected(10, 260, &record(3));
    let Act::Propose(plan) = &said[2] else { panic!("{said:?}") };
    let said = script.committed(12, plan);
    assert_eq!(deeds(said), [], "the plan is committed, and it waits");
    assert_eq!(script.run(259), []);
    let said = script.run(260);
    let [(260, acts)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(acts[0], Act::Promote(node(2)));
}

#[test]
fn a_passing_fault_is_tried_again_after_50_ms() {
    for fault in passing() {
        let (mut script, _) = Script::promoting();
        assert_eq!(script.answer(20, 2, Answer::Failed(fault.clone())), [], "{fault}");
        assert_eq!(script.run(69), []);
        let said = script.run(70);
        let [(70, acts)] = &said[..] else { panic!("{fault}: {said:?}") };
        assert_eq!(acts[0], Act::Promote(node(2)));
        let said = script.answer(75, 2, done(promoted(2)));
        assert_eq!(names(&said), [EventName::PromotedSlave]);
    }
}

#[test]
fn while_an_answer_is_due_nothing_is_sent_again() {
    let (mut script, _) = Script::promoting();
    assert_eq!(script.run(59_000), []);
}

#[test]
fn a_node_that_is_a_replica_all_the_same_was_not_promoted() {
    let (mut script, _) = Script::promoting();
    assert_eq!(script.answer(20, 2, replica(2)), []);
    let said = script.run(70);
    assert_eq!(deeds(said[0].1.clone()), [Act::Promote(node(2))]);
}

#[test]
fn a_hopeless_fault_or_the_end_of_its_time_brings_the_next_candidate() {
    // A tenth of failover_timeout of 60 s, at most 5 s, after the promotion was first sent.
    let cases = [
        (20, NodeFault::Refused),
        (20, NodeFault::Denied("NOPERM".into())),
        (20, NodeFault::Replaced),
        // A machine that is gone does not say a word.
        (1_012, NodeFault::TimedOut),
        (5_012, NodeFault::Broken("reset".into())),
    ];
    for (now, fault) in cases {
        let (mut script, plan) = Script::promoting();
        let said = script.answer(now, 2, Answer::Failed(fault.clone()));
        assert_eq!(names(&said), [EventName::AbortSlaveTimeout], "{fault}");
        let why =
            format!("10.0.0.2:6379 could not be promoted: {fault}; the next candidate is tried");
        assert_eq!(said[1..], [Act::Step(Step::Aborted { why }), Act::Inspect(node(3))]);
        // A new plan, under a higher epoch, without the one that failed.
        let said = script.answer(now + 1, 3, replica(3));
        let Act::Propose(second) = &said[1] else { panic!("{said:?}") };
        let failover = second.failover.as_ref().unwrap();
        assert_eq!((second.revision, second.top_epoch), (Revision(3), Epoch(3)));
        assert_eq!((failover.epoch, &failover.target), (Epoch(3), &node(3)));
        assert_eq!((second.epoch, &second.master), (Epoch(1), &plan.master));
        assert_eq!(failover.rejected[1].reason, RejectReason::FailedBefore);
        let said = script.committed(now + 2, second);
        assert_eq!(deeds(said), [Act::Promote(node(3))]);
        let said = script.answer(now + 3, 2, done(promoted(2)));
        assert_eq!(said, [], "the first one's late answer");
        let said = script.answer(now + 4, 3, done(promoted(3)));
        let switched = &proposed(&said);
        assert_eq!((switched.epoch, &switched.master), (Epoch(3), &node(3)));
    }
}

#[test]
fn a_short_failover_timeout_leaves_a_promotion_half_a_second() {
    let short = |mut record: GroupRecord| {
        record.settings.failover_timeout_ms = 2_000;
        record
    };
    let (mut script, _) = Script::knowing(replace(), Some(&short(record(3))));
    for n in [2, 3] {
        let _ = script.answer(5, n, replica(n));
    }
    let said = script.elected(10, 0, &short(record(3)));
    let Act::Propose(plan) = &said[2] else { panic!("{said:?}") };
    let _ = script.committed(100, plan);
    assert_eq!(script.answer(599, 2, Answer::Failed(NodeFault::TimedOut)), [], "tried again");
    let _ = script.run(649);
    let said = script.answer(650, 2, Answer::Failed(NodeFault::TimedOut));
    assert_eq!(names(&said), [EventName::AbortSlaveTimeout]);
}

#[test]
fn when_nobody_is_left_the_plan_is_erased() {
    let (mut script, plan) = Script::promoting();
    let _ = script.answer(20, 2, Answer::Failed(NodeFault::Refused));
    let said = script.answer(21, 3, Answer::Failed(NodeFault::Refused));
    assert_eq!(names(&said), [EventName::AbortNoGoodSlave]);
    let deeds = deeds(said);
    let [Act::Propose(erased)] = &deeds[..] else { panic!("{deeds:?}") };
    let expected = GroupRecord { revision: Revision(3), failover: None, ..plan };
    assert_eq!(*erased, expected, "its epoch stays used");
    let said = script.committed(22, erased);
    let [Act::End { aborted: Some(_), pause }] = &said[..] else { panic!("{said:?}") };
    assert_eq!(*pause, Duration::from_secs(1));
}

#[test]
fn a_survey_for_the_next_candidate_lasts_200_ms_at_most() {
    let (mut script, _) = Script::promoting();
    let _ = script.answer(1_000, 2, Answer::Failed(NodeFault::Refused));
    assert_eq!(script.run(1_199), []);
    let said = script.run(1_200);
    assert_eq!(names(&said[0].1), [EventName::AbortNoGoodSlave]);
}

#[test]
fn when_failover_timeout_is_over_the_plan_is_erased() {
    let (mut script, plan) = Script::promoting();
    let said = script.run(60_010);
    let [(60_010, acts)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(names(acts), [EventName::AbortSlaveTimeout]);
    let deeds = deeds(acts.clone());
    let [Act::Propose(erased)] = &deeds[..] else { panic!("{deeds:?}") };
    assert_eq!(*erased, GroupRecord { revision: Revision(3), failover: None, ..plan });
    let said = script.committed(60_012, erased);
    assert_eq!(said, [end(Some("failover_timeout is over"), 0)]);
    assert_eq!(script.answer(60_013, 2, done(promoted(2))), [], "too late");
}

#[test]
fn a_permission_that_ended_is_not_the_replicas_silence() {
    let (mut script, _) = Script::promoting();
    let said = script.answer(30_000, 2, Answer::Failed(NodeFault::Expired));
    assert_eq!(said, [], "however long that took");
    let said = script.run(30_050);
    assert_eq!(deeds(said[0].1.clone()), [Act::Promote(node(2))]);
    assert_eq!(
        script.answer(30_060, 2, Answer::Failed(NodeFault::TimedOut)),
        [],
        "it has its time"
    );
}
