//! "Two unrelated Redis installs grabbed each other's replicas."

use vedette_model::EventName;
use vedette_sim::{GroupOptions, Options, World, secs};

/// Groups A and B; a member of B is started at the address of a killed replica of A.
fn member_of_b_at_an_address_of_a(seed: u64) -> (World, vedette_sim::Site) {
    let options = Options::new(seed).group(GroupOptions::new("other"));
    let mut world = World::settled(options);
    let (of_a, of_b) = (world.node_of(0, 2), world.node_of(1, 0));
    let stranger = world.replace(of_a, Some(of_b));
    (world, stranger)
}

#[test]
fn a_member_of_another_group_is_told_of_and_never_touched() {
    for seed in 1..=10 {
        let (mut world, stranger) = member_of_b_at_an_address_of_a(seed);
        let before = world.data(stranger);
        world.run_until("an identity conflict", secs(2), |w| {
            !w.events(EventName::IdentityConflict).is_empty()
        });
        world.run_for(secs(120));
        assert!(world.commands_to(stranger).is_empty(), "seed {seed}");
        assert_eq!(world.lacks(stranger, &before), 0, "seed {seed}: it lost data");
    }
}

#[test]
fn a_stranger_of_unknown_origin_is_not_touched_in_a_failover_either() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed));
        let (master, replica) = (world.master(), world.node(1));
        let stranger = world.replace(world.node(2), None);
        world.run_until("an identity conflict", secs(2), |w| {
            !w.events(EventName::IdentityConflict).is_empty()
        });
        world.kill(master);
        world.run_until("the replica is master", secs(3), |w| w.master() == replica);
        world.run_for(secs(30));
        assert!(world.commands_to(stranger).is_empty(), "seed {seed}");
        assert!(world.look(stranger).is_master(), "seed {seed}");
    }
}
