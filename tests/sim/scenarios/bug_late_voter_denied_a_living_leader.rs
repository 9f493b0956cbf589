//! A voter that had missed a candidacy and its proposals for more than two seconds, and then learned
//! the record by its commit, took the leader for one that had long been silent: it denied the next
//! beat, and with another voter dead the leader lost its lease in the middle of the failover.

use core::time::Duration;
use vedette_model::EventName;
use vedette_sim::{Options, World, ms, secs};

/// Shorter than any message's way.
const GLIMPSE: Duration = Duration::from_micros(20);

#[test]
fn a_leader_that_is_learned_of_by_its_commit_goes_on() {
    for seed in 1..=60 {
        let mut world = World::settled(Options::new(seed).orchestrators(2));
        let old = world.master();
        let (late, other) = (world.voter(2), world.voter(1));
        world.isolate(late);
        world.run_for(secs(4));
        world.kill(old);
        for _ in 0..400_000 {
            if world.record().master != *world.addr(old) {
                break;
            }
            world.run_for(GLIMPSE);
        }
        // A majority accepted the new master, and nobody was told yet.
        world.heal();
        world.run_for(ms(2));
        world.kill(other);
        world.run_until("the failover ends", secs(4), |w| w.record().failover.is_none());
        let elected = world.events(EventName::ElectedLeader).len();
        assert_eq!(elected, 1, "seed {seed}: another leader was needed");
        world.start(other);
        world.start(old);
        world.run_until_well(secs(20));
    }
}
