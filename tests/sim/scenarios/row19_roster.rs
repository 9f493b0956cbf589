//! "Not elected: dead Sentinels from last month still count." The roster is explicit, and changes
//! one voter at a time.

use vedette_model::{Fact, Instruction, Outcome, Verb, VoterId};
use vedette_sim::{Options, Site, World, ms, secs};

fn id(n: usize) -> VoterId {
    VoterId::parse(&format!("v{}", n + 1)).expect("a valid id")
}

fn add(world: &mut World, n: usize) {
    world.instruct(None, &Verb::AddVoter(id(n)), secs(20));
}

fn remove(world: &mut World, n: usize) {
    world.instruct(None, &Verb::RemoveVoter(id(n)), secs(20));
}

fn switch(world: &mut World) {
    let old = world.master();
    world.kill(old);
    world.run_until("another master", secs(6), |w| w.master() != old);
    world.start(old);
    world.run_until_well(secs(20));
}

#[test]
fn three_voters_become_seven_and_three_again_ten_times_while_some_are_killed() {
    for seed in 1..=2_u64 {
        let mut world = World::settled(Options::new(seed).spare_voters(4));
        for round in 0..10_u64 {
            for n in 3..7 {
                add(&mut world, n);
                let victim = usize::try_from((seed + round + n as u64) % (n as u64 + 1)).unwrap();
                let victim = world.voter(victim);
                world.kill(victim);
                world.run_for(ms((round * 137 + n as u64 * 41) % 700));
                world.start(victim);
                world.run_for(ms(200));
            }
            switch(&mut world);
            for n in 3..7 {
                remove(&mut world, n);
                let gone = world.voter(n);
                world.kill(gone);
                world.run_for(ms((round * 59 + n as u64 * 23) % 500));
                world.start(gone);
            }
        }
        for n in 3..7 {
            world.kill(world.voter(n));
        }
        switch(&mut world);
    }
}

#[test]
fn voters_that_left_are_not_needed_and_those_that_came_are() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed).spare_voters(2));
        for n in 0..2 {
            add(&mut world, 3 + n);
            remove(&mut world, n);
            let left = world.voter(n);
            world.kill(left);
        }
        // The roster is v3, v4, v5 now: one of them may be missing, two may not.
        world.kill(world.voter(2));
        switch(&mut world);
        world.kill(world.voter(3));
        let master = world.master();
        world.kill(master);
        world.run_for(secs(10));
        assert_eq!(world.master(), master, "seed {seed}: one voter of three decided");
        world.start(world.voter(2));
        world.run_until("another master", secs(6), |w| w.master() != master);
    }
}

/// Two of five voters and one orchestrator, and the others.
fn parted(world: &World) -> (Vec<Site>, Vec<Site>) {
    let few = vec![world.voter(0), world.voter(1), world.orchestrator(0)];
    let others = world.all_processes().into_iter().filter(|p| !few.contains(p)).collect();
    (few, others)
}

#[test]
fn a_minority_of_voters_cannot_change_the_roster() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed).voters(5));
        let (few, others) = parted(&world);
        world.part(&few, &others);
        world.run_for(secs(4));
        let o1 = few[2];
        let wish = Instruction { group: None, verb: Verb::RemoveVoter(id(0)) };
        for _ in 0..20 {
            world.say_to(&[o1], &Fact::Instruction(wish.clone()));
            world.run_for(secs(1));
        }
        let refused =
            matches!(world.outcome(), Some(Outcome::Refused { why }) if why.contains("start v3"));
        assert!(refused, "seed {seed}: {:?}", world.outcome());
        // The majority goes on without them, and changes the roster if somebody wants it.
        let master = world.master();
        world.kill(master);
        world.run_until("another master", secs(6), |w| w.master() != master);
        let o2 = others[others.len() - 1];
        world.say_to(&[o2], &Fact::Instruction(wish));
        world.run_for(secs(3));
        let done = |fact: &Fact| {
            let Fact::InstructionReply(reply) = fact else { return false };
            matches!(reply.outcome, Outcome::Done { .. })
        };
        let by: Vec<_> = world.answers().iter().filter(|(_, f)| done(f)).map(|a| a.0).collect();
        assert_eq!(by, [o2], "seed {seed}: {:?}", world.answers());
        world.heal();
        world.start(master);
        world.run_until_well(secs(20));
    }
}
