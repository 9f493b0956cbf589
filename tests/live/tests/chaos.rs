//! Some seconds of chaos; `cargo chaos` goes on for longer.

use anyhow::Result;
use std::time::Duration;
use vedette_live::chaos::{Keep, Options, run};
use vedette_live::tell;

#[test]
fn faults_at_random_break_no_invariant_and_all_is_well_afterwards() -> Result<()> {
    let options = Options {
        seed: 11,
        span: Duration::from_secs(24),
        round: Duration::from_secs(8),
        keep: Some(Keep::All),
        timeline: None,
    };
    tell(&format!("{:?}", run(&options)?));
    Ok(())
}
