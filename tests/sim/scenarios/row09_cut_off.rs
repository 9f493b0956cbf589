//! "One of three Sentinels had lost the others for hours, and still handed out the dead master."

use vedette_model::{Fact, GroupName, MasterQuery, NodeAddr};
use vedette_sim::{Options, Site, World, secs};

/// What these processes answer within a second to the question who is master.
fn answers(world: &mut World, asked: &[Site]) -> Vec<NodeAddr> {
    let before = world.answers().len();
    let query = MasterQuery { group: GroupName::parse("mymaster").expect("a valid name") };
    world.say_to(asked, &Fact::MasterQuery(query));
    world.run_for(secs(1));
    let master = |fact: &Fact| {
        if let Fact::MasterRecord(record) = fact { Some(record.master.clone()) } else { None }
    };
    world.answers()[before..].iter().filter_map(|(_, fact)| master(fact)).collect()
}

#[test]
fn who_is_cut_off_together_with_the_old_master_answers_nobody() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed).orchestrators(3));
        let old = world.master();
        let first = world.addr(old).clone();
        let all = [0, 1, 2].map(|n| world.orchestrator(n));
        assert_eq!(answers(&mut world, &all), vec![first; 3], "seed {seed}");
        let few = [old, world.prober(0), world.voter(0), all[0]];
        let others = [world.all_processes(), world.all_nodes()].concat();
        let others: Vec<_> = others.into_iter().filter(|site| !few.contains(site)).collect();
        world.part(&few, &others);
        world.run_until("another master", secs(5), |w| w.master() != old);
        // A voter's answer counts for 7 s.
        world.run_for(secs(8));
        assert_eq!(answers(&mut world, &all[..1]), [], "seed {seed}: a view of the past");
        let new = world.addr(world.master()).clone();
        assert_eq!(answers(&mut world, &all[1..]), vec![new.clone(); 2], "seed {seed}");
        world.heal();
        world.run_until_well(secs(20));
        assert_eq!(answers(&mut world, &all), vec![new; 3], "seed {seed}");
    }
}
