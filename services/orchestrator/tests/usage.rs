//! The binary, before it connects to anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::process::{Command, Output};

fn orchestrator(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vedette-orchestrator"))
        .args(["--id", "o1"])
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn a_groups_file_that_clashes_is_bad_configuration_and_names_both_values() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("groups.toml");
    let group = |host| format!("[[group]]\nname = \"g\"\nmaster = \"{host}:6379\"\nquorum = 1\n");
    std::fs::write(&file, group("10.0.0.1") + &group("10.0.0.2")).unwrap();
    let output = orchestrator(&["--groups-file", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    let words = text(&output.stderr);
    for part in ["groups.toml", "10.0.0.1:6379", "10.0.0.2:6379"] {
        assert!(words.contains(part), "{words}");
    }
}

#[test]
fn a_roster_that_names_a_voter_twice_is_bad_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("orchestrator.toml");
    std::fs::write(&file, "[roster]\nvoters = [\"v1\", \"v1\"]\n").unwrap();
    let output = orchestrator(&["--config", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(64));
    let words = text(&output.stderr);
    assert!(words.contains("roster.voters"), "{words}");
}

#[test]
fn it_prints_its_configuration() {
    let output = orchestrator(&["--groups-file", "/etc/vedette/groups.toml", "--print-config"]);
    assert_eq!(output.status.code(), Some(0));
    let words = text(&output.stdout);
    for part in ["groups_file = \"/etc/vedette/groups.toml\"", "roster.voters = [", "place = "] {
        assert!(words.contains(part), "{words}");
    }
}
