//! A node was synchronised anew and promoted before its append-only file held what it had got. It
//! died, and came back with the data set of minutes ago. The master before, which had nearly
//! everything, was made to copy that.

use vedette_sim::{Keeps, NodeOptions, Options, Site, World, ms, secs};

fn append_only(node: &mut NodeOptions) {
    node.keeps = Keeps::DataOnly;
}

/// Node 1 was master and is dead; node 0 was synchronised from it and promoted, and its disk is
/// behind. Node 2 is dead.
fn promoted(seed: u64) -> (World, Site, Site) {
    let mut options = Options::new(seed);
    options.groups[0].settings.trust_recorded_address = true;
    let options = options.node(0, append_only).node(1, append_only).node(2, append_only);
    let mut world = World::settled(options);
    let (first, second) = (world.master(), world.node(1));
    world.kill(world.node(2));
    world.kill(first);
    world.run_until("the second is master", secs(5), |w| w.master() == second);
    world.run_for(secs(2));
    world.properties(first).saves_for = secs(20);
    world.start(first);
    let linked = |w: &World| w.look(first).following.as_ref().is_some_and(|f| f.up);
    world.run_until("the first follows", secs(10), linked);
    world.run_for(secs(1));
    world.kill(second);
    world.run_until("the first is master again", secs(5), |w| w.master() == first);
    world.run_for(secs(1));
    (world, first, second)
}

#[test]
fn the_master_before_is_promoted_and_copies_nothing() {
    for seed in 1..=20 {
        let (mut world, first, second) = promoted(seed);
        let kept = world.data(second);
        world.start(second);
        world.kill(first);
        // Before anybody is missed: who is watched through a bus that is cut is not.
        world.start(first);
        world.run_until("the second is master", secs(10), |w| w.master() == second);
        let now = world.master();
        assert_eq!(world.lacks(now, &kept), 0, "seed {seed}: what the second held is there");
        world.start(world.node(2));
        world.run_until_well(secs(20));
        let now = world.master();
        assert_eq!(world.lacks(now, &kept), 0, "seed {seed}: and stays there");
    }
}

#[test]
fn it_is_master_again_if_nobody_holds_more() {
    for seed in 1..=20 {
        let (mut world, first, second) = promoted(seed);
        world.kill(first);
        world.start(first);
        world.start_empty(second);
        world.start(world.node(2));
        world.run_until_well(secs(30));
        assert_eq!(world.masters(0), [world.master()], "seed {seed}");
    }
}

#[test]
fn a_disk_that_has_caught_up_is_believed() {
    for seed in 1..=20 {
        let (mut world, first, second) = promoted(seed);
        world.run_for(secs(35));
        let learned = |w: &World| w.record().members.iter().all(|m| !m.unsaved);
        world.run_until("the record knows", secs(5), learned);
        let kept = world.data(first);
        world.kill(first);
        world.run_for(ms(500));
        world.start(first);
        world.start(second);
        world.start(world.node(2));
        world.run_until_well(secs(20));
        let now = world.master();
        assert_eq!(now, first, "seed {seed}");
        assert_eq!(world.lacks(now, &kept), 0, "seed {seed}: nothing went back");
    }
}
