//! The whole pipeline under one seed.
//!
//! The real cores and the real encoder on virtual time: probers, voters and orchestrators, model
//! nodes, a bus that delays, drops, repeats, reorders, cuts and delivers late, disks that lose what
//! was not synced, processes that die, stop and come back. One seed decides everything; a failure
//! prints the command that replays it. Not simulated: clock drift, NATS itself, the wall clock.

pub mod invariants;
pub mod net;
pub mod node;
pub mod process;
pub mod rng;
pub mod schedule;
pub mod world;

use schedule::FAULTS_TO;
use std::time::Duration;
use vedette_model::Instant;
use world::World;

/// When faults have ended all must be well within this.
pub const RECOVERY: Duration = Duration::from_secs(25);
/// Before faults begin the system must have found its nodes.
const SETTLED: Instant = Instant::from_millis(3_900);

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// What was violated, if anything.
    pub violation: Option<String>,
    /// How long after the last fault all was well.
    pub recovered_after: Duration,
    /// The epoch it ended in: one more than the number of switches.
    pub epoch: u64,
    /// What happened, if asked for.
    pub trace: Vec<String>,
}

/// Runs one seed.
pub fn run(seed: u64, trace: bool) -> Outcome {
    let mut world = World::new(seed, trace);
    world.run_until(SETTLED);
    if world.violation.is_none()
        && let Err(what) = settled(&world)
    {
        world.violation = Some(format!("before any fault: {what}"));
    }
    world.plan_faults();
    world.run_until(FAULTS_TO);
    while world.violation.is_none() {
        let well = world.well();
        // A moment of peace is not recovery: what still moves must have come to rest.
        let since = world.now.since(FAULTS_TO);
        match well {
            Ok(()) if since >= Duration::from_secs(8) => break,
            Err(what) if since >= RECOVERY => {
                world.violation = Some(format!("{since:?} after the last fault: {what}"));
            }
            Ok(()) | Err(_) => {}
        }
        let next = world.now + Duration::from_millis(100);
        world.run_until(next);
    }
    Outcome {
        recovered_after: world.now.since(FAULTS_TO),
        epoch: world.newest().map_or(0, |r| r.epoch.0),
        violation: world.violation,
        trace: world.trace.unwrap_or_default(),
    }
}

fn settled(world: &World) -> Result<(), String> {
    world.well()?;
    let members = world.newest().map_or(0, |r| r.members.len());
    if members == world::NODES { Ok(()) } else { Err(format!("{members} members are known")) }
}
