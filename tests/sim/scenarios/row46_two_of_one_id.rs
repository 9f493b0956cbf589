//! "Cloned machines had the same Sentinel id and nothing worked." The second process ends with a
//! message (`identity` in `runtime`); should both run all the same, they count as one.

use vedette_sim::{Options, World, secs};

#[test]
fn two_voters_of_one_id_are_no_majority() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let twin = world.clone_of(world.voter(0));
        world.kill(world.voter(1));
        world.kill(world.voter(2));
        let master = world.master();
        world.kill(master);
        world.run_for(secs(15));
        assert_eq!(world.master(), master, "seed {seed}: one vote was counted twice");
        world.kill(twin);
        world.start(world.voter(1));
        world.run_until("another master", secs(6), |w| w.master() != master);
    }
}

#[test]
fn two_probers_of_one_id_are_no_quorum() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        world.clone_of(world.prober(0));
        world.kill(world.prober(1));
        world.kill(world.prober(2));
        let master = world.master();
        world.kill(master);
        world.run_for(secs(15));
        assert_eq!(world.master(), master, "seed {seed}: one report was counted twice");
        world.start(world.prober(1));
        world.run_until("another master", secs(6), |w| w.master() != master);
    }
}
