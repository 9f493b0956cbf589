//! A planned switchover: what is done in which order, and what is left where it does not work.

use super::*;
use vedette_model::Role;

fn switch() -> Purpose {
    Purpose::Switchover { epoch: Epoch(1), master: node(1) }
}

fn wish(to: Option<usize>, forced: bool) -> Setting {
    Setting {
        me: orchestrator(1),
        purpose: switch(),
        master_offset: Some((1_000, at(0))),
        odown_since: None,
        hard: false,
        returned: false,
        wish: Some(Wish { to: to.map(node), forced }),
    }
}

fn master(offset: u64) -> Answer {
    done(master_view(1, offset))
}

/// Node `n` with so many bytes of the master's history.
fn holds(n: usize, offset: u64) -> Answer {
    done(replica_view(n, 1, offset))
}

/// The old master follows itself.
fn frozen(offset: u64) -> Answer {
    let mut view = replica_view(1, 1, offset);
    view.upstream.as_mut().unwrap().link_up = false;
    done(view)
}

/// All three answered when the votes come in at 10 ms: what is proposed, or how it ends.
fn elected(setting: Setting, record: &GroupRecord) -> (Script, Vec<Act>) {
    let (mut script, said) = Script::setting(setting, Some(record));
    let asked: Vec<_> = (1..=3).map(|n| Act::Inspect(node(n))).collect();
    assert_eq!(said, asked, "the master is looked at too");
    let _ = script.answer(5, 1, master(1_000));
    let _ = script.answer(5, 2, holds(2, 990));
    let _ = script.answer(5, 3, holds(3, 980));
    let said = script.elected(10, 0, record);
    (script, said)
}

/// The plan is committed at 12 ms, and the pause sent.
fn pausing() -> (Script, GroupRecord) {
    let (mut script, said) = elected(wish(None, false), &record(3));
    let plan = proposed(&said);
    let said = script.committed(12, &plan);
    assert_eq!(names(&said), [EventName::SelectedSlave]);
    assert_eq!(deeds(said), [Act::PauseWrites(node(1), 2_000)]);
    (script, plan)
}

/// It was paused at offset 1,000 and the target was level: the master is being frozen.
fn freezing() -> (Script, GroupRecord) {
    let (mut script, plan) = pausing();
    let said = script.answer(13, 1, master(1_000));
    assert_eq!(said, [Act::Inspect(node(2)), Act::Step(Step::Paused)]);
    let said = script.answer(14, 2, holds(2, 1_000));
    assert_eq!(said, [Act::Freeze(node(1)), Act::Step(Step::Level { target: node(2) })]);
    (script, plan)
}

/// It is frozen at offset 1,000, the target known to hold that, and promoted.
fn promoting() -> (Script, GroupRecord) {
    let (mut script, plan) = freezing();
    let said = script.answer(15, 1, frozen(1_000));
    assert_eq!(said[..2], [Act::Step(Step::Frozen), Act::Promote(node(2))]);
    (script, plan)
}

/// All is as it was: the plan is erased, and clients' writes wait no longer.
fn undone(said: Vec<Act>, plan: &GroupRecord) -> Happening {
    assert_eq!(names(&said), [EventName::AbortMasterTimeout]);
    let told = said
        .iter()
        .find_map(|act| if let Act::Event(told) = act { Some(told.clone()) } else { None });
    let deeds = deeds(said);
    let [Act::Unpause(old), Act::Propose(erased)] = &deeds[..] else { panic!("{deeds:?}") };
    assert_eq!(*old, node(1));
    let revision = plan.revision.next();
    assert_eq!(*erased, GroupRecord { revision, failover: None, ..plan.clone() });
    told.unwrap()
}

