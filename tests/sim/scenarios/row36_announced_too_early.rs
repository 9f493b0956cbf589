//! "The new address was announced before the node could take writes."

use vedette_sim::{Options, World, ms, secs};

#[test]
fn whoever_is_announced_is_a_master_at_that_moment_and_nobody_else_is() {
    for seed in 1..=200 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        world.kill(old);
        let other = |w: &World| {
            let announced = w.announced_master(0).map(|m| m.master.clone());
            announced.is_some_and(|addr| addr != *w.addr(old))
        };
        world.run_until("another is announced", secs(3), other);
        let announced = world.announced_master(0).unwrap().master.clone();
        let masters = world.masters(0);
        assert_eq!(masters.len(), 1, "seed {seed}");
        assert_eq!(*world.addr(masters[0]), announced, "seed {seed}");
        world.run_for(ms(100));
    }
}
