//! "The master changed but no `+switch-master` came."

use vedette_model::EventName;
use vedette_sim::{Options, World, secs};

#[test]
fn every_change_of_master_is_one_event_of_the_same_id_and_one_announcement() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        for round in 1..=3_u64 {
            let old = world.master();
            let from = world.addr(old).clone();
            world.kill(old);
            world.run_until("another master", secs(5), |w| w.master() != old);
            world.run_until_well(secs(10));
            let to = world.record().master.clone();
            let id = format!("mymaster:{}:+switch-master", round + 1);
            let told = world.events(EventName::SwitchMaster);
            let this: Vec<_> = told.iter().filter(|t| t.event.id == id).collect();
            assert!(!this.is_empty(), "seed {seed}: change {round} was not told");
            let payload =
                format!("mymaster {} {} {} {}", from.host(), from.port(), to.host(), to.port());
            assert!(this.iter().all(|t| t.event.payload == payload), "seed {seed}: {this:?}");
            assert_eq!(world.announced_master(0).unwrap().master, to, "seed {seed}");
            world.start(old);
            world.run_until_well(secs(10));
            world.run_for(secs(2));
        }
    }
}
