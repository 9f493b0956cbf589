//! "Disk full: the master is up but refuses every write and nothing happens."

use vedette_model::EventName;
use vedette_sim::{Mood, Options, World, secs};

#[test]
fn a_master_that_refuses_writes_is_replaced_by_a_node_that_does_not() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let full = world.master();
        world.mood(full, Mood::Misconf);
        world.run_until("it is said", secs(5), |w| !w.events(EventName::WriteImpaired).is_empty());
        world.run_until("another master", secs(10), |w| w.master() != full);
        assert!(!matches!(world.look(world.master()).mood, Mood::Misconf), "seed {seed}");
    }
}

#[test]
fn where_all_disks_are_full_nothing_is_switched() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        for node in world.all_nodes() {
            world.mood(node, Mood::Misconf);
        }
        world.run_for(secs(60));
        assert_eq!(world.record().epoch.0, 1, "seed {seed}");
        assert!(!world.events(EventName::WriteImpaired).is_empty(), "seed {seed}: it is said");
    }
}

#[test]
fn where_the_setting_forbids_it_it_is_only_said() {
    let options = Options::new(1).settings(|s| s.switch_when_write_impaired = false);
    let mut world = World::settled(options);
    world.mood(world.master(), Mood::Misconf);
    world.run_for(secs(30));
    assert_eq!(world.record().epoch.0, 1);
    assert!(!world.events(EventName::WriteImpaired).is_empty());
}
