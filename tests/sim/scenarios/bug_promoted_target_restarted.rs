//! A leader promoted the target of a switchover and fell silent; the target was restarted with an
//! empty disk, as the master that its file says it is. Whoever took over took that for a promotion
//! that had worked, and everything was gone.

use vedette_model::Verb;
use vedette_sim::{Harm, Moment, Options, World, ms, secs};

#[test]
fn the_old_master_gets_the_role_back() {
    for seed in 1..=40 {
        let mut world = World::settled(Options::new(seed));
        let old = world.master();
        world.strike_after(Moment::Promoting, Harm::Kill);
        let verb = Verb::Switchover { epoch: world.record().epoch, to: None, dry_run: false };
        world.request(&verb);
        world.run_until("the leader falls silent", secs(5), |w| w.struck().is_some());
        let plan = world.record().failover.clone().expect("a plan is committed");
        let nodes = world.all_nodes();
        let target = *nodes.iter().find(|n| *world.addr(**n) == plan.target).expect("a node");
        world.run_until("it is promoted", secs(1), |w| w.look(target).is_master());
        world.kill(target);
        world.run_for(ms(20));
        world.start_empty(target);
        world.run_until(&format!("seed {seed}: it is over"), secs(10), |w| {
            w.record().failover.is_none()
        });
        assert_eq!(world.master(), old, "seed {seed}");
        world.run_until_well(secs(10));
        assert_eq!(world.lost(0), 0, "seed {seed}: acknowledged bytes are gone");
    }
}