#[test]
fn the_plan_says_that_the_master_hands_over_and_that_nothing_is_lost() {
    let (_, said) = elected(wish(None, false), &record(3));
    let plan = proposed(&said);
    let failover = plan.failover.unwrap();
    assert_eq!((failover.epoch, &failover.target), (Epoch(2), &node(2)));
    assert_eq!(failover.reason, PlanReason::Switchover);
    assert_eq!(failover.loss.bytes, Some(0));
    let reasons: Vec<_> = failover.rejected.into_iter().map(|r| r.reason).collect();
    assert_eq!(reasons, [RejectReason::Master, RejectReason::RanksLower]);
}

#[test]
fn nothing_is_sent_before_the_leader_before_can_send_nothing_more() {
    let (mut script, _) = Script::setting(wish(None, false), Some(&record(3)));
    for (n, answer) in [(1, master(1_000)), (2, holds(2, 990)), (3, holds(3, 980))] {
        let _ = script.answer(5, n, answer);
    }
    let plan = proposed(&script.elected(10, 260, &record(3)));
    assert_eq!(deeds(script.committed(12, &plan)), []);
    assert_eq!(script.run(259), []);
    let said = script.run(260);
    assert_eq!(said[0].1, [Act::PauseWrites(node(1), 2_000)]);
}

#[test]
fn the_master_is_paused_then_frozen_and_only_then_another_promoted() {
    let (mut script, _) = promoting();
    assert_eq!(script.0.paused_at(), Some(at(12)));
    let said = script.answer(17, 2, done(promoted(2)));
    let switched = proposed(&said);
    assert_eq!(said[..2], [Act::AnnounceAhead(switched.clone()), Act::Propose(switched.clone())]);
    assert_eq!((switched.epoch, &switched.master), (Epoch(2), &node(2)));
    assert_eq!(switched.switch.reason, SwitchReason::Switchover);
    assert_eq!(switched.flapping, Flapping::default());
    let said = script.committed(18, &switched);
    assert_eq!(said[0], Act::Announce);
}

#[test]
fn the_target_is_looked_at_every_millisecond_until_it_is_level() {
    let (mut script, _) = pausing();
    let _ = script.answer(13, 1, master(1_000));
    assert_eq!(script.answer(14, 2, holds(2, 999)), []);
    assert_eq!(script.run(15), [(15, vec![Act::Inspect(node(2))])]);
    let said = script.answer(16, 2, holds(2, 1_000));
    assert_eq!(deeds(said), [Act::Freeze(node(1))]);
}

#[test]
fn what_was_written_before_it_was_frozen_is_waited_for_too() {
    // The pause had run out: three bytes more.
    let (mut script, _) = freezing();
    let _ = script.answer(15, 1, frozen(1_003));
    assert_eq!(script.answer(16, 2, holds(2, 1_000)), []);
    assert_eq!(script.run(17), [(17, vec![Act::Inspect(node(2))])]);
    let said = script.answer(18, 2, holds(2, 1_003));
    assert_eq!(said[0], Act::Promote(node(2)));
}

#[test]
fn a_master_that_refuses_the_pause_goes_on() {
    let cases = [
        (NodeFault::Error("ERR syntax error".into()), "Redis 6.2"),
        (NodeFault::Denied("NOPERM".into()), "+client|pause"),
        (NodeFault::TimedOut, "could not be paused"),
    ];
    for (fault, words) in cases {
        let (mut script, plan) = pausing();
        let said = script.answer(13, 1, Answer::Failed(fault));
        let told = undone(said, &plan);
        assert!(told.cause.contains(words), "{}", told.cause);
    }
}

#[test]
fn a_target_that_is_not_level_a_second_after_the_pause_is_given_up() {
    let (mut script, plan) = pausing();
    let _ = script.answer(13, 1, master(1_000));
    let _ = script.answer(14, 2, Answer::Failed(NodeFault::TimedOut));
    let looks = script.run(1_011);
    assert!(!looks.is_empty());
    let (mut script, _) = (script, ());
    let said = script.run(1_012);
    let (1_012, acts) = said.last().unwrap() else { panic!("{said:?}") };
    undone(acts.clone(), &plan);
}

