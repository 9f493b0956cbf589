//! "The master is frozen: connections open, nothing answers."

use vedette_sim::{Options, World, ms, secs};

#[test]
fn silence_is_death_after_down_after_and_the_woken_master_is_fenced() {
    for seed in 1..=50 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        world.stop(old);
        let took = world.run_until("another master", secs(3), |w| w.master() != old);
        assert!(took >= ms(800) && took <= ms(2_000), "seed {seed}: {took:?}");
        world.run_for(secs(60));
        world.resume(old);
        world.run_until("the woken one is a replica", secs(1), |w| !w.look(old).is_master());
        world.run_until_well(secs(10));
        assert_eq!(world.record().epoch.0, 2, "seed {seed}");
    }
}
