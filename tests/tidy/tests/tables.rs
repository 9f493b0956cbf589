//! What documents list is what the code has.

use std::collections::BTreeSet;
use vedette_tidy::{none, root, sources};

/// The names of spans and attributes.
const NAMES: &str = "shared/trace/src/names.rs";
/// The document that explains them.
const TRACES: &str = "observability/traces.md";

/// Constants and their texts, as `NAME = "text",` stands in the file.
fn constants() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(root().join(NAMES)).expect("the names lie there");
    let pairs = text.lines().filter_map(|line| line.trim().split_once(" = \""));
    pairs
        .filter_map(|(name, rest)| Some((name.to_owned(), rest.strip_suffix("\",")?.to_owned())))
        .collect()
}

#[test]
fn every_span_and_attribute_is_explained_and_nothing_else() {
    let written: BTreeSet<String> = constants().into_iter().map(|(_, text)| text).collect();
    assert!(written.len() > 40, "the names are not found any more: {written:?}");
    let table = std::fs::read_to_string(root().join(TRACES)).expect("the document lies there");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let explained: BTreeSet<String> = rows.map(str::to_owned).collect();
    let missing = written.difference(&explained).map(|name| format!("{TRACES} lacks {name}"));
    let dead = explained.difference(&written).map(|name| format!("{NAMES} lacks {name}"));
    none("spans and attributes", &missing.chain(dead).collect::<Vec<_>>());
}

#[test]
fn every_span_and_attribute_is_used() {
    let code: Vec<_> = sources(&[".rs"])
        .into_iter()
        .filter(|source| !source.path.starts_with("tests/") && source.path != NAMES)
        .collect();
    let unused = constants().into_iter().filter(|(name, _)| {
        let used = format!("names::{name}");
        let ends = |rest: &str| !rest.starts_with(|c: char| c == '_' || c.is_ascii_alphanumeric());
        !code.iter().any(|source| {
            source.text.match_indices(&used).any(|(at, _)| ends(&source.text[at + used.len()..]))
        })
    });
    let findings: Vec<_> = unused.map(|(name, _)| format!("nobody records {name}")).collect();
    none("names of traces", &findings);
}
