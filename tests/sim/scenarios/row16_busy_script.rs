//! "A slow Lua script made Sentinel fail over a healthy master."

use vedette_model::EventName;
use vedette_sim::{Mood, Options, World, ms, secs};

#[test]
fn a_script_within_its_budget_is_a_state_and_no_death() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        world.mood(master, Mood::Busy);
        world.run_for(ms(4_500));
        world.mood(master, Mood::Well);
        world.run_for(secs(10));
        assert!(!world.events(EventName::Busy).is_empty(), "seed {seed}: it is said");
        assert!(world.events(EventName::Sdown).is_empty(), "seed {seed}");
        assert_eq!(world.record().epoch.0, 1, "seed {seed}");
    }
}

#[test]
fn a_script_beyond_its_budget_is_acted_upon_when_the_budget_is_over() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        world.mood(master, Mood::Busy);
        let took = world.run_until("another master", secs(8), |w| w.master() != master);
        assert!(took >= ms(4_900) && took <= ms(6_000), "seed {seed}: {took:?}");
    }
}

#[test]
fn hanging_shorter_than_down_after_is_nothing() {
    let mut world = World::settled(Options::new(1));
    let master = world.master();
    for _ in 0..60 {
        world.stop(master);
        world.run_for(ms(800));
        world.resume(master);
        world.run_for(ms(1_200));
    }
    assert!(world.events(EventName::Sdown).is_empty());
}
