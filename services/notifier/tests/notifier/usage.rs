//! The binary, before it connects to anything.

use std::process::{Command, Output};

fn notifier(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_vedette-notifier"))
        .args(["--id", "n1"])
        .args(arguments)
        .env_clear()
        .output()
        .unwrap()
}

#[test]
fn a_script_that_cannot_run_is_bad_configuration() {
    let output = notifier(&["--notification-script", "/no/such/script"]);
    assert_eq!(output.status.code(), Some(64));
    let words = String::from_utf8(output.stderr).unwrap();
    let parts = ["sink.executable.notification_script", "/no/such/script", "No such file"];
    assert!(parts.iter().all(|part| words.contains(part)), "{words}");
}

#[test]
fn it_prints_its_configuration() {
    let output = notifier(&["--webhook", "https://hooks.example.com/a", "--print-config"]);
    assert_eq!(output.status.code(), Some(0));
    let words = String::from_utf8(output.stdout).unwrap();
    let parts =
        ["sink.log.enabled = true", "sink.webhook.urls = [\"https://hooks.example.com/a\"]"];
    assert!(parts.iter().all(|part| words.contains(part)), "{words}");
}
