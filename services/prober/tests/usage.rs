//! The binary, before it connects to anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::process::{Command, Output};

fn prober(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vedette-prober")).args(arguments).env_clear().output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn without_an_id_it_does_not_start_and_says_how_to_give_one() {
    let output = prober(&[]);
    assert_eq!(output.status.code(), Some(64));
    let words = text(&output.stderr);
    assert!(words.contains("--id") && words.contains("VEDETTE_ID"), "{words}");
}

#[test]
fn an_unknown_flag_is_bad_usage() {
    assert_eq!(prober(&["--id", "p1", "--no-such-flag"]).status.code(), Some(64));
}

#[test]
fn it_prints_its_configuration() {
    let output = prober(&["--id", "p1", "--place", "north", "--print-config"]);
    assert_eq!(output.status.code(), Some(0));
    let words = text(&output.stdout);
    assert!(words.contains("id = \"p1\"") && words.contains("place = \"north\""), "{words}");
}
