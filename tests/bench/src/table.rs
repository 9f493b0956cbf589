//! Rows of numbers, as Markdown and as JSON.

use crate::statistics::Distribution;
use serde::Serialize;
use std::fmt::Write as _;

/// One row.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: &'static str,
    /// Of whom.
    pub who: String,
    /// How many trials there were. Those that failed before they came to it have no value.
    pub trials: usize,
    /// Absent if there is no value.
    pub spread: Option<Distribution>,
}

/// These rows under a title for what they show.
pub fn of(title: &str, rows: &[Row]) -> String {
    let mut text = format!(
        "| {title} | | trials | min | p50 | p90 | p99 | max |\n|---|---|---|---|---|---|---|---|\n"
    );
    let mut before = "";
    for Row { what, who, trials, spread } in rows {
        let shown = if *what == before { "" } else { what };
        before = what;
        let (count, cells) = spread.map_or((0, "| | | |".into()), |spread| {
            let Distribution { count, min, p50, p90, p99, max } = spread;
            let cells = [min, p50, p90, p99, max].map(|value| format!("{value:.1}"));
            (count, cells.join(" | "))
        });
        let of = if count == *trials { String::new() } else { format!(" of {trials}") };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "| {shown} | {who} | {count}{of} | {cells} |");
    }
    text + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_how_many_trials_failed() {
        let row = |what, who: &str, values: &[f64]| {
            let spread = Distribution::of(values.iter().copied());
            Row { what, who: who.into(), trials: 2, spread }
        };
        let rows = [row("a", "x", &[1.0, 2.25]), row("a", "y", &[3.0]), row("b", "x", &[])];
        let lines = [
            "| ms | | trials | min | p50 | p90 | p99 | max |",
            "|---|---|---|---|---|---|---|---|",
            "| a | x | 2 | 1.0 | 1.0 | 2.2 | 2.2 | 2.2 |",
            "|  | y | 1 of 2 | 3.0 | 3.0 | 3.0 | 3.0 | 3.0 |",
            "| b | x | 0 of 2 | | | | | |",
            "",
            "",
        ];
        assert_eq!(of("ms", &rows), lines.join("\n"));
    }
}
