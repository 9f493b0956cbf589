//! A fixed set of seeds; any number more by `cargo sim -- --seeds N --from S`.

/// Runs seeds and panics with the command that replays the first violation.
fn hold(from: u64, count: u64) {
    let mut switches = 0;
    for seed in from..from + count {
        let outcome = vedette_sim::run(seed, false);
        if let Some(violation) = outcome.violation {
            panic!("{violation}\nreplay: cargo sim -- --seeds 1 --from {seed} --trace");
        }
        switches += outcome.epoch - 1;
    }
    // A schedule without a failover proves nothing: the faults must have brought some about.
    assert!(switches >= count / 2, "only {switches} switches in {count} schedules");
}

#[test]
fn invariants_hold_over_the_first_seeds() {
    hold(1, 250);
}

#[test]
fn invariants_hold_over_more_seeds() {
    hold(1_000_000, 250);
}
