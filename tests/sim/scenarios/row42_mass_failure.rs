//! Hundreds of groups fail at once: nothing waits for anything.

use vedette_sim::{Options, World, secs};

#[test]
fn three_hundred_masters_that_die_at_once_are_all_replaced_within_three_seconds() {
    const GROUPS: usize = 300;
    let options = Options::new(1).groups(GROUPS).settings(|s| s.flap_limit = 0);
    let mut world = World::settled(options);
    let masters: Vec<_> = (0..GROUPS).map(|group| world.master_of(group)).collect();
    for master in &masters {
        world.kill(*master);
    }
    let all = |w: &World| (0..GROUPS).all(|group| w.master_of(group) != masters[group]);
    world.run_until("all are replaced", secs(3), all);
    world.run_until_well(secs(20));
}
