//! A fixed set of seeds; any number more by `cargo sim --seeds N --from S`.

use vedette_sim::{Kind, Runner};

/// Runs seeds and panics with the command that replays the first violation.
fn hold(kind: Kind, from: u64, count: u64) {
    let (mut switches, mut runner) = (0, Runner::default());
    for seed in from..from + count {
        let outcome = runner.run(seed, kind, false);
        if let Some(violation) = outcome.violation {
            let long = if kind == Kind::Long { " --long" } else { "" };
            panic!("{violation}\nreplay: cargo sim --seeds 1 --from {seed}{long} --trace");
        }
        switches += outcome.switches;
    }
    // A schedule without a failover proves nothing: the faults must have brought some about.
    assert!(switches >= count / 2, "only {switches} switches in {count} schedules");
}

#[test]
fn invariants_hold_over_short_schedules() {
    hold(Kind::Short, 1, 2_000);
}

#[test]
fn invariants_hold_over_long_schedules() {
    hold(Kind::Long, 1, 150);
}
