//! "The master crashed and restarted quickly; it loads for minutes and Sentinel calls it healthy."

use vedette_model::EventName;
use vedette_sim::{Options, World, ms, secs};

/// No crash path: the restart is faster than any grace, only loading tells.
fn loading_for(seed: u64, loads: u64, nodes: usize) -> (World, vedette_sim::Site) {
    let options = Options::new(seed)
        .nodes(nodes)
        .settings(|s| s.crash_grace_ms = 0)
        .node(0, |n| n.loads_for = secs(loads));
    let mut world = World::settled(options);
    let master = world.master();
    world.run_for(secs(2));
    world.kill(master);
    world.run_for(ms(50));
    world.start(master);
    (world, master)
}

#[test]
fn a_minute_of_loading_is_reason_to_promote() {
    for seed in 1..=20 {
        let (mut world, old) = loading_for(seed, 60, 3);
        let took = world.run_until("another master", secs(4), |w| w.master() != old);
        assert!(took <= secs(3), "seed {seed}: {took:?} is more than down_after + 2 s");
        world.run_until_well(secs(90));
    }
}

#[test]
fn a_moment_of_loading_is_not() {
    for seed in 1..=20 {
        let (mut world, old) = loading_for(seed, 0, 3);
        world.run_for(secs(10));
        let rebirth = !world.events(EventName::DataLossRisk).is_empty();
        assert!(world.master() == old || rebirth, "seed {seed}");
    }
}

#[test]
fn without_a_synced_replica_it_waits_and_says_so() {
    for seed in 1..=20 {
        let (mut world, old) = loading_for(seed, 20, 1);
        world.run_for(secs(10));
        assert_eq!(world.master(), old, "seed {seed}");
        assert!(!world.events(EventName::Loading).is_empty(), "seed {seed}: it is said");
        world.run_until_well(secs(40));
    }
}
