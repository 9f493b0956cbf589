//! "Sentinel reverts my manual change; I cannot pause it."

use vedette_model::{EventName, Verb};
use vedette_sim::{Options, World, secs};

fn pause(world: &mut World) {
    let reason = "moving racks".to_string();
    world.instruct(Some("mymaster"), &Verb::Pause { reason, for_ms: None }, secs(5));
    world.run_until("it is recorded", secs(1), |w| w.record().pause.is_some());
}

fn commands(world: &World) -> usize {
    world.all_nodes().into_iter().map(|node| world.commands_to(node).len()).sum()
}

#[test]
fn while_it_is_paused_a_dead_master_and_roles_flipped_by_hand_are_left_alone() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        pause(&mut world);
        let before = commands(&world);
        let (master, other) = (world.master(), world.replicas()[0]);
        world.kill(master);
        world.outsider_replicaof(other, None);
        world.run_for(secs(30));
        world.start(master);
        world.run_for(secs(30));
        assert_eq!(commands(&world), before, "seed {seed}: a command to a paused group");
        assert_eq!(world.master(), master, "seed {seed}");
        assert!(!world.events(EventName::Odown).is_empty(), "seed {seed}: it is observed");
        world.instruct(Some("mymaster"), &Verb::Resume, secs(5));
        world.run_until_well(secs(20));
    }
}

#[test]
fn a_pause_outlives_the_restart_of_everything() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed));
        pause(&mut world);
        for process in world.all_processes() {
            world.kill(process);
        }
        for process in world.all_processes() {
            world.start(process);
        }
        let master = world.master();
        world.kill(master);
        let before = commands(&world);
        world.run_for(secs(20));
        assert_eq!((world.master(), commands(&world)), (master, before), "seed {seed}");
        world.instruct(Some("mymaster"), &Verb::Resume, secs(5));
        world.run_until("another master", secs(6), |w| w.master() != master);
    }
}

#[test]
fn a_switch_by_hand_of_a_paused_group_is_kept_after_the_pause() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let (old, new) = (world.master(), world.replicas()[0]);
        pause(&mut world);
        world.outsider_replicaof(new, None);
        for node in world.all_nodes() {
            if node != new {
                world.outsider_replicaof(node, Some(new));
            }
        }
        world.write_here(new);
        world.run_for(secs(20));
        world.instruct(Some("mymaster"), &Verb::Resume, secs(5));
        world.run_until("the record follows", secs(60), |w| w.master() != old);
        world.run_until_well(secs(20));
        assert_eq!(world.master(), new, "seed {seed}");
        assert_eq!(world.lost(0), 0, "seed {seed}");
    }
}

/// A pause is never shorter than asked for, by the slowest clock, and each owner that dies makes it
/// longer by a minute at most.
#[test]
fn a_pause_ends_by_itself_and_not_before_its_time_whoever_dies_and_however_clocks_run() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed));
        for (nth, ppm) in [(0, 200), (1, -200)] {
            world.drift(world.orchestrator(nth), ppm);
        }
        let verb = Verb::Pause { reason: "moving racks".to_string(), for_ms: Some(90_000) };
        world.instruct(Some("mymaster"), &verb, secs(5));
        let master = world.master();
        world.kill(master);
        world.run_for(secs(30));
        let dead = world.orchestrator(usize::try_from(seed).unwrap() % 2);
        world.kill(dead);
        world.run_for(secs(59));
        assert!(world.record().pause.is_some(), "seed {seed}: it ended before its time");
        let late = world.run_until("the pause is over", secs(62), |w| w.record().pause.is_none());
        assert!(late <= secs(62), "seed {seed}: {late:?}");
        world.run_until("another master", secs(6), |w| w.master() != master);
    }
}
