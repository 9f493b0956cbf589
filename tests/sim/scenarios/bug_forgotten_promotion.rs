//! A leader sent the promotion and died, and the target died with it. Another was promoted. The
//! first target came back with a history that nobody had heard of, and was a stranger for good.

use vedette_sim::{Harm, Moment, Options, Site, World, ms, secs};

/// The first target is master, and nobody knows; then it dies, and another becomes master.
fn forgotten(seed: u64) -> (World, Site) {
    let mut world = World::settled(Options::new(seed));
    let first = world.master();
    world.strike_after(Moment::Promoting, Harm::Kill);
    world.kill(first);
    world.run_until("the promotion is sent", secs(3), |w| w.struck().is_some());
    let target = world.record().failover.as_ref().map(|plan| plan.target.clone());
    let all = world.all_nodes();
    let target = all.into_iter().find(|n| Some(world.addr(*n)) == target.as_ref());
    let target = target.expect("a replica was chosen");
    world.run_until("it is master", ms(200), |w| w.look(target).is_master());
    // It lives long enough to save its new history.
    let leader = world.struck().expect("it was");
    for other in [world.orchestrator(0), world.orchestrator(1)] {
        if other != leader {
            world.stop(other);
        }
    }
    world.run_for(secs(2));
    world.kill(target);
    world.run_for(secs(2));
    for orchestrator in [world.orchestrator(0), world.orchestrator(1)] {
        world.resume(orchestrator);
        world.start(orchestrator);
    }
    let others = |w: &World| w.master() != first && w.master() != target;
    world.run_until("the other one is master", secs(10), others);
    (world, target)
}

#[test]
fn it_is_a_replica_again_after_its_return() {
    for seed in 1..=20 {
        let (mut world, target) = forgotten(seed);
        world.run_for(secs(3));
        world.start(target);
        world.run_until("it is a replica", secs(3), |w| !w.look(target).is_master());
        assert_eq!(world.lost(0), 0, "seed {seed}: nothing that was acknowledged");
        world.run_for(secs(12));
        assert_eq!(world.record().branches, [], "seed {seed}: it is like any other now");
        world.start(world.node(0));
        world.run_until_well(secs(10));
    }
}

#[test]
fn also_if_it_was_restarted_twice_before_anybody_looked() {
    for seed in 1..=20 {
        let (mut world, target) = forgotten(seed);
        let processes = world.all_processes();
        for process in &processes {
            world.stop(*process);
        }
        for _ in 0..2 {
            world.start(target);
            world.run_for(secs(2));
            world.kill(target);
        }
        for process in &processes {
            world.resume(*process);
        }
        world.start(target);
        world.run_until("it is a replica", secs(10), |w| !w.look(target).is_master());
    }
}

#[test]
fn a_stranger_at_its_address_is_left_alone() {
    for seed in 1..=20 {
        let (mut world, target) = forgotten(seed);
        let stranger = world.replace(target, None);
        world.run_for(secs(15));
        assert!(world.look(stranger).is_master(), "seed {seed}");
        assert_eq!(
            world.commands_to(stranger).iter().filter(|s| s.at > world.now - secs(15)).count(),
            0
        );
    }
}
