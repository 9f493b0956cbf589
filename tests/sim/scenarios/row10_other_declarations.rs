//! "Each Sentinel was started with a different master and they never noticed."

use vedette_sim::{Options, World, secs};

#[test]
fn whoever_starts_later_goes_by_the_record_and_not_by_the_declaration() {
    for seed in 1..=20 {
        let mut world = World::settled(Options::new(seed));
        let declared = world.master();
        world.kill(declared);
        world.run_until("another master", secs(3), |w| w.master() != declared);
        world.run_until_well(secs(10));
        world.start(declared);
        world.run_until_well(secs(10));
        let (master, epoch) = (world.master(), world.record().epoch);
        // All of ours forget everything but what voters have on disk, and read the old declaration.
        for process in world.all_processes() {
            world.kill(process);
        }
        for process in world.all_processes() {
            world.start(process);
        }
        world.run_for(secs(10));
        assert_eq!((world.master(), world.record().epoch), (master, epoch), "seed {seed}");
        world.run_until_well(secs(5));
    }
}