#[test]
fn a_freeze_whose_answer_is_lost_is_looked_into() {
    let lost = || Answer::Failed(NodeFault::Broken("reset".into()));
    let (mut script, _) = freezing();
    assert_eq!(script.answer(15, 1, lost()), [Act::Inspect(node(1))]);
    let said = script.answer(16, 1, frozen(1_000));
    assert_eq!(said, [Act::Step(Step::Frozen), Act::Inspect(node(2))], "it worked");

    let (mut script, plan) = freezing();
    let _ = script.answer(15, 1, lost());
    undone(script.answer(16, 1, master(1_000)), &plan);
}

#[test]
fn a_target_that_cannot_be_promoted_gives_the_role_back_under_a_higher_epoch() {
    let (mut script, plan) = promoting();
    let said = script.answer(17, 2, Answer::Failed(NodeFault::Refused));
    assert_eq!(names(&said), [EventName::AbortSlaveTimeout]);
    let back = proposed(&said);
    let failover = back.failover.clone().unwrap();
    assert_eq!((&failover.failed, &failover.target), (&node(1), &node(1)));
    assert_eq!((failover.epoch, back.revision), (Epoch(3), plan.revision.next()));
    let said = script.committed(18, &back);
    assert_eq!(deeds(said), [Act::Promote(node(1))]);
    let said = script.answer(19, 1, done(promoted(1)));
    assert!(said.contains(&Act::Unpause(node(1))), "{said:?}");
    assert!(!said.iter().any(|act| matches!(act, Act::AnnounceAhead(_))), "{said:?}");
    let switched = proposed(&said);
    assert_eq!(switched.switch.loss.bytes, Some(0));
    assert_eq!((switched.epoch, &switched.master), (Epoch(3), &node(1)));
    assert_eq!(switched.switch.reason, SwitchReason::Switchover);
}

#[test]
fn a_master_that_died_frozen_leaves_a_failover() {
    let (mut script, _) = promoting();
    let back = proposed(&script.answer(17, 2, Answer::Failed(NodeFault::Refused)));
    let _ = script.committed(18, &back);
    let said = script.answer(19, 1, Answer::Failed(NodeFault::Refused));
    assert_eq!(deeds(said), [Act::Inspect(node(3))]);
    let next = proposed(&script.answer(20, 3, holds(3, 1_000)));
    let failover = next.failover.unwrap();
    assert_eq!((failover.epoch, &failover.target), (Epoch(4), &node(3)));
    assert_eq!(failover.reason, PlanReason::Forced);
}

#[test]
fn the_named_one_is_promoted_if_it_could_be_chosen() {
    let (_, said) = elected(wish(Some(3), false), &record(3));
    let failover = proposed(&said).failover.unwrap();
    assert_eq!(failover.target, node(3));
    assert_eq!(failover.rejected[1].reason, RejectReason::NotNamed);
}

#[test]
fn who_cannot_hold_everything_is_not_promoted() {
    let no = |view: NodeView, words: &str| {
        let (mut script, _) = Script::setting(wish(Some(2), false), Some(&record(3)));
        let _ = script.answer(5, 1, master(9_000_000));
        let _ = script.answer(5, 2, done(view));
        let _ = script.answer(5, 3, holds(3, 9_000_000));
        let said = script.elected(10, 0, &record(3));
        let Some(Act::NoHeir(no)) = said.iter().find(|act| matches!(act, Act::NoHeir(_))) else {
            panic!("{said:?}")
        };
        assert!(no.why.contains(words), "{}", no.why);
        assert!(matches!(said.last(), Some(Act::End { aborted: Some(_), .. })));
    };
    let replica = |change: fn(&mut NodeView)| {
        let mut view = replica_view(2, 1, 9_000_000);
        change(&mut view);
        view
    };
    no(replica(|v| v.priority = 0), "priority 0");
    no(replica(|v| v.loading = true), "loading");
    no(replica(|v| v.upstream.as_mut().unwrap().link_up = false), "link down");
    no(replica(|v| v.replid = history(9)), "newer history");
    no(replica(|v| v.offset = 0), "behind");
    no(replica(|v| v.role = Role::Master), "says it is a master");
}

