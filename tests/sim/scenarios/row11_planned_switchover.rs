//! "A manual failover for maintenance lost writes and made every replica resync from scratch."

use vedette_model::{EventName, NodeAddr, Outcome, SwitchReason, Verb};
use vedette_sim::{Harm, Moment, Options, Site, World, ms, secs};

fn switchover(world: &World, to: Option<Site>) -> Verb {
    let to = to.map(|site| world.addr(site).clone());
    Verb::Switchover { epoch: world.record().epoch, to, dry_run: false }
}

/// Asks once; the answers come by themselves.
fn ask(world: &mut World) {
    world.ask_for_another_master(false);
}

fn holds_all(world: &mut World, what: &str) {
    let lost = world.lost(0);
    assert_eq!(lost, 0, "{what}: acknowledged bytes are gone");
}

/// A world in which the first master is handing over and has come so far.
fn handing_over(moment: Moment, seed: u64) -> (World, Site) {
    let mut world = World::settled(Options::new(seed));
    let old = world.master();
    ask(&mut world);
    world.run_until_moment(moment, secs(5));
    (world, old)
}

/// The end of what was asked for: nothing under way, one master, and writes are taken.
fn rests(world: &mut World, what: &str) {
    world.run_until(&format!("{what}: it rests"), secs(25), |w| {
        w.record().failover.is_none() && w.masters(0) == [w.master()] && w.well().is_ok()
    });
}

#[test]
fn a_hundred_in_a_row_lose_nothing_and_take_milliseconds() {
    let mut world = World::settled(Options::new(11));
    let mut gaps = Vec::new();
    for round in 0..100 {
        let (old, verb) = (world.master(), switchover(&world, None));
        world.instruct(Some("mymaster"), &verb, secs(10));
        assert_ne!(world.master(), old, "round {round}");
        let Some(Outcome::Done { now }) = world.outcome() else { panic!("it is done") };
        assert!(now.contains("nothing was lost"), "round {round}: {now}");
        let gap = now.split_once("waited for ").and_then(|(_, rest)| rest.split_once(" ms"));
        gaps.push(gap.expect("it says how long").0.parse::<f64>().expect("a number"));
        assert_eq!(world.record().switch.reason, SwitchReason::Switchover);
        holds_all(&mut world, "after a switchover");
    }
    gaps.sort_by(f64::total_cmp);
    assert!(gaps[50] < 10.0 && gaps[99] < 100.0, "half below {}, all below {}", gaps[50], gaps[99]);
    assert!(world.events(EventName::Sdown).is_empty(), "nobody took it for an outage");
    rests(&mut world, "in the end");
}

#[test]
fn the_named_one_is_promoted_or_the_reason_is_said() {
    let mut world = World::settled(Options::new(12).node(1, |node| node.priority = 0));
    let (old, unfit, other) = (world.node(0), world.node(1), world.node(2));
    let stranger = NodeAddr::parse("10.9.9.9:6379").expect("an address");
    let epoch = world.record().epoch;
    let cases = [(world.addr(unfit).clone(), "priority 0"), (stranger, "not a member")];
    for (to, reason) in cases {
        let verb = Verb::Switchover { epoch, to: Some(to), dry_run: false };
        world.request(&verb);
        world.run_until("an answer", secs(5), |w| w.outcome().is_some());
        let outcome = world.outcome();
        assert!(
            matches!(outcome, Some(Outcome::Refused { why }) if why.contains(reason)),
            "{outcome:?}"
        );
        assert_eq!(world.master(), old);
    }
    let verb = switchover(&world, Some(other));
    world.instruct(Some("mymaster"), &verb, secs(10));
    assert_eq!(world.master(), other);
    rests(&mut world, "in the end");
}

#[test]
fn to_look_into_it_changes_nothing() {
    let mut world = World::settled(Options::new(13));
    let (before, epoch) = (world.record().clone(), world.record().epoch);
    world.request(&Verb::Switchover { epoch, to: None, dry_run: true });
    world.run_until("an answer", secs(5), |w| w.outcome().is_some());
    let outcome = world.outcome();
    let says = |w: &str| matches!(outcome, Some(Outcome::Done { now }) if now.contains(w));
    assert!(says("would hand over to") && says("ranks lower"), "{outcome:?}");
    world.run_for(secs(3));
    assert_eq!(*world.record(), before);
    for node in world.all_nodes() {
        assert!(world.commands_to(node).is_empty());
    }
}

