//! What is measured, and what is said of it.

use std::collections::BTreeSet;
use vedette_tidy::{none, root, sources};

/// Where metrics are made: the calls that take a name and a text.
const CALLS: &[&str] =
    &[".count(", ".counts(", ".times(", ".look(", ".look_count(", ".add(", "gauge(", "each("];

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The names in the code, without what all have at the beginning and counters at the end.
fn made() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources(&["metrics.rs", "counted.rs"]) {
        let here = |folder| source.path.starts_with(folder);
        if !here("services/") && !here("shared/runtime/src/bus/") {
            continue;
        }
        let code = source.text.split("#[cfg(test)]").next().unwrap_or_default();
        for call in CALLS {
            for rest in code.split(call).skip(1) {
                let Some(rest) = rest.trim_start().strip_prefix('"') else { continue };
                names.extend(rest.split('"').next().map(String::from));
            }
        }
    }
    names
}

/// The names in the first column of the catalogue.
fn listed() -> BTreeSet<String> {
    let text = read("observability/metrics.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `vedette_"));
    let name = |row: &str| {
        let name = row.split(['`', '{']).next().unwrap_or_default();
        name.strip_suffix("_total").unwrap_or(name).to_string()
    };
    rows.map(name).collect()
}

#[test]
fn the_catalogue_lists_what_the_code_counts() {
    let (made, listed) = (made(), listed());
    assert!(made.len() > 30, "the names are not found any more: {made:?}");
    let missing = made.difference(&listed).map(|name| format!("{name} is not in the catalogue"));
    let stale = listed.difference(&made).map(|name| format!("{name} is counted nowhere"));
    none("observability/metrics.md", &missing.chain(stale).collect::<Vec<_>>());
}

#[test]
fn every_alert_has_a_runbook() {
    let (alerts, runbooks) =
        (read("observability/prometheus/alerts.yaml"), read("docs/runbooks.md"));
    let named: BTreeSet<_> =
        alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let told: BTreeSet<_> = runbooks.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let mut findings = Vec::new();
    for name in &named {
        let link = format!("docs/runbooks.md#{}\"", name.to_lowercase());
        if !alerts.contains(&link) {
            findings.push(format!("{name} does not link to its runbook"));
        }
    }
    findings.extend(named.difference(&told).map(|name| format!("{name} has no runbook")));
    findings.extend(told.difference(&named).map(|name| format!("{name} is no alert any more")));
    none("docs/runbooks.md", &findings);
}
