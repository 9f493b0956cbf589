//! The permission matrix, as Markdown.

use crate::everything::Found;
use crate::may::{Row, Who};
use anyhow::{Context as _, Result, ensure};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- what the server does, written by a test -->\n";
const END: &str = "<!-- end -->\n";

/// One line for each set of subjects that the server treats alike, in the order of the rows.
pub fn of(rows: &[Row], found: &BTreeMap<&str, Found>) -> String {
    let mut lines: Vec<(Vec<&str>, Vec<&str>)> = Vec::new();
    for row in rows {
        let cells: Vec<&str> = Who::ALL.iter().map(|who| cell(&found[who.name()], row)).collect();
        match lines.iter_mut().find(|(other, _)| *other == cells) {
            Some((_, patterns)) => patterns.push(&row.pattern),
            None => lines.push((cells, vec![&row.pattern])),
        }
    }
    let names: Vec<&str> = Who::ALL.iter().map(|who| who.name()).collect();
    let mut text = format!("| subject | {} |\n|---|{}\n", names.join(" | "), "---|".repeat(7));
    for (cells, patterns) in lines.iter().filter(|(cells, _)| cells.iter().any(|c| !c.is_empty())) {
        let _ = writeln!(text, "| {} | {} |", shortened(patterns), cells.join(" | "));
    }
    let nobody = lines.iter().find(|(cells, _)| cells.iter().all(|cell| cell.is_empty()));
    let others = nobody.map_or(0, |(_, patterns)| patterns.len());
    let _ = writeln!(text, "| {others} others | | | | | | | |");
    text
}

fn cell(found: &Found, row: &Row) -> &'static str {
    match (found.says.contains(&row.subject), found.hears.contains(&row.subject)) {
        (true, true) => "P S",
        (true, false) => "P",
        (false, true) => "S",
        (false, false) => "",
    }
}

/// The subjects of a line without the beginning that all of ours have.
fn shortened(patterns: &[&str]) -> String {
    let short = patterns
        .iter()
        .map(|pattern| format!("`{}`", pattern.strip_prefix("vedette.v1.").unwrap_or(pattern)));
    short.collect::<Vec<_>>().join(", ")
}

/// The document says what was found.
pub fn is_in_the_document(matrix: &str) -> Result<()> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/security.md");
    let text = std::fs::read_to_string(&path)?;
    let (_, rest) = text.split_once(BEGIN).context("docs/security.md has no place for it")?;
    let (said, _) = rest.split_once(END).context("docs/security.md has no end of it")?;
    ensure!(said.trim() == matrix.trim(), "docs/security.md must say between its marks:\n{matrix}");
    Ok(())
}
