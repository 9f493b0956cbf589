//! The table of what is meant to differ, as it stands in `docs/migration.md`.

use anyhow::{Result, ensure};
use vedette_model::fits;

const PAGE: &str = include_str!("../../../../docs/migration.md");
const HEADING: &str = "## What a gateway answers otherwise";
/// How the second cell of a row begins that is about this version only.
const VALKEY: &str = "Valkey 9: ";
/// Whose answers the other rows are about.
const REDIS: &str = "7.0.";

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is asked: patterns of which one fits the whole question.
    pub asked: Vec<String>,
    /// Its last cell.
    pub why: String,
    /// Whether it is about Valkey 9 only.
    valkey: bool,
}

impl Row {
    /// Whether it speaks of this question to a Sentinel of this version.
    pub fn fits(&self, question: &str, version: &str) -> bool {
        (!self.valkey || version.starts_with("9."))
            && self.asked.iter().any(|pattern| fits(pattern.as_bytes(), question.as_bytes()))
    }

    /// Whether it must be a difference to a Sentinel of this version.
    pub fn is_about(&self, version: &str) -> bool {
        version.starts_with(if self.valkey { "9." } else { REDIS })
    }
}

/// The rows.
///
/// # Errors
/// If a row names no question or no reason.
pub fn rows() -> Result<Vec<Row>> {
    parse(PAGE)
}

fn parse(page: &str) -> Result<Vec<Row>> {
    let lines = page.lines().skip_while(|line| *line != HEADING);
    let table = lines.skip_while(|line| !line.starts_with('|')).take_while(|l| l.starts_with('|'));
    let mut rows = Vec::new();
    // The names of the columns, and the line below them.
    for line in table.skip(2) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        ensure!(cells.len() == 4, "docs/migration.md: four cells are needed: {line}");
        let asked: Vec<_> = cells[0].split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect();
        ensure!(!asked.is_empty(), "docs/migration.md: the first cell names no question: {line}");
        ensure!(!cells[3].is_empty(), "docs/migration.md: no reason is given: {line}");
        rows.push(Row { asked, why: cells[3].into(), valkey: cells[1].starts_with(VALKEY) });
    }
    ensure!(!rows.is_empty(), "docs/migration.md: no table follows {HEADING:?}");
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(rows: &str) -> String {
        format!("{HEADING}\n\ntext\n\n| asked | S | V | why |\n|---|---|---|---|\n{rows}\n")
    }

    #[test]
    fn a_row_names_questions_and_a_reason() {
        let rows =
            parse(&page("| `QUIT`, `SET *` | a | b | so it is |\n\n| `X` | | | no |")).unwrap();
        assert_eq!(rows.len(), 1);
        let fits = |question| rows[0].fits(question, "7.0.1");
        assert!(fits("QUIT") && fits("SET a b") && !fits("SETX"));
        assert_eq!(rows[0].why, "so it is");
        for bad in ["| QUIT | a | b | c |", "| `QUIT` | a | b | |", "| `QUIT` | a | b |", ""] {
            assert!(parse(&page(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_row_may_be_about_valkey_only() {
        let rows = parse(&page("| `A` | a | b | c |\n| `A` | Valkey 9: a | b | c |")).unwrap();
        let about = |row: &Row, version| (row.fits("A", version), row.is_about(version));
        let both = |row| (about(row, "7.0.1"), about(row, "9.1.0"));
        assert_eq!(both(&rows[0]), ((true, true), (true, false)));
        assert_eq!(both(&rows[1]), ((false, false), (true, true)));
    }

    #[test]
    fn the_page_has_the_table() {
        assert!(rows().unwrap().iter().any(|row| row.fits("QUIT", "7.0.1")));
    }
}
