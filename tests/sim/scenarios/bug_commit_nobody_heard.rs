//! Every copy of "committed" was lost: the owner knew the record and found nothing to do, and
//! everybody else stayed a revision behind for ever.

use core::time::Duration;
use vedette_model::{GroupName, Instruction, Verb};
use vedette_sim::{Options, World, secs};

/// Shorter than any message's way.
const GLIMPSE: Duration = Duration::from_micros(20);

#[test]
fn what_nobody_heard_of_is_committed_again() {
    for seed in 1..=30 {
        let mut world = World::settled(Options::new(seed).orchestrators(1));
        let o1 = world.orchestrator(0);
        let group = Some(GroupName::parse("mymaster").expect("a valid name"));
        let verb = Verb::Pause { reason: "moving racks".into(), for_ms: None };
        world.say_to(&[o1], &Instruction { group, verb }.into());
        for _ in 0..100_000 {
            if world.record().pause.is_some() {
                break;
            }
            world.run_for(GLIMPSE);
        }
        assert!(world.record().pause.is_some(), "seed {seed}: a majority accepted it");
        for site in world.all_processes().into_iter().filter(|site| *site != o1) {
            world.cut_one_way(o1, site);
        }
        world.run_for(secs(3));
        world.heal();
        world.run_until_well(secs(20));
    }
}
