//! "DNS hiccup: all nodes down at once."

use vedette_model::EventName;
use vedette_sim::{Mood, Options, World, secs};

#[test]
fn names_that_do_not_resolve_are_told_of_and_nobody_is_down() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        for node in world.all_nodes() {
            world.mood(node, Mood::Unresolved);
        }
        world.run_for(secs(120));
        assert!(world.events(EventName::Sdown).is_empty(), "seed {seed}");
        for node in world.all_nodes() {
            world.mood(node, Mood::Well);
        }
        let master = world.master();
        world.kill(master);
        world.run_until("another master", secs(3), |w| w.master() != master);
    }
}
