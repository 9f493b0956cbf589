//! The binary, before it connects to anything.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
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

#[test]
fn a_file_with_a_password_that_others_may_open_is_warned_of_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("prober.toml");
    // The port is taken, so that it ends before it connects.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    let text = format!("id = \"p1\"\nhttp.listen = \"{port}\"\nnats.token = \"hush\"\n");
    std::fs::write(&file, text).unwrap();
    for (mode, warns) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let output = prober(&["--config", file.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(1));
        let words = text_of(&output);
        assert_eq!(words.contains("holds nats.token"), warns, "{mode:o}: {words}");
        assert!(!words.contains("hush"), "{words}");
    }
}

/// What it logged and said.
fn text_of(output: &Output) -> String {
    text(&output.stderr) + &text(&output.stdout)
}
