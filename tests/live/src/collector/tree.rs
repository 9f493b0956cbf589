//! A trace for the terminal: who did what under whom, when it began and how long it took.

use super::Taken;
use std::fmt::Write as _;

/// What is said of a span behind its name, as far as it has it.
const SHOWN: &[&str] = &[
    "vedette.commit",
    "vedette.purpose",
    "vedette.ballot",
    "vedette.node",
    "vedette.master.new",
    "vedette.outcome",
    "vedette.reason",
    "vedette.reports",
    "vedette.attempts",
    "vedette.sink",
    "vedette.events",
    "vedette.subscribers",
    "messaging.destination.name",
];
/// Characters of one value.
const VALUE_LIMIT: usize = 48;

/// The tree with its times in milliseconds since the root began. Spans whose parent is missing stand
/// beside the root.
pub fn tree(spans: &[Taken]) -> String {
    let mut spans: Vec<&Taken> = spans.iter().collect();
    spans.sort_by_key(|span| (span.from, std::cmp::Reverse(span.to)));
    let is_top = |span: &Taken| {
        span.parent.as_ref().is_none_or(|parent| spans.iter().all(|known| known.id != *parent))
    };
    let zero = spans.iter().find(|span| span.parent.is_none()).or(spans.first());
    let zero = zero.map_or(0, |span| span.from);
    let mut text = String::from("   at ms  took ms  span\n");
    for top in spans.iter().filter(|span| is_top(span)) {
        branch(top, &spans, zero, 0, &mut text);
    }
    text
}

fn branch(span: &Taken, all: &[&Taken], zero: u64, depth: usize, text: &mut String) {
    let name = format!("{}{}", "  ".repeat(depth), span.name);
    let who = format!("{} {}", span.service.trim_start_matches("vedette-"), span.instance);
    let about: Vec<String> = SHOWN
        .iter()
        .filter_map(|key| span.attributes.get(*key))
        .map(|value| shortened(value))
        .chain(span.error.iter().map(|why| format!("! {}", shortened(why))))
        .collect();
    let (at, took) = (ms(zero, span.from), ms(span.from, span.to));
    let line = format!("{at:8.1} {took:8.1}  {name:<16} {who:<16} {}", about.join(", "));
    let _ = writeln!(text, "{}", line.trim_end());
    if span.name == "select" || span.name == "candidacy" {
        for (_, what, attributes) in &span.events {
            let words: Vec<_> = attributes.values().map(|value| shortened(value)).collect();
            let what = format!("{}· {what}", "  ".repeat(depth + 1));
            let _ = writeln!(text, "{:18} {what}: {}", "", words.join(", "));
        }
    }
    for child in all.iter().filter(|child| child.parent.as_ref() == Some(&span.id)) {
        branch(child, all, zero, depth + 1, text);
    }
}

fn shortened(value: &str) -> String {
    match value.char_indices().nth(VALUE_LIMIT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None => value.into(),
    }
}

#[allow(clippy::cast_precision_loss, reason = "microseconds are shown")]
fn ms(from: u64, to: u64) -> f64 {
    (to as i64).wrapping_sub(from as i64) as f64 / 1e6
}
