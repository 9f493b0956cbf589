//! "After a power cut there is no master, or all three claim to be master."

use vedette_sim::{Keeps, Options, World, ms, secs};

/// Kills everything at once and starts it again in an order drawn from the seed; not what is
/// `missing`.
fn cut_power(world: &mut World, seed: u64, missing: Option<vedette_sim::Site>) {
    let mut sites = [world.all_processes(), world.all_nodes()].concat();
    for site in &sites {
        world.kill(*site);
    }
    world.run_for(ms(500));
    // A shuffle that needs no more chance than the seed.
    let count = sites.len() as u64;
    for n in 0..count {
        let with = (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> n) % count;
        sites.swap(usize::try_from(n).expect("small"), usize::try_from(with).expect("small"));
    }
    for site in sites.into_iter().filter(|site| Some(*site) != missing) {
        world.start(site);
        world.run_for(ms(seed % 7 * 40));
    }
}

#[test]
fn the_recorded_master_is_master_again() {
    for seed in 1..=50 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        cut_power(&mut world, seed, None);
        world.run_until_well(secs(30));
        assert_eq!(world.masters(0), [world.master()], "seed {seed}");
        assert!(world.master() == master || world.record().epoch.0 > 1, "seed {seed}");
    }
}

#[test]
fn a_rightful_successor_without_the_former_masters_machine() {
    for seed in 1..=50 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        cut_power(&mut world, seed, Some(master));
        world.run_until_well(secs(30));
        assert_ne!(world.master(), master, "seed {seed}");
    }
}

#[test]
fn what_any_returned_node_held_is_kept() {
    for seed in 1..=30 {
        let keeps = |n: &mut vedette_sim::NodeOptions| n.keeps = Keeps::All;
        let mut world = World::settled(Options::new(seed).node(0, keeps).node(1, keeps));
        let master = world.master();
        world.run_for(secs(3));
        let before = world.data(master);
        cut_power(&mut world, seed, None);
        world.run_until_well(secs(30));
        let now = world.master();
        // Nodes save every second: what came after the last save died with the power.
        assert!(world.lacks(now, &before) <= 12 * 2_000, "seed {seed}: more than was unsaved");
    }
}
#[test]
fn nobodys_own_claim_counts_when_all_nodes_start_as_masters() {
    for seed in 1..=30 {
        let read_only = |n: &mut vedette_sim::NodeOptions| n.read_only_config = true;
        let options = Options::new(seed).node(0, read_only).node(1, read_only).node(2, read_only);
        let mut world = World::settled(options);
        let first = world.master();
        world.kill(first);
        world.run_until("another master", secs(3), |w| w.master() != first);
        world.start(first);
        world.run_until_well(secs(10));
        // Each node now comes back in the role it was born with, the first one as a master.
        cut_power(&mut world, seed, None);
        world.run_until_well(secs(30));
        assert_eq!(world.masters(0).len(), 1, "seed {seed}");
    }
}
