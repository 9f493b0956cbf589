//! "I changed quorum on one Sentinel; the others kept the old value."

use vedette_model::{EventName, GroupRecord, Quorum, Setting, Verb};
use vedette_sim::{Options, World, secs};

const GROUP: Option<&str> = Some("mymaster");

fn restart_all(world: &mut World) {
    for process in world.all_processes() {
        world.kill(process);
    }
    for process in world.all_processes() {
        world.start(process);
    }
}

fn commands(world: &World) -> usize {
    world.all_nodes().into_iter().map(|node| world.commands_to(node).len()).sum()
}

/// The group with this node as its master.
fn monitor(world: &World, nth: usize) -> Verb {
    let (master, quorum) =
        (world.addr(world.node(nth)).clone(), Quorum::parse(2).expect("a quorum"));
    Verb::Monitor { master, quorum, changes: Vec::new() }
}

#[test]
fn a_changed_setting_is_in_force_for_all_at_once_and_after_everything_was_restarted() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed).settings(|s| {
            (s.crash_grace_ms, s.flap_limit) = (0, 0);
        }));
        let changes = vec![Setting::DownAfterMs(700)];
        world.instruct(GROUP, &Verb::Set { changes }, secs(5));
        for again in [false, true] {
            if again {
                restart_all(&mut world);
                world.run_for(secs(3));
            }
            let old = world.master();
            world.kill(old);
            // Everybody waits for 700 ms of silence, and nobody for the five seconds of before.
            world.run_until("another master", secs(3), |w| w.master() != old);
            world.start(old);
            world.run_until_well(secs(20));
        }
    }
}

#[test]
fn a_removed_group_is_brought_back_by_no_voter_that_slept_and_by_no_declaration() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let sleeper = world.voter(usize::try_from(seed).unwrap() % 3);
        world.stop(sleeper);
        world.instruct(GROUP, &Verb::Remove, secs(5));
        let removed: GroupRecord = world.record().clone();
        assert!(removed.removed, "seed {seed}");
        // All the others begin anew, with what is declared; then the sleeper is needed.
        for process in world.all_processes() {
            if process != sleeper {
                world.kill(process);
            }
        }
        world.resume(sleeper);
        for process in world.all_processes() {
            if process != sleeper {
                world.start(process);
            }
        }
        let other = world.voter((usize::try_from(seed).unwrap() + 1) % 3);
        world.kill(other);
        let before = commands(&world);
        let master = world.node(0);
        world.kill(master);
        world.run_for(secs(30));
        assert_eq!(*world.record(), removed, "seed {seed}");
        assert_eq!(commands(&world), before, "seed {seed}: nothing is done to its nodes");
        // Watched again, it is looked after again.
        world.start(other);
        world.start(master);
        let verb = monitor(&world, 0);
        world.instruct(GROUP, &verb, secs(5));
        let record = world.record();
        assert!(record.epoch > removed.epoch && record.revision > removed.revision);
        world.run_until_well(secs(40));
    }
}

#[test]
fn a_group_that_is_removed_and_watched_again_with_another_master_has_switched() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed));
        let (old, new) = (world.node(0), world.node(1));
        world.instruct(GROUP, &Verb::Remove, secs(5));
        world.outsider_replicaof(new, None);
        for node in [old, world.node(2)] {
            world.outsider_replicaof(node, Some(new));
        }
        world.write_here(new);
        world.run_for(secs(5));
        let verb = monitor(&world, 1);
        world.instruct(GROUP, &verb, secs(5));
        world.run_until_well(secs(40));
        let (from, to) = (world.addr(old), world.addr(new));
        let payload =
            format!("mymaster {} {} {} {}", from.host(), from.port(), to.host(), to.port());
        let told = world.events(EventName::SwitchMaster);
        assert!(told.iter().any(|t| t.event.payload == payload), "seed {seed}: {told:?}");
        assert_eq!(world.announced_master(0).unwrap().master, *to, "seed {seed}");
    }
}
