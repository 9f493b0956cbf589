//! That the mutants fit the sources of today. Whether they are caught is shown by `cargo mutant`.

use vedette_mutants::{all, root};

#[test]
fn every_mutant_finds_its_place_exactly_once() {
    let mut findings = Vec::new();
    for mutant in all().expect("every mutant can be read") {
        let source = std::fs::read_to_string(root().join(&mutant.file));
        match source {
            Ok(source) => findings.extend(mutant.apply(&source).err().map(|e| e.to_string())),
            Err(error) => findings.push(format!("{}: {}: {error}", mutant.name, mutant.file)),
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
}

#[test]
fn there_are_enough_of_them_for_every_part() {
    let mutants = all().expect("every mutant can be read");
    assert!(mutants.len() >= 20, "only {} mutants", mutants.len());
    for part in ["register", "odown", "sdown", "failover", "reconcile", "voter", "orchestrator"] {
        assert!(mutants.iter().any(|m| m.file.contains(part)), "no mutant in {part}");
    }
}
