//! "The old master comes back as a master and takes writes for some seconds."

use vedette_model::EventName;
use vedette_sim::{Options, World, secs};

#[test]
fn it_is_demoted_within_a_second_of_its_return() {
    for seed in 1..=100 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        world.kill(old);
        world.run_until("another master", secs(3), |w| w.master() != old);
        world.run_until_well(secs(10));
        world.start(old);
        world.run_until("it is a replica", secs(1), |w| !w.look(old).is_master());
        assert!(!world.events(EventName::ConvertToSlave).is_empty(), "seed {seed}");
        world.run_until_well(secs(10));
    }
}

#[test]
fn also_while_nobody_else_lives_in_the_group() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed).nodes(2));
        let (old, replica) = (world.master(), world.node(1));
        world.kill(old);
        world.run_until("the replica is master", secs(3), |w| w.master() == replica);
        world.kill(replica);
        world.start(old);
        world.run_for(secs(3));
        assert_eq!(world.announced_master(0).unwrap().master, *world.addr(replica), "seed {seed}");
        world.start(replica);
        world.run_until_well(secs(15));
    }
}
