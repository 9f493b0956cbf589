//! "Sentinel retried for 23 hours and always said no good slave, while two healthy replicas were
//! sitting there."

use vedette_model::{EventName, Settings};
use vedette_sim::{Options, World, ms, secs};

#[test]
fn services_that_come_minutes_late_promote_within_fifteen_seconds() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed).settings(|s| s.patience_ms = 10_000));
        let master = world.master();
        for process in world.all_processes() {
            world.kill(process);
        }
        world.kill(master);
        world.run_for(secs(180));
        for process in world.all_processes() {
            world.start(process);
        }
        world.run_until("another master", secs(15), |w| w.master() != master);
        world.run_until_well(secs(10));
    }
}

#[test]
fn replicas_cut_off_long_before_are_taken_when_patience_is_over() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        for replica in world.replicas() {
            world.unlink(replica);
        }
        world.run_for(secs(30));
        world.kill(master);
        world.run_for(ms(1_000));
        assert_eq!(world.master(), master, "seed {seed}: strict at first");
        assert!(!world.events(EventName::AbortNoGoodSlave).is_empty(), "seed {seed}: it says why");
        world.run_until("the best of what is left", secs(4), |w| w.master() != master);
        assert!(world.record().switch.loss.bytes > Some(0), "seed {seed}: the loss is stated");
    }
}

#[test]
fn that_nobody_can_be_promoted_is_told_once_a_minute_while_only_times_change() {
    for seed in 1..=5 {
        let settings = |s: &mut Settings| s.patience_ms = 600_000;
        let mut world = World::settled(Options::new(seed).settings(settings));
        for replica in world.replicas() {
            world.unlink(replica);
        }
        world.run_for(secs(30));
        let master = world.master();
        world.kill(master);
        world.run_for(secs(100));
        for id in ["o1", "o2"] {
            let told = world.events(EventName::AbortNoGoodSlave);
            let count = told.iter().filter(|told| told.by == id).count();
            assert!((1..=3).contains(&count), "seed {seed}: {id} told it {count} times");
        }
    }
}
