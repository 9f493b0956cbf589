//! A master whose role could not be written down came back as a replica of the one before. That
//! one was then told to follow it, and nobody was master any more: each followed the other.

use vedette_model::{Command, Epoch, Instant};
use vedette_sim::{Options, Site, World, ms, secs};

/// The first master died, and the node that took its place cannot write that down.
fn unwritten(seed: u64) -> (World, Site, Site) {
    let options =
        Options::new(seed).node(1, |n| n.read_only_config = true).node(2, |n| n.priority = 200);
    let mut world = World::settled(options);
    let (first, second) = (world.master(), world.node(1));
    world.kill(first);
    world.run_until("the second is master", secs(3), |w| w.master() == second);
    world.run_until_well(secs(10));
    world.run_for(secs(2));
    (world, first, second)
}

/// Since then nobody was told to follow a node before that was promoted again.
fn nobody_followed(world: &World, node: Site, since: Instant, seed: u64) {
    let of = |n: &Site| world.commands_to(*n).into_iter().cloned().collect::<Vec<_>>();
    let mut all: Vec<_> = world.all_nodes().iter().flat_map(of).collect();
    all.retain(|sent| sent.at >= since);
    all.sort_by_key(|sent| sent.at);
    let first = all.first().expect("commands were sent");
    let promoted = matches!(first.command, Command::Promote { .. });
    assert!(promoted && first.node == *world.addr(node), "seed {seed}: {first:?}");
}

#[test]
fn it_is_promoted_again_before_anybody_follows_it() {
    for seed in 1..=20 {
        let (mut world, first, second) = unwritten(seed);
        let since = world.now;
        world.kill(second);
        world.start(first);
        world.run_for(ms(5));
        world.start(second);
        world.run_for(ms(300));
        assert!(!world.look(second).is_master(), "seed {seed}: it is what its file says");
        world.run_until("there is a master again", secs(10), |w| w.record().epoch == Epoch(3));
        nobody_followed(&world, second, since, seed);
        world.run_until_well(secs(10));
    }
}

#[test]
fn also_after_everything_was_killed() {
    for seed in 1..=20 {
        let (mut world, _, second) = unwritten(seed);
        let since = world.now;
        let everything = [world.all_processes(), world.all_nodes()].concat();
        for site in &everything {
            world.kill(*site);
        }
        world.run_for(secs(1));
        for site in &everything {
            world.start(*site);
        }
        world.run_until("there is a master again", secs(15), |w| w.record().epoch == Epoch(3));
        nobody_followed(&world, second, since, seed);
        world.run_until_well(secs(10));
    }
}
