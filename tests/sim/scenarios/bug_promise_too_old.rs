//! A leader that was frozen between its election and its plan came back after seven seconds, found
//! nobody ahead of it, and failed over a master that had long been well again.

use vedette_model::EventName;
use vedette_sim::{Harm, Moment, Options, World, ms, secs};

/// The master hangs, the only orchestrator is elected and frozen, the master comes back.
fn frozen(seed: u64, before: bool) -> World {
    let mut world = World::settled(Options::new(seed).orchestrators(1));
    let (master, o1) = (world.master(), world.orchestrator(0));
    if before {
        world.strike_before(Moment::Surveyed, Harm::Stop);
    } else {
        world.strike_after(Moment::Claimed, Harm::Stop);
    }
    world.stop(master);
    world.run_until("it is elected, and frozen", secs(4), |w| w.struck() == Some(o1));
    world.resume(master);
    world.run_until("the verdict is withdrawn", secs(4), |w| {
        !w.events(EventName::OdownOver).is_empty()
    });
    world
}

#[test]
fn what_was_promised_long_ago_is_no_reason_to_fail_over() {
    for seed in 1..=30 {
        for before in [false, true] {
            let mut world = frozen(seed, before);
            let (master, o1) = (world.master(), world.orchestrator(0));
            world.run_for(ms(2_000 + seed * 150));
            world.resume(o1);
            world.run_for(secs(8));
            assert_eq!(world.master(), master, "seed {seed}");
            assert_eq!(world.record().failover, None, "seed {seed}");
            assert!(world.events(EventName::SelectedSlave).is_empty(), "seed {seed}");
            world.run_until_well(secs(10));
        }
    }
}
