//! What is waited for is said, where that is wanted.

use anyhow::{Result, ensure};
use std::process::Command;
use vedette_harness::ports;

#[test]
fn what_is_waited_for_is_said_on_standard_error_if_that_is_wanted() -> Result<()> {
    // Nobody listens there.
    let nats = format!("nats://127.0.0.1:{}", ports::free()?);
    let said = |flags: &[&str]| -> Result<String> {
        let words = ["master", "orders", "--nats", &nats, "--json"];
        let mut command = Command::new(env!("CARGO_BIN_EXE_vedette"));
        let output = command.args(words).args(flags).output()?;
        ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
        Ok(String::from_utf8(output.stderr)?)
    };
    let with = said(&["--progress"])?;
    ensure!(with.contains(&format!("waiting for nats at {nats}: 1 s\n")), "{with}");
    let without = said(&[])?;
    ensure!(
        !without.contains("waiting") && without.contains("no nats server answers"),
        "{without}"
    );
    Ok(())
}
