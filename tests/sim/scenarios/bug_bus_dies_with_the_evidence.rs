//! The server of the bus that the leader, a voter and two probers used died just when the master was called
//! down: reports and verdicts were lost, and a second passed until they were repeated.

use core::time::Duration;
use vedette_sim::{Options, World, secs};

/// To notice it and to connect to another server.
const AWAY: Duration = Duration::from_millis(10);
/// From the death of the master: the crash is believed after 100 ms, the server dies 30 ms after that at the
/// latest, and a question whose answer was lost is asked again after 100 ms.
const LIMIT: Duration = Duration::from_millis(100 + 30 + 10 + 100 + 30);

#[test]
fn what_was_lost_is_said_again_by_whoever_comes_back() {
    for delay in 0..40 {
        for seed in 1..=6 {
            let mut world = World::settled(Options::new(seed * 100 + delay));
            let leader = world.orchestrator((seed % 2) as usize);
            let sites = [world.prober(0), world.prober(1), world.voter(0), leader];
            let master = world.master();
            world.kill(master);
            let before = Duration::from_millis(90 + delay);
            world.run_for(before);
            world.lose_bus(&sites, AWAY);
            let left = LIMIT.saturating_sub(before + AWAY);
            world.run_until("another master is announced", left, |w| {
                let announced = w.announced_master(0).map(|m| m.master.clone());
                announced.is_some_and(|addr| addr != *w.addr(master))
            });
            world.run_until_well(secs(10));
        }
    }
}
