//! "The isolated master kept saying OK to writes; they were all thrown away."

use vedette_sim::{Options, World, secs};

#[test]
fn the_loss_of_an_isolated_master_is_stated_and_it_is_demoted_when_it_is_back() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        world.isolate(old);
        world.run_until("another master", secs(5), |w| w.master() != old);
        let loss = world.record().switch.loss;
        assert!(loss.bytes.is_some() && loss.as_of_ms.is_some(), "seed {seed}: {loss:?}");
        world.write_here(old);
        world.run_for(secs(10));
        assert!(world.look(old).is_master(), "seed {seed}: nobody can reach it");
        world.heal();
        world.run_until("it is a replica", secs(3), |w| !w.look(old).is_master());
        world.run_until_well(secs(10));
        assert_eq!(world.record().epoch.0, 2, "seed {seed}");
    }
}
