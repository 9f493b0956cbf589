//! That the mutants fit the sources of today. Whether they are caught is shown by `cargo mutant`.

use vedette_mutants::{all, root};

#[test]
fn every_mutant_finds_its_place_exactly_once() {
    let mutants = all().expect("every mutant can be read");
    let lost: Vec<_> =
        mutants.iter().filter_map(|m| Some(m.apply(&root()).err()?.to_string())).collect();
    assert!(lost.is_empty(), "{}", lost.join("\n"));
}

#[test]
fn there_are_enough_of_them_for_every_part() {
    let places: Vec<_> = all()
        .expect("every mutant can be read")
        .iter()
        .filter_map(|mutant| Some(mutant.apply(&root()).ok()?.0.display().to_string()))
        .collect();
    assert!(places.len() >= 20, "only {} mutants", places.len());
    for part in ["register", "odown", "sdown", "failover", "reconcile", "voter", "orchestrator"] {
        assert!(places.iter().any(|path| path.contains(part)), "no mutant in {part}");
    }
}
