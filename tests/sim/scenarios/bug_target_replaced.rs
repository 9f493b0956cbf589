//! The leader stood still between looking at its candidates and promoting one. Meanwhile that one
//! was restarted with an empty disk, and was promoted all the same: its address was known, and its
//! process another.

use vedette_model::Verb;
use vedette_sim::{Harm, Moment, Options, Site, World, ms, secs};

/// The leader stops right before the moment, the target comes back empty, and the leader goes on
/// while its ballot is still good.
fn replace_target(world: &mut World, moment: Moment) -> Site {
    world.strike_before(moment, Harm::Stop);
    world.run_until("the leader stands still", secs(5), |w| w.struck().is_some());
    let plan = world.record().failover.clone().expect("a plan is committed");
    let nodes = world.all_nodes();
    let target = *nodes.iter().find(|n| *world.addr(**n) == plan.target).expect("a node");
    world.kill(target);
    world.run_for(ms(20));
    world.start_empty(target);
    world.run_for(ms(100));
    let leader = world.struck().expect("it was");
    world.resume(leader);
    target
}

#[test]
fn it_is_not_promoted_in_a_failover() {
    for seed in 1..=40 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        world.kill(old);
        let target = replace_target(&mut world, Moment::Selected);
        world
            .run_until(&format!("seed {seed}: another is master"), secs(10), |w| w.master() != old);
        assert_ne!(world.master(), target, "seed {seed}: it holds nothing");
        world.start(old);
        world.run_until_well(secs(10));
    }
}

#[test]
fn nor_when_a_master_hands_over() {
    for seed in 1..=40 {
        let mut world = World::settled(Options::new(seed));
        let verb = Verb::Switchover { epoch: world.record().epoch, to: None, dry_run: false };
        world.request(&verb);
        let target = replace_target(&mut world, Moment::Frozen);
        world.run_until(&format!("seed {seed}: it is over"), secs(10), |w| {
            w.record().failover.is_none()
        });
        assert_ne!(world.master(), target, "seed {seed}: it holds nothing");
        world.run_until_well(secs(10));
        assert_eq!(world.lost(0), 0, "seed {seed}: acknowledged bytes are gone");
    }
}