#[test]
fn a_target_that_never_comes_level_leaves_everything_as_it_was() {
    let slow = Options::new(14).nodes(2).node(1, |node| node.lag = ms(1_500));
    let mut world = World::settled(slow.settings(|s| s.max_lag_bytes = 1_000_000));
    let old = world.master();
    ask(&mut world);
    world.run_until("it is given up", secs(5), |w| {
        matches!(w.outcome(), Some(Outcome::Refused { .. }))
    });
    assert_eq!(world.events(EventName::AbortMasterTimeout).len(), 1);
    assert_eq!(world.master(), old);
    let held = world.data(old);
    world.run_for(secs(1));
    assert!(world.lacks(old, &held) == 0 && world.data(old) != held, "it takes writes again");
    rests(&mut world, "in the end");
    holds_all(&mut world, "in the end");
}

#[test]
fn a_leader_that_dies_or_sleeps_at_any_step_loses_nothing() {
    let moments = Moment::ALL.iter().filter(|m| **m != Moment::Odown);
    for (number, moment) in (0..).zip(moments.chain(Moment::OF_HANDOVERS)) {
        for seed in 0..24 {
            let what = format!("{moment:?} seed {seed}");
            let mut world = World::settled(Options::new(seed * 100 + number));
            let harm = if seed % 4 < 2 { Harm::Kill } else { Harm::Stop };
            if seed % 2 == 0 {
                world.strike_before(*moment, harm);
            } else {
                world.strike_after(*moment, harm);
            }
            ask(&mut world);
            world.run_until(&what, secs(5), |w| w.struck().is_some());
            world.run_until(&format!("{what}: another goes on"), secs(6), |w| {
                w.record().failover.is_none() && w.masters(0).len() == 1
            });
            holds_all(&mut world, &what);
            let epoch = world.record().epoch;
            let struck = world.struck().expect("it was");
            if harm == Harm::Stop {
                world.resume(struck)
            } else {
                world.start(struck)
            }
            world.run_for(secs(3));
            assert!(world.record().epoch.0 <= epoch.0 + 1, "{what}");
            rests(&mut world, &what);
            holds_all(&mut world, &what);
            let blamed = world.events(EventName::Sdown);
            assert!(blamed.is_empty(), "{what}: {blamed:?}");
        }
    }
}

#[test]
fn a_target_that_dies_at_any_step_gives_the_role_back_or_keeps_it() {
    for (number, moment) in (0..).zip([Moment::Selected, Moment::Paused, Moment::Frozen]) {
        for seed in 0..20 {
            let what = format!("{moment:?} seed {seed}");
            let (mut world, old) = handing_over(moment, seed * 100 + number);
            let target = world.record().failover.as_ref().map(|plan| plan.target.clone());
            let target =
                world.replicas().into_iter().find(|r| Some(world.addr(*r)) == target.as_ref());
            let target = target.expect("a replica was chosen");
            world.kill(target);
            world.run_until(&format!("{what}: an end"), secs(8), |w| w.record().failover.is_none());
            if world.master() == target {
                // Promoted before it died: then it is a failover's business.
                world.start(target);
            } else {
                assert_eq!(world.master(), old, "{what}");
                holds_all(&mut world, &what);
                world.start(target);
            }
            rests(&mut world, &what);
        }
    }
}

