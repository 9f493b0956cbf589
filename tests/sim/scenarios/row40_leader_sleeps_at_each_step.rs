//! "Two Sentinels led failovers in neighbouring epochs and promoted twice."

use vedette_model::EventName;
use vedette_sim::{Harm, Moment, Options, World, secs};

#[test]
fn a_leader_that_slept_through_a_failover_touches_nothing_when_it_wakes() {
    for (number, moment) in (0..).zip(Moment::ALL) {
        for seed in 0..30 {
            let mut world = World::settled(Options::new(seed * 100 + number));
            let master = world.master();
            world.noise(0, 50, 50);
            if seed % 2 == 0 {
                world.strike_before(*moment, Harm::Stop);
            } else {
                world.strike_after(*moment, Harm::Stop);
            }
            world.kill(master);
            world.run_until("the leader sleeps", secs(10), |w| w.struck().is_some());
            let sleeper = world.struck().expect("it was struck");
            world.run_until("another finished", secs(20), |w| {
                w.master() != master && w.record().failover.is_none()
            });
            let (epoch, new) = (world.record().epoch, world.master());
            world.resume(sleeper);
            world.run_for(secs(5));
            assert_eq!(world.masters(0), [new], "{moment:?} seed {seed}");
            assert_eq!(world.record().epoch, epoch, "{moment:?} seed {seed}");
            let blamed = world.events(EventName::AbortSlaveTimeout);
            assert!(
                blamed.is_empty(),
                "{moment:?} seed {seed}: no replica is to blame: {blamed:?}"
            );
            world.noise(0, 0, 0);
            world.run_until_well(secs(10));
        }
    }
}
