//! What lies where.

use std::os::unix::fs::PermissionsExt;
use vedette_tidy::{Graph, none, root, sources};

#[test]
fn model_and_protocol_have_no_clocks_sockets_or_files() {
    let mut findings = Vec::new();
    for name in ["model", "protocol"] {
        let path = format!("shared/{name}/src/lib.rs");
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        if !text.lines().any(|line| line == "#![no_std]") {
            findings.push(format!("{path} must say #![no_std]: the pure core has no std"));
        }
        if text.lines().any(|line| line.trim() == "extern crate std;") {
            findings.push(format!("{path} must not bring std back"));
        }
    }
    none("the pure core", &findings);
}

#[test]
fn every_service_has_its_page() {
    let mut findings = Vec::new();
    for service in ["prober", "voter", "orchestrator", "notifier", "gateway"] {
        let path = format!("services/{service}/README.md");
        let Ok(text) = std::fs::read_to_string(root().join(&path)) else {
            findings.push(format!("{path} is missing"));
            continue;
        };
        for heading in ["Listens", "Says", "Keeps", "Knobs", "When it dies"] {
            let found = text.lines().any(|line| {
                line.starts_with("##") && line.trim_start_matches('#').trim() == heading
            });
            if !found {
                findings.push(format!("{path} lacks the heading \"## {heading}\""));
            }
        }
        if text.lines().count() > 120 {
            findings.push(format!("{path} is longer than one page (120 lines)"));
        }
    }
    none("each service has a one-page README", &findings);
}

#[test]
fn no_file_is_longer_than_500_lines() {
    let long: Vec<String> = sources(&[".rs"])
        .iter()
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > 500)
        .map(|(source, lines)| format!("{} has {lines} lines: divide it", source.path))
        .collect();
    none("short files", &long);
}

#[test]
fn scripts_can_be_run() {
    let mut findings = Vec::new();
    for source in sources(&[""]) {
        if !source.text.starts_with("#!/") {
            continue;
        }
        let mode = std::fs::metadata(root().join(&source.path)).unwrap().permissions().mode();
        if mode & 0o111 == 0 {
            findings.push(format!("{} is not executable: chmod +x", source.path));
        }
        if source.text.starts_with("#!/usr/bin/env bash")
            && !source.text.lines().any(|line| line == "set -euo pipefail")
        {
            findings.push(format!("{} must say set -euo pipefail", source.path));
        }
    }
    for path in ["scripts/test", "scripts/demo", ".ci/run"] {
        if !root().join(path).is_file() {
            findings.push(format!("{path} is missing"));
        }
    }
    none("scripts", &findings);
}

#[test]
fn every_crate_obeys_the_workspace() {
    let mut findings = Vec::new();
    for package in Graph::load().packages {
        let path = format!("{}/Cargo.toml", package.folder);
        let text = std::fs::read_to_string(root().join(&path)).unwrap();
        if !text.contains("[lints]\nworkspace = true") {
            findings.push(format!("{path} must say [lints] workspace = true"));
        }
        for field in ["version", "edition", "rust-version", "license", "publish"] {
            if !text.lines().any(|line| line == format!("{field}.workspace = true")) {
                findings.push(format!("{path} must say {field}.workspace = true"));
            }
        }
        for line in text.lines().filter(|line| line.contains("version = \"")) {
            findings.push(format!("{path}: versions stand in the workspace's manifest: {line}"));
        }
    }
    none("one workspace", &findings);
}
