//! "Sentinel cannot start again; it rejects the file it wrote." A voter's file is damaged, set
//! aside, and the voter comes back without memory.

use vedette_sim::{Options, World, ms, secs};

#[test]
fn a_voter_that_lost_its_file_votes_again_and_no_record_is_lost() {
    for seed in 1..=30 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        let lost = world.voter(usize::try_from(seed % 3).unwrap());
        world.lose_disk(lost);
        world.run_for(ms(seed * 37 % 1_500));
        world.start(lost);
        world.run_for(secs(5));
        // Without another voter the one that came back is needed.
        let other = world.voter(usize::try_from((seed + 1) % 3).unwrap());
        world.kill(other);
        world.kill(master);
        world.run_until("another master", secs(5), |w| w.master() != master);
        world.start(other);
        world.run_until_well(secs(15));
    }
}

#[test]
fn a_voter_without_memory_does_not_vote_before_it_has_asked_enough_others() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed));
        let master = world.master();
        let (lost, away) = (world.voter(0), world.voter(1));
        world.lose_disk(lost);
        world.kill(away);
        world.start(lost);
        world.run_for(secs(5));
        world.kill(master);
        world.run_for(secs(5));
        assert_eq!(world.master(), master, "seed {seed}: one voter with memory is no majority");
        world.start(away);
        world.run_until("another master", secs(10), |w| w.master() != master);
    }
}

#[test]
fn services_killed_at_random_all_come_back() {
    for seed in 1..=10 {
        let mut world = World::settled(Options::new(seed));
        let all = world.all_processes();
        for n in 0..60_u64 {
            let site = all[usize::try_from((n * 7 + seed) % all.len() as u64).unwrap()];
            world.kill(site);
            world.run_for(ms((n * 53 + seed) % 400));
            world.start(site);
            world.run_for(ms((n * 31 + seed) % 300));
        }
        world.run_until_well(secs(20));
        assert_eq!(world.record().epoch.0, 1, "seed {seed}");
    }
}
