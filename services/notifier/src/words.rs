//! Events in words, for people who read them elsewhere than in a log.

use std::fmt::Write as _;
use vedette_model::Event;

/// Lines of a message that names many events; it says how many it leaves out.
const LINES: usize = 20;

/// An event in one line.
pub fn line(event: &Event) -> String {
    let Event { group, name, payload, cause, .. } = event;
    if cause.is_empty() {
        format!("{group}: {name} {payload}")
    } else {
        format!("{group}: {name} {payload} ({cause})")
    }
}

/// What a message is about, in few words.
pub fn title(events: &[Event]) -> String {
    let [first, rest @ ..] = events else { return String::new() };
    if rest.is_empty() {
        return format!("{}: {}", first.group, first.name);
    }
    let mut groups: Vec<_> = events.iter().map(|event| &event.group).collect();
    groups.sort_unstable();
    groups.dedup();
    match groups.as_slice() {
        [one] => format!("{one}: {} events, first {}", events.len(), first.name),
        _ => format!("{} groups: {} events, first {}", groups.len(), events.len(), first.name),
    }
}

/// All of them, a line each, the first ones if there are many.
pub fn text(events: &[Event]) -> String {
    let mut text = String::new();
    for event in events.iter().take(LINES) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", line(event));
    }
    if let Some(more @ 1..) = events.len().checked_sub(LINES) {
        let _ = writeln!(text, "and {more} more: see vedette history");
    }
    text
}
