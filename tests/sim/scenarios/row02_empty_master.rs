//! "The master restarted with an empty disk inside the detection window; all replicas copied the
//! emptiness."

use vedette_model::EventName;
use vedette_sim::{Keeps, Options, World, ms, secs};

/// Persistence off; the master is killed and comes back empty after so many milliseconds.
fn empty_after(seed: u64, millis: u64) -> (World, vedette_sim::Site) {
    let nothing = |n: &mut vedette_sim::NodeOptions| n.keeps = Keeps::Nothing;
    let options = Options::new(seed).node(0, nothing).node(1, nothing).node(2, nothing);
    let mut world = World::settled(options);
    let master = world.master();
    world.kill(master);
    world.run_for(ms(millis));
    world.start_empty(master);
    (world, master)
}

#[test]
fn not_all_nodes_end_up_empty_and_it_is_said() {
    for millis in [100, 500, 2_000, 8_000] {
        for seed in 1..=25 {
            let (mut world, old) = empty_after(seed, millis);
            world.run_for(secs(1));
            let switched = world.master() != old;
            let told = !world.events(EventName::DataLossRisk).is_empty();
            assert!(switched || told, "seed {seed}, after {millis} ms: nobody said anything");
            world.run_until_well(secs(20));
            // What the writers wrote to the empty one meanwhile does not count as kept.
            assert!(!world.is_all_gone(0), "seed {seed}, after {millis} ms: all data is gone");
        }
    }
}

#[test]
fn a_fast_restart_with_all_data_is_a_reboot_and_no_rebirth() {
    for seed in 1..=25 {
        let mut world = World::settled(Options::new(seed).settings(|s| s.crash_grace_ms = 2_000));
        let master = world.master();
        world.run_for(secs(2));
        world.write_here(master);
        world.kill(master);
        world.run_for(ms(20));
        world.start(master);
        world.run_for(secs(3));
        assert!(!world.events(EventName::Reboot).is_empty(), "seed {seed}");
        world.run_until_well(secs(20));
    }
}
