//! "Dead replicas stay in the list for ever; automation and clients pick them."

use vedette_model::EventName;
use vedette_sim::{Options, World, ms, secs};

fn living(world: &World) -> usize {
    world.record().members.iter().filter(|m| !m.gone).count()
}

#[test]
fn a_replica_that_is_gone_is_a_tombstone_after_a_minute_and_welcome_when_it_returns() {
    for seed in 1..=5 {
        let mut world = World::settled(Options::new(seed));
        let gone = world.node(2);
        world.kill(gone);
        world.run_until("a tombstone", secs(75), |w| living(w) == 2);
        world.run_for(ms(50));
        assert!(!world.events(EventName::SlaveGone).is_empty(), "seed {seed}: it is told");
        world.start(gone);
        world.run_until("it is back", secs(20), |w| living(w) == 3);
        world.run_until_well(secs(10));
    }
}

#[test]
fn nothing_is_buried_while_the_master_is_dead() {
    for seed in 1..=5 {
        let mut world = World::settled(Options::new(seed).settings(|s| s.flap_limit = 0));
        // Nobody can be promoted, and nobody is forgotten meanwhile.
        for node in world.all_nodes() {
            world.kill(node);
        }
        world.run_for(secs(300));
        assert_eq!(living(&world), 3, "seed {seed}");
        for node in world.all_nodes() {
            world.start(node);
        }
        world.run_until_well(secs(20));
        assert_eq!(living(&world), 3, "seed {seed}");
    }
}

#[test]
fn a_tombstone_is_forgotten_in_the_end() {
    let options = Options::new(1).settings(|s| s.prune_after_ms = 30_000);
    let mut world = World::settled(options);
    world.kill(world.node(2));
    world.run_until("it is forgotten", secs(120), |w| w.record().members.len() == 2);
}
