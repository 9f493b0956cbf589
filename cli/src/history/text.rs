//! The same for people.

use crate::watch;
use std::fmt::Write as _;
use vedette_history::report::Said;
use vedette_history::{Entries, Entry, Outcome, Report, reason, when};
use vedette_runtime::history::{Gap, Past};

/// Characters of an id that are shown in a list.
const SHORT_ID: usize = 12;

/// One line for each entry.
pub fn listing(entries: &Entries, past: &Past) -> String {
    let mut out = String::new();
    if let Some(at) = past.oldest_us.filter(|_| past.shortened) {
        row(&mut out, at, "-", "what was before is not kept any more");
    }
    for entry in &entries.0 {
        let at_us = entry.at_us();
        match entry {
            Entry::Incident(incident) => {
                let id = incident.id.get(..SHORT_ID).unwrap_or(&incident.id);
                let later =
                    incident.id.split_once('-').map_or_else(String::new, |(_, n)| format!("-{n}"));
                let text = Outcome::of(incident).text(incident);
                row(&mut out, at_us, incident.group.as_str(), &format!("{text} [{id}{later}]"));
            }
            Entry::Event { event, by, .. } => {
                let by = by.iter().cloned().collect::<Vec<_>>().join(", ");
                let text = format!("{} {} | {} ({by})", event.name, event.payload, event.cause);
                row(&mut out, at_us, event.group.as_str(), &text);
            }
            Entry::Gap { gap, .. } => row(&mut out, at_us, "-", &gap_text(gap)),
            Entry::Unreadable { why, .. } => {
                row(&mut out, at_us, "-", &format!("not understood: {why}"))
            }
        }
    }
    out
}

fn row(out: &mut String, at_us: u64, group: &str, text: &str) {
    // Writing to a string cannot fail. What others sent stays in its line.
    let _ =
        writeln!(out, "{}  {group:<12} {}", when::utc(at_us), text.replace(char::is_control, " "));
}

fn gap_text(gap: &Gap) -> String {
    format!(
        "GAP: {} could not reach the history from {} to {}; what was said then may be missing",
        gap.by,
        when::utc(gap.from_ms.saturating_mul(1_000)),
        when::utc(gap.to_ms.saturating_mul(1_000))
    )
}

/// An incident from its evidence to its end.
pub fn explained(report: &Report) -> String {
    let mut text = Text::default();
    text.line(&format!("{}  {}", report.group, report.text));
    let end = report.ended.as_ref().map_or_else(|| "not over".into(), |at| format!("over {at}"));
    text.line(&format!("began {}, {end}; id {}", report.began, report.id));
    for gap in &report.gaps {
        text.line(&gap_text(gap));
    }
    text.said("what the probers saw", &report.evidence);
    text.said("what the voters made of it", &report.verdicts);
    if !report.votes.is_empty() {
        text.heading("who was elected");
    }
    for vote in &report.votes {
        let by = vote.promised.join(", ");
        text.line(&format!("{:>11.1} ms  {:<18} by {by}", vote.at_ms, vote.leader));
    }
    if !report.candidates.is_empty() {
        text.heading("the candidates");
    }
    for candidate in &report.candidates {
        let why = candidate.reason.as_deref().unwrap_or("chosen");
        text.line(&format!("{:>14}  {:<21} {why}", "", candidate.node));
    }
    if let Some(loss) = report.loss {
        text.heading(&reason::loss(loss));
    }
    if !report.why_not.is_empty() {
        text.heading("why there is no other master");
    }
    for why in &report.why_not {
        text.line(&format!("{:>14}  {why}", ""));
    }
    if let Some(today) = &report.today {
        text.heading(&format!("as it is now: {} voters answer", today.voters));
        for (who, says) in &today.says {
            text.line(&format!("{:>14}  {who:<18} {says}", ""));
        }
    }
    text.heading("step by step");
    for line in &report.timeline {
        let at = line.at_ms / 1e3;
        text.line(&watch::columns(at, &line.sender, &report.group, &line.text));
    }
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    /// What others sent stays in its line.
    fn line(&mut self, text: &str) {
        self.0.push_str(&text.replace(char::is_control, " "));
        self.0.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.0.push('\n');
        self.line(text);
    }

    fn said(&mut self, heading: &str, all: &[Said]) {
        self.heading(heading);
        for Said { at_ms, by, text } in all {
            self.line(&format!("{at_ms:>11.1} ms  {by:<18} {text}"));
        }
        if all.is_empty() {
            self.line(&format!("{:>14}  nothing", ""));
        }
    }
}