#[test]
fn applications_come_back_from_a_target_that_was_announced_and_died_uncommitted() {
    for (seed, old_restarts) in (0..40).flat_map(|seed| [(seed, true), (seed, false)]) {
        let what = format!("seed {seed}, the old master restarts: {old_restarts}");
        let mut world = World::settled(Options::new(4_000 + seed));
        let old = world.master();
        world.strike_after(Moment::Announcing, Harm::Kill);
        ask(&mut world);
        world.run_until(&what, secs(5), |w| w.struck().is_some());
        let (told, record) = (world.announced_master(0).cloned(), world.record().clone());
        let (told, plan) = (told.expect("it was announced"), record.failover.expect("a plan"));
        assert_eq!((&told.master, told.epoch), (&plan.target, plan.epoch), "{what}");
        assert!(record.epoch < plan.epoch, "{what}: before it was committed");
        let target = world.replicas().into_iter().find(|r| *world.addr(*r) == plan.target);
        let target = target.expect("it is a replica by the record");
        world.kill(target);
        if old_restarts {
            world.kill(old);
            world.start(old);
        }
        world.run_until(&what, secs(10), |w| w.record().failover.is_none());
        assert_eq!(world.master(), old, "{what}");
        let told = world.announced_master(0).expect("a master").clone();
        assert_eq!(told.master, *world.addr(old), "{what}");
        assert!(told.epoch > plan.epoch, "{what}");
        world.start(target);
        rests(&mut world, &what);
    }
}

#[test]
fn what_applications_wrote_before_the_commit_is_kept() {
    for seed in 0..40 {
        let mut world = World::settled(Options::new(5_000 + seed));
        world.strike_after(Moment::Announcing, Harm::Kill);
        ask(&mut world);
        world.run_until("the leader falls silent", secs(5), |w| w.struck().is_some());
        let told = world.announced_master(0).expect("it was announced").master.clone();
        rests(&mut world, &format!("seed {seed}"));
        assert_eq!(*world.addr(world.master()), told, "seed {seed}");
        holds_all(&mut world, &format!("seed {seed}"));
    }
}

#[test]
fn a_master_that_dies_while_it_hands_over_is_replaced() {
    for (number, moment) in (0..).zip([Moment::Selected, Moment::Paused, Moment::Frozen]) {
        for seed in 0..20 {
            let what = format!("{moment:?} seed {seed}");
            let (mut world, old) = handing_over(moment, seed * 100 + number);
            world.kill(old);
            world.run_until(&format!("{what}: another"), secs(10), |w| w.master() != old);
            world.start(old);
            rests(&mut world, &what);
        }
    }
}

#[test]
fn messages_that_are_lost_repeated_and_late_lose_no_write() {
    for seed in 0..60 {
        let what = format!("seed {seed}");
        let mut world = World::settled(Options::new(1_000 + seed));
        world.noise(80, 80, 30);
        for _ in 0..3 {
            ask(&mut world);
            world.run_for(secs(4));
        }
        world.noise(0, 0, 0);
        rests(&mut world, &what);
        let failovers = world.events(EventName::Odown).len();
        if failovers == 0 {
            holds_all(&mut world, &what);
        }
    }
}

#[test]
fn a_failover_that_a_person_wants_needs_no_agreement_and_no_master() {
    for seed in 0..20 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        // Only the orchestrators cannot reach it: nobody will say it is down.
        let orchestrators = [world.orchestrator(0), world.orchestrator(1)];
        world.part(&[old], &orchestrators);
        let epoch = world.record().epoch;
        world.instruct(Some("mymaster"), &Verb::Failover { epoch }, secs(15));
        assert_ne!(world.master(), old, "seed {seed}");
        assert_eq!(world.record().switch.reason, SwitchReason::Failover);
        assert_eq!(world.record().flapping.count, 0, "seed {seed}: it does not count");
        world.heal();
        rests(&mut world, &format!("seed {seed}"));
    }
}

#[test]
fn a_paused_group_is_not_switched_over() {
    let mut world = World::settled(Options::new(15));
    let old = world.master();
    let reason = "moving racks".to_string();
    world.instruct(Some("mymaster"), &Verb::Pause { reason, for_ms: None }, secs(5));
    world.run_until("it is recorded", secs(1), |w| w.record().pause.is_some());
    let verb = switchover(&world, None);
    world.request(&verb);
    world.run_until("an answer", secs(5), |w| w.outcome().is_some());
    let outcome = world.outcome();
    assert!(matches!(outcome, Some(Outcome::Refused { why }) if why.contains("paused")));
    assert_eq!(world.master(), old);
}
