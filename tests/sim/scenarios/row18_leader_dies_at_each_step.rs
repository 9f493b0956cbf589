//! "Failover takes 12, 60, sometimes 1000 seconds with the same settings."

use vedette_sim::{Harm, Moment, Options, World, ms, secs};

#[test]
fn a_dead_master_is_replaced_within_a_second_and_a_half() {
    let mut times = Vec::new();
    for seed in 1..=200 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        world.kill(master);
        let limit = secs(3);
        times.push(world.run_until("another master", limit, |w| w.master() != master));
    }
    times.sort();
    assert!(times[100] <= ms(500), "half took longer than {:?}", times[100]);
    assert!(times[197] <= ms(1_500), "one of a hundred took longer than {:?}", times[197]);
}

#[test]
fn a_leader_that_dies_at_any_step_is_replaced() {
    for (number, moment) in (0..).zip(Moment::ALL) {
        for seed in 0..20 {
            let mut world = World::settled(Options::new(seed * 100 + number));
            let master = world.master();
            if seed % 2 == 0 {
                world.strike_before(*moment, Harm::Kill);
            } else {
                world.strike_after(*moment, Harm::Kill);
            }
            world.kill(master);
            let struck = world.run_until("the leader dies", secs(3), |w| w.struck().is_some());
            assert!(struck < secs(3), "{moment:?}");
            let limit = secs(5);
            world.run_until("another completes it", limit, |w| {
                w.master() != master && w.record().failover.is_none() && w.masters(0).len() == 1
            });
            world.run_until_well(secs(5));
            assert_eq!(
                world.record().epoch.0,
                2,
                "{moment:?} seed {seed}: one promotion is enough"
            );
        }
    }
}

#[test]
fn applications_come_back_from_a_target_that_was_announced_and_died_uncommitted() {
    for seed in 0..40 {
        let what = format!("seed {seed}");
        let mut world = World::settled(Options::new(6_000 + seed).nodes(2));
        let (old, target) = (world.master(), world.node(1));
        world.strike_after(Moment::Announcing, Harm::Kill);
        world.kill(old);
        world.run_until(&what, secs(3), |w| w.struck().is_some());
        let (told, record) = (world.announced_master(0).cloned(), world.record().clone());
        let (told, plan) = (told.expect("it was announced"), record.failover.expect("a plan"));
        assert_eq!((&told.master, told.epoch), (world.addr(target), plan.epoch), "{what}");
        assert!(record.epoch < plan.epoch, "{what}: before it was committed");
        world.kill(target);
        world.run_until(&what, secs(10), |w| w.record().failover.is_none());
        world.start(old);
        world.run_until_well(secs(30));
        let told = world.announced_master(0).expect("a master").clone();
        assert_eq!((world.master(), &told.master), (old, world.addr(old)), "{what}");
        assert!(told.epoch > plan.epoch, "{what}: applications go there");
        world.start(target);
        world.run_until_well(secs(15));
    }
}

#[test]
fn the_next_candidate_is_master_two_seconds_after_the_chosen_one_died() {
    for seed in 1..=50 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        world.kill(master);
        world.run_until("a plan", secs(3), |w| w.record().failover.is_some());
        let target = world.record().failover.as_ref().map(|f| f.target.clone());
        let chosen = world.replicas().into_iter().find(|r| Some(world.addr(*r)) == target.as_ref());
        world.kill(chosen.expect("a replica was chosen"));
        world.run_until("the next one is master", secs(2), |w| {
            w.master() != master && w.is_up(w.master())
        });
    }
}
