//! The whole pipeline under one seed.
//!
//! The real cores and the real encoder on virtual time: probers, voters and orchestrators, model
//! nodes, a bus that delays, drops, repeats, reorders, cuts and delivers late, disks that lose what
//! was not synced, clocks that drift, processes that die, stop and come back, also at a given step
//! of a failover. One seed decides everything; a failure prints the command that replays it. Not
//! simulated: NATS itself, the wall clock (no core knows one), the notifier.
//!
//! | where | what |
//! |---|---|
//! | `options`, `verbs`, `asks` | what a scenario builds, does and asks |
//! | `schedule` | what a seed does |
//! | `world`, `births`, `process`, `queue`, `clock`, `hook` | time, and the processes |
//! | `net`, `links`, `nodes`, `node` | the bus, the links to nodes, and the nodes |
//! | `invariants` | what must hold at every step |
//! | `story` | the column that `--trace` prints |

mod asks;
mod births;
pub mod clock;
pub mod hook;
pub mod invariants;
mod links;
pub mod model;
pub mod net;
pub mod node;
mod nodes;
pub mod options;
pub mod process;
mod queue;
pub mod rng;
pub mod schedule;
pub mod story;
pub mod verbs;
pub mod world;

pub use hook::{Harm, Moment};
pub use net::Site;
pub use node::Mood;
pub use options::{GroupOptions, Keeps, NodeOptions, Options};
pub use schedule::Kind;
pub use verbs::{ms, secs};
pub use world::World;

use rng::Rng;
use std::collections::BTreeMap;
use std::time::Duration;

/// When faults have ended all must be well within this.
pub const RECOVERY: Duration = secs(25);
/// Settled systems that schedules begin with.
const BEGINNINGS: u64 = 32;

/// What came of one seed.
#[derive(Debug)]
pub struct Outcome {
    /// What was violated, if anything.
    pub violation: Option<String>,
    /// How long after the last fault all was well.
    pub recovered_after: Duration,
    /// How often the master changed.
    pub switches: u64,
    /// What happened, if asked for.
    pub trace: Vec<String>,
}

/// Runs seeds. Each begins with one of a few settled systems, which are simulated from their
/// birth only once.
#[derive(Debug, Default)]
pub struct Runner {
    settled: BTreeMap<u64, World>,
}

impl Runner {
    /// Runs one seed.
    pub fn run(&mut self, seed: u64, kind: Kind, trace: bool) -> Outcome {
        let beginning = Rng::new(seed).next() % BEGINNINGS;
        let settled = self.settled.entry(beginning).or_insert_with(|| settle(beginning));
        let mut world = settled.clone();
        world.begin(seed, trace);
        let begun = world.now;
        let epoch = |w: &World| w.committed(0).map_or(0, |r| r.epoch.0);
        let before = epoch(&world);
        let kept = world.what_all_hold();
        world.plan_faults(seed, kind);
        let faults_end = begun + kind.span();
        world.advance(faults_end);
        while world.violation.is_none() {
            let well = world.well();
            // A moment of peace is not recovery: what still moves must have come to rest.
            let since = world.now.since(faults_end);
            match well {
                Ok(()) if since >= kind.rest() => {
                    world.violation = world.has_forgotten(&kept);
                    break;
                }
                Err(what) if since >= RECOVERY => {
                    world.violation = Some(format!("9, {since:?} after the last fault: {what}"));
                }
                Ok(()) | Err(_) => {}
            }
            world.advance(world.now + ms(100));
        }
        Outcome {
            recovered_after: world.now.since(faults_end),
            switches: epoch(&world) - before,
            trace: world.story_lines().to_vec(),
            violation: world.violation,
        }
    }
}

/// A system like any other, with some properties of its own.
fn settle(number: u64) -> World {
    let mut rng = Rng::new(number);
    let mut options = Options::new(number);
    options.story = false;
    options.drift_ppm = 500;
    options.spare_voters = usize::from(rng.permille(250));
    let group = &mut options.groups[0];
    let append_only = rng.permille(300);
    for node in &mut group.nodes {
        if append_only {
            node.keeps = Keeps::DataOnly;
            node.saves_for = ms(rng.range(0, 3_000));
        } else if rng.permille(300) {
            node.keeps = Keeps::Nothing;
        }
        node.lag = ms(rng.range(0, 40));
        node.read_only_config = rng.permille(100);
    }
    let forgetful = group.nodes.iter().any(|n| n.keeps != Keeps::All);
    group.settings.trust_recorded_address = forgetful || rng.permille(200);
    group.settings.down_after_ms = rng.range(5, 12) * 100;
    World::settled(options)
}