#[test]
fn a_master_that_does_not_answer_cannot_hand_over_but_can_be_replaced_if_that_is_wanted() {
    let ask = |forced| {
        let (mut script, _) = Script::setting(wish(None, forced), Some(&record(3)));
        let _ = script.answer(5, 1, Answer::Failed(NodeFault::Refused));
        let _ = script.answer(5, 2, holds(2, 990));
        let _ = script.answer(5, 3, holds(3, 980));
        let said = script.elected(10, 0, &record(3));
        (script, said)
    };
    let (_, said) = ask(false);
    assert!(said.iter().any(|act| matches!(act, Act::NoHeir(no) if no.why.contains("answer"))));
    let (mut script, said) = ask(true);
    let plan = proposed(&said);
    assert_eq!(plan.failover.as_ref().unwrap().reason, PlanReason::Forced);
    assert_eq!(deeds(script.committed(12, &plan)), [Act::Promote(node(2))], "nobody hands over");
}

#[test]
fn a_held_group_is_switched_over_and_a_paused_one_is_not() {
    let mut held = record(3);
    held.flapping = Flapping { count: 3, held: true };
    let (_, said) = elected(wish(None, false), &held);
    assert_eq!(proposed(&said).failover.unwrap().flapping, held.flapping);
    let mut paused = record(3);
    paused.pause = Some(Pause::for_good("maintenance".into()));
    let (_, said) = elected(wish(None, false), &paused);
    assert_eq!(proposed(&said), paused, "what was found is committed and left");
}

#[test]
fn what_is_only_looked_into_is_said_and_not_done() {
    let mut walk = Failover::foresee(wish(None, false), &record(3), at(0));
    let _ = drain(|| walk.poll_output());
    for (n, answer) in [(1, master(1_000)), (2, holds(2, 990)), (3, holds(3, 980))] {
        walk.answer(&node(n), answer, at(5));
    }
    let said = drain(|| walk.poll_output());
    let [.., Act::Foreseen(Ok(words))] = &said[..] else { panic!("{said:?}") };
    assert!(words.starts_with("10.0.0.1:6379 would hand over to 10.0.0.2:6379"), "{words}");
    assert_eq!(walk.poll_timeout(), None);
}

/// `o9` fell silent after it wrote the plan; what the old master and the target say now.
fn taken_over(old: Answer, target: Answer) -> (Script, GroupRecord, Vec<Act>) {
    let (_, said) = elected(wish(None, false), &record(3));
    let mut found = proposed(&said);
    found.failover.as_mut().unwrap().leader = orchestrator(9);
    let (mut script, said) = Script::knowing(Purpose::Takeover, Some(&found));
    assert_eq!(said, []);
    let mine = proposed(&script.elected(10, 0, &found));
    let said = script.committed(12, &mine);
    assert_eq!(deeds(said), [Act::Inspect(node(1)), Act::Inspect(node(2))]);
    assert_eq!(deeds(script.answer(13, 1, old)), []);
    let said = script.answer(14, 2, target);
    (script, mine, said)
}

