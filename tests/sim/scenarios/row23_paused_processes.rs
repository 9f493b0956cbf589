//! "Sentinel goes into TILT all the time and does nothing for 30 s."

use vedette_model::EventName;
use vedette_sim::{Options, World, ms, secs};

#[test]
fn a_paused_prober_harms_nobody_and_votes_again_after_waking() {
    for seed in 1..=30 {
        let mut world = World::settled(Options::new(seed));
        let (master, paused) = (world.master(), world.prober(0));
        world.stop(paused);
        world.run_for(secs(5));
        world.resume(paused);
        world.run_for(secs(2));
        assert!(world.events(EventName::Sdown).is_empty(), "seed {seed}: it saw a node down");
        assert!(!world.events(EventName::SelfSuspectOver).is_empty(), "seed {seed}: it says so");
        // Two seconds after waking its vote counts: without it there is no quorum.
        world.kill(world.prober(1));
        world.kill(master);
        world.run_until("another master", secs(3), |w| w.master() != master);
    }
}

#[test]
fn a_really_dead_master_is_replaced_while_others_are_paused() {
    for seed in 1..=30 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        world.stop(world.prober(2));
        world.stop(world.voter(1));
        world.run_for(ms(700));
        world.kill(master);
        world.run_until("another master", secs(5), |w| w.master() != master);
        world.resume(world.prober(2));
        world.resume(world.voter(1));
        world.run_until_well(secs(10));
        assert_eq!(world.record().epoch.0, 2, "seed {seed}: one switch is enough");
    }
}

#[test]
fn clocks_that_drift_change_nothing() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed));
        world.drift(world.prober(0), 10_000);
        world.drift(world.voter(0), -10_000);
        world.run_for(secs(60));
        assert!(world.events(EventName::Sdown).is_empty(), "seed {seed}");
        let master = world.master();
        world.kill(master);
        world.run_until("another master", secs(3), |w| w.master() != master);
    }
}
