//! "It promoted the replica that was behind."

use vedette_sim::{Options, World, ms, secs};

/// Replica 2 has the better priority, sleeps for 5 s under load, and wakes when the master dies.
fn behind_when_the_master_dies(seed: u64) -> World {
    let options =
        Options::new(seed).settings(|s| s.max_lag_bytes = 10_000).node(2, |n| n.priority = 1);
    let mut world = World::settled(options);
    let (master, sleeper) = (world.master(), world.node(2));
    world.stop(sleeper);
    world.run_for(secs(5));
    world.resume(sleeper);
    world.kill(master);
    world
}

#[test]
fn the_replica_with_the_higher_offset_wins_whatever_the_priority() {
    for seed in 1..=100 {
        let mut world = behind_when_the_master_dies(seed);
        let ahead = world.node(1);
        let before = world.data(ahead);
        world.run_until("replica 1 is master", secs(3), |w| w.master() == ahead);
        world.run_until_well(secs(10));
        assert_eq!(world.lacks(ahead, &before), 0, "seed {seed}: writes were lost");
    }
}

#[test]
fn priority_counts_among_replicas_that_are_close() {
    let mut world = World::settled(Options::new(1).node(2, |n| n.priority = 1));
    let (master, preferred) = (world.master(), world.node(2));
    world.kill(master);
    world.run_until("the preferred one is master", secs(3), |w| w.master() == preferred);
}

#[test]
fn a_node_with_a_foreign_history_is_never_chosen_however_far_it_is() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed).node(2, |n| n.priority = 1));
        let (master, replica) = (world.master(), world.node(1));
        let stranger = world.replace(world.node(2), None);
        world.run_for(ms(300));
        world.kill(master);
        world.run_until("replica 1 is master", secs(3), |w| w.master() == replica);
        world.run_for(secs(10));
        assert!(world.commands_to(stranger).is_empty(), "seed {seed}: a stranger was touched");
        assert!(world.look(stranger).is_master(), "seed {seed}");
    }
}
