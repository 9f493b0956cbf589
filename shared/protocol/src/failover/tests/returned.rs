//! The recorded master came back as a replica.

use super::*;

/// A prober says so; asked, all three nodes are replicas.
fn planned() -> (Script, GroupRecord) {
    let setting = Setting {
        me: orchestrator(1),
        purpose: replace(),
        master_offset: Some((1_000, at(0))),
        odown_since: Some(at(0)),
        hard: false,
        returned: true,
        wish: None,
    };
    let (mut script, said) = Script::setting(setting, Some(&record(3)));
    let asked: Vec<_> = (1..=3).map(|n| Act::Inspect(node(n))).collect();
    assert_eq!(said, asked, "it is asked like all others");
    for n in 1..=3 {
        let _ = script.answer(5, n, done(replica_view(n, 3, 1_000)));
    }
    let said = script.elected(10, 0, &record(3));
    let Act::Propose(plan) = &said[2] else { panic!("{said:?}") };
    (script, plan.clone())
}

#[test]
fn it_is_promoted_again_under_a_new_epoch() {
    let (mut script, plan) = planned();
    let failover = plan.failover.clone().unwrap();
    assert_eq!((&failover.failed, &failover.target), (&node(1), &node(1)));
    assert_eq!((plan.epoch, failover.epoch), (Epoch(1), Epoch(2)));
    assert_eq!(deeds(script.committed(12, &plan)), [Act::Promote(node(1))], "before it is told");
    let said = script.answer(13, 1, done(promoted(1)));
    let switched = &proposed(&said);
    assert_eq!((switched.epoch, &switched.master), (Epoch(2), &node(1)));
    assert_eq!(deeds(script.committed(15, switched)), [Act::Announce]);
}

#[test]
fn who_takes_that_over_promotes_it_too() {
    let (_, plan) = planned();
    let (mut script, _) = Script::knowing(Purpose::Takeover, Some(&plan));
    let said = script.elected(10, 0, &plan);
    let Act::Propose(mine) = &said[2] else { panic!("{said:?}") };
    assert_eq!(deeds(script.committed(12, mine)), [Act::Promote(node(1))]);
}

#[test]
fn if_its_promotion_fails_the_next_one_is_tried() {
    let (mut script, plan) = planned();
    let _ = script.committed(12, &plan);
    let said = script.answer(13, 1, Answer::Failed(NodeFault::Refused));
    assert_eq!(deeds(said), [Act::Inspect(node(2)), Act::Inspect(node(3))]);
}
