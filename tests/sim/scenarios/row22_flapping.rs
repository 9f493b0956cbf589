//! "It keeps switching back and forth."

use vedette_model::EventName;
use vedette_sim::{Options, World, secs};

/// Two failovers within ten minutes, then a hold.
const fn flaps(settings: &mut vedette_model::Settings) {
    settings.flap_limit = 2;
    settings.flap_window_ms = 600_000;
}

#[test]
fn a_flapping_link_of_one_master_costs_at_most_two_failovers() {
    for seed in 1..=5 {
        let mut world = World::settled(Options::new(seed).settings(flaps));
        let flapping = world.node(0);
        for _ in 0..75 {
            world.isolate(flapping);
            world.run_for(secs(2));
            world.heal();
            world.run_for(secs(2));
        }
        assert!(world.record().epoch.0 <= 3, "seed {seed}: {} epochs", world.record().epoch);
    }
}

#[test]
fn trouble_that_follows_the_role_ends_in_a_hold() {
    for seed in 1..=5 {
        let mut world = World::settled(Options::new(seed).settings(flaps));
        for _ in 0..20 {
            // Whoever is master is overloaded and hangs.
            let master = world.master();
            world.stop(master);
            world.run_for(secs(10));
            world.resume(master);
            world.run_for(secs(10));
        }
        assert!(world.record().epoch.0 <= 3, "seed {seed}: {} epochs", world.record().epoch);
        assert!(world.record().flapping.held, "seed {seed}");
        assert!(!world.events(EventName::Held).is_empty(), "seed {seed}: somebody is called");
    }
}

#[test]
fn crashes_are_no_flapping() {
    let mut world = World::settled(Options::new(1).settings(flaps));
    for _ in 0..6 {
        let master = world.master();
        world.kill(master);
        world.run_until("another master", secs(10), |w| w.master() != master);
        world.start(master);
        world.run_until_well(secs(10));
    }
    assert!(!world.record().flapping.held);
}