/// Nobody is promoted, and the old master is announced under an epoch of its own: the target may
/// have been announced.
fn kept(script: &mut Script, said: &[Act], plan: &GroupRecord) {
    assert_eq!(names(said), [EventName::AbortMasterTimeout]);
    assert!(said.contains(&Act::Unpause(node(1))), "{said:?}");
    let kept = proposed(said);
    assert_eq!((&kept.master, kept.revision), (&node(1), plan.revision.next()));
    assert_eq!((kept.epoch, kept.top_epoch), (Epoch(3), Epoch(3)), "the plan had 2");
    assert_eq!(kept.switch.loss.bytes, None);
    assert!(kept.is_switched());
    let said = script.committed(20, &kept);
    assert_eq!(said[0], Act::Announce);
    script.0.repaired(false);
    let end = proposed(&drain(|| script.0.poll_output()));
    assert_eq!((end.epoch, end.failover), (Epoch(3), None));
}

#[test]
fn who_takes_over_before_the_master_is_frozen_undoes_it() {
    let (_, mine, said) = taken_over(master(1_000), holds(2, 1_000));
    undone(said, &mine);
    let mut restarted = master_view(1, 1_000);
    restarted.run_id = crate::tests::run_id(77);
    let (mut script, mine, said) = taken_over(done(restarted), holds(2, 1_000));
    kept(&mut script, &said, &mine);
    let refused = Answer::Failed(NodeFault::Refused);
    let (mut script, mine, said) = taken_over(refused, holds(2, 1_000));
    kept(&mut script, &said, &mine);
}

#[test]
fn who_cannot_give_the_role_back_has_the_master_announced_under_a_higher_epoch() {
    let refused = || Answer::Failed(NodeFault::Refused);
    let (mut script, _, said) = taken_over(frozen(1_000), refused());
    let back = proposed(&said);
    assert_eq!(
        back.failover.as_ref().unwrap().loss.bytes,
        None,
        "the target may have taken writes"
    );
    let _ = script.committed(15, &back);
    let said = script.answer(16, 1, refused());
    assert_eq!(deeds(said), [Act::Inspect(node(3))]);
    let kept = proposed(&script.answer(17, 3, refused()));
    assert_eq!((kept.epoch, &kept.master), (Epoch(4), &node(1)), "the plans had 2 and 3");
    assert!(kept.is_switched());
    assert_eq!(script.committed(18, &kept)[0], Act::Announce);
}

#[test]
fn a_target_that_was_restarted_since_it_was_promoted_is_not_promoted_again() {
    let mut empty = promoted(2);
    (empty.replid2, empty.offset) = (None, 0);
    empty.replid = history(99);
    let mut behind = promoted(2);
    behind.offset = 999;
    for restarted in [empty, behind] {
        let (_, mine, said) = taken_over(frozen(1_000), done(restarted));
        let back = proposed(&said).failover.expect("a plan");
        assert_eq!((back.failed, back.target), (node(1), node(1)), "the old one is master again");
        assert!(back.epoch > mine.failover.expect("a plan").epoch);
    }
}

#[test]
fn a_master_that_follows_another_by_then_has_not_handed_over() {
    let (mut script, mine, said) = taken_over(done(replica_view(1, 3, 1_000)), holds(2, 1_000));
    kept(&mut script, &said, &mine);
}

#[test]
fn who_takes_over_after_that_finishes_it() {
    let (_, _, said) = taken_over(frozen(1_000), holds(2, 1_000));
    assert_eq!(deeds(said), [Act::Promote(node(2))]);
    let (_, _, said) = taken_over(frozen(1_000), done(promoted(2)));
    assert_eq!(deeds(said), [Act::Promote(node(2))], "it was promoted already");
    let (mut script, _, said) = taken_over(frozen(1_000), holds(2, 999));
    assert_eq!(deeds(said), [Act::Inspect(node(2))], "not level yet");
    assert_eq!(deeds(script.answer(15, 2, holds(2, 1_000))), [Act::Promote(node(2))]);
}

#[test]
fn who_takes_over_and_does_not_reach_the_target_gives_the_role_back() {
    let (_, _, said) = taken_over(frozen(1_000), Answer::Failed(NodeFault::Refused));
    let back = proposed(&said);
    assert_eq!(back.failover.unwrap().target, node(1));
}
