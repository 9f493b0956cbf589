//! "A wrong or rotated password looked like a dead master."

use vedette_model::EventName;
use vedette_sim::{Mood, Options, World, secs};

#[test]
fn a_master_that_refuses_our_login_is_not_down() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        world.mood(master, Mood::Denies);
        world.run_for(secs(30));
        assert!(!world.events(EventName::AuthError).is_empty(), "seed {seed}: it is said");
        assert!(world.events(EventName::Sdown).is_empty(), "seed {seed}");
        assert_eq!(world.record().epoch.0, 1, "seed {seed}");
        world.mood(master, Mood::Well);
        world.run_for(secs(3));
        // And its death counts all the same.
        world.kill(master);
        world.run_until("another master", secs(3), |w| w.master() != master);
    }
}
