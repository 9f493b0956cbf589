//! After a restart of everything the probers had spoken of the master before an orchestrator
//! lived, and spoke of it again ten seconds later. When the master died in between, its replicas
//! had a history that the record did not know, and nobody could be promoted.

use vedette_sim::{Options, World, ms, secs};

#[test]
fn an_orchestrator_that_comes_last_learns_the_masters_history_at_once() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let orchestrators = [world.orchestrator(0), world.orchestrator(1)];
        for orchestrator in orchestrators {
            world.kill(orchestrator);
        }
        let master = world.master();
        world.kill(master);
        world.run_for(ms(20));
        world.start(master);
        world.run_for(secs(4));
        for orchestrator in orchestrators {
            world.start(orchestrator);
        }
        world.run_for(secs(3));
        let master = world.master();
        world.kill(master);
        world.run_until("another master", secs(8), |w| w.master() != master);
    }
}
