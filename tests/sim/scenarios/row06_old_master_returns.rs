//! "The old master comes back as a master and takes writes for some seconds."

use vedette_model::{Epoch, EventName, Settings};
use vedette_sim::{Options, Site, World, secs};

#[test]
fn it_is_demoted_within_a_second_of_its_return() {
    for seed in 1..=100 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        world.kill(old);
        world.run_until("another master", secs(3), |w| w.master() != old);
        world.run_until_well(secs(10));
        world.start(old);
        world.run_until("it is a replica, and people hear of it", secs(1), |w| {
            !w.look(old).is_master() && !w.events(EventName::ConvertToSlave).is_empty()
        });
        world.run_until_well(secs(10));
    }
}

/// The replica has long been master when it dies, and only the old master comes back.
fn alone_after_a_long_reign(seed: u64, patience_ms: u64) -> (World, Site, Site) {
    let settings = |s: &mut Settings| s.patience_ms = patience_ms;
    let mut world = World::settled(Options::new(seed).nodes(2).settings(settings));
    let (old, replica) = (world.master(), world.node(1));
    world.kill(old);
    world.run_until("the replica is master", secs(3), |w| w.master() == replica);
    world.run_for(secs(20));
    world.kill(replica);
    world.start(old);
    (world, old, replica)
}

#[test]
fn also_while_nobody_else_lives_in_the_group() {
    for seed in 1..=20 {
        let (mut world, _, replica) = alone_after_a_long_reign(seed, 10_000);
        world.run_for(secs(3));
        assert_eq!(world.announced_master(0).unwrap().master, *world.addr(replica), "seed {seed}");
        world.start(replica);
        world.run_until_well(secs(15));
    }
}

#[test]
fn when_patience_is_over_it_is_promoted_by_a_plan_and_not_by_its_claim() {
    for seed in 1..=20 {
        let (mut world, old, replica) = alone_after_a_long_reign(seed, 2_000);
        world.run_until("it is master again", secs(6), |w| {
            w.announced_master(0).unwrap().epoch == Epoch(3)
        });
        assert_eq!(world.announced_master(0).unwrap().master, *world.addr(old), "seed {seed}");
        world.start(replica);
        world.run_until_well(secs(15));
    }
}
