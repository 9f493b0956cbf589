//! The bytes of every fact, as files: a change that shows here is a change for running systems.
//!
//! One file for each kind, one line for each sample: hexadecimal for MessagePack, JSON as it is.
//! `VEDETTE_WRITE_GOLDEN=1 cargo test -p vedette-wire` writes them anew; then look at the diff
//! and think of those who still speak the old form.

use crate::samples;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::{env, fs};
use vedette_model::FactKind;
use vedette_wire::{decode, encode};

const REMEDY: &str = "if the change is meant and old and new versions understand each other, run \
    VEDETTE_WRITE_GOLDEN=1 cargo test -p vedette-wire";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn is_json(kind: FactKind) -> bool {
    kind == FactKind::MasterRecord || kind == FactKind::Event
}

fn file_name(kind: FactKind) -> String {
    format!("{}.{}", kind.as_str(), if is_json(kind) { "json" } else { "hex" })
}

fn line(kind: FactKind, payload: &[u8]) -> String {
    if is_json(kind) {
        return String::from_utf8(payload.to_vec()).unwrap();
    }
    payload.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn payload(kind: FactKind, line: &str) -> Vec<u8> {
    if is_json(kind) {
        return line.as_bytes().to_vec();
    }
    assert!(line.len().is_multiple_of(2), "an odd number of digits in {}", file_name(kind));
    (0..line.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&line[at..at + 2], 16).unwrap())
        .collect()
}

fn golden_lines(kind: FactKind) -> Vec<String> {
    // All files before the first is read: the tests run side by side.
    static WRITTEN: Once = Once::new();
    if env::var("VEDETTE_WRITE_GOLDEN").is_ok_and(|value| value == "1") {
        WRITTEN.call_once(|| FactKind::ALL.iter().copied().for_each(write));
    }
    let path = folder().join(file_name(kind));
    let text = fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{} cannot be read: {e}; {REMEDY}", path.display()));
    text.lines().map(String::from).collect()
}

fn write(kind: FactKind) {
    let lines: String = samples::samples(kind)
        .iter()
        .map(|fact| line(kind, &encode(fact).unwrap()) + "\n")
        .collect();
    fs::write(folder().join(file_name(kind)), lines).unwrap();
}

#[test]
fn every_fact_encodes_to_its_golden_bytes() {
    for &kind in FactKind::ALL {
        let facts = samples::samples(kind);
        let lines = golden_lines(kind);
        assert!(!facts.is_empty(), "{} has no sample", kind.as_str());
        assert_eq!(facts.len(), lines.len(), "lines in {}; {REMEDY}", file_name(kind));
        for (number, (fact, golden)) in facts.iter().zip(&lines).enumerate() {
            let bytes = line(kind, &encode(fact).unwrap());
            let at = format!("{} line {}; {REMEDY}", file_name(kind), number + 1);
            assert_eq!(&bytes, golden, "{at}");
        }
    }
}

#[test]
fn golden_bytes_decode_to_their_facts() {
    for &kind in FactKind::ALL {
        for (fact, golden) in samples::samples(kind).iter().zip(golden_lines(kind)) {
            assert_eq!(fact.kind(), kind);
            let decoded = decode(kind, &payload(kind, &golden)).unwrap();
            assert_eq!(&decoded, fact, "{}", file_name(kind));
        }
    }
}

#[test]
fn golden_files_are_those_of_the_kinds() {
    let expected: BTreeSet<_> = FactKind::ALL.iter().copied().map(file_name).collect();
    FactKind::ALL.iter().for_each(|kind| drop(golden_lines(*kind)));
    let found: BTreeSet<_> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, expected, "a kind without a file or a file without a kind");
}
