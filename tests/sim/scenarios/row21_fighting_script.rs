//! "Our operator and Sentinel fight: it gave the old master its role back."

use vedette_model::EventName;
use vedette_sim::{Options, World, ms, secs};

#[test]
fn a_script_that_flips_roles_meets_one_correction_per_node_and_five_seconds() {
    for seed in 1..=5 {
        let mut world = World::settled(Options::new(seed).settings(|s| s.flap_limit = 0));
        let legal = world.master();
        for flip in 0..120_u64 {
            let replicas = world.replicas();
            let node = replicas[usize::try_from((flip + seed) % 2).unwrap()];
            world.outsider_replicaof(node, None);
            world.run_for(ms(500));
        }
        for replica in world.replicas() {
            let sent: Vec<_> = world.commands_to(replica).iter().map(|s| s.at).collect();
            let close = sent.windows(2).filter(|two| two[1].since(two[0]) < ms(4_900)).count();
            assert_eq!(close, 0, "seed {seed}: corrections came faster than one in 5 s: {sent:?}");
        }
        assert!(!world.events(EventName::ExternalChange).is_empty(), "seed {seed}: it is said");
        world.run_until_well(secs(10));
        assert_eq!(world.master(), legal, "seed {seed}: the legal master stays");
        assert_eq!(world.lost(0), 0, "seed {seed}: its keys are intact");
    }
}

#[test]
fn a_master_made_a_replica_by_hand_is_succeeded() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let (master, replica) = (world.master(), world.node(1));
        world.outsider_replicaof(master, Some(replica));
        world.run_until("somebody is master", secs(30), |w| w.masters(0).len() == 1);
        world.run_until_well(secs(30));
    }
}
