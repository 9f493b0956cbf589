//! The report for people.

use super::report::{GroupLine, Report};
use std::fmt::{self, Write as _};

/// The report as text that ends in a line end.
pub fn table(report: &Report) -> String {
    let mut out = String::new();
    write(report, &mut out).expect("writing to a string cannot fail");
    // What services say of themselves came over the bus.
    out.chars().map(|char| if char.is_control() && char != '\n' { ' ' } else { char }).collect()
}

fn write(report: &Report, out: &mut String) -> fmt::Result {
    writeln!(out, "SERVICES")?;
    if !report.services.iter().any(|line| line.alive) {
        writeln!(out, "  nobody answers: is the prefix right, and is anything started?")?;
    }
    for line in &report.services {
        let name = format!("{}/{}", line.service, line.id);
        let place = line.place.as_deref().unwrap_or("-");
        let host = line.host.as_deref().unwrap_or("-");
        let state = if line.alive { "alive" } else { "MISSING" };
        writeln!(out, "  {name:<18} {state:<8} {place:<12} {host:<16} {}", line.health)?;
    }
    let voters = &report.voters;
    writeln!(
        out,
        "  voters: {} of {} answer, {} needed (roster {})",
        voters.alive,
        voters.roster.len(),
        voters.needed,
        voters.roster_version
    )?;
    writeln!(out, "\nGROUPS")?;
    if report.groups.is_empty() {
        writeln!(out, "  none known")?;
    }
    for line in &report.groups {
        group(line, out)?;
    }
    for (title, lines) in [("NOTES", &report.notes), ("NEEDS ATTENTION", &report.attention)] {
        if !lines.is_empty() {
            writeln!(out, "\n{title}")?;
        }
        for line in lines {
            writeln!(out, "  - {line}")?;
        }
    }
    if report.well {
        writeln!(out, "\nAll is well.")?;
    }
    Ok(())
}

fn group(line: &GroupLine, out: &mut String) -> fmt::Result {
    match &line.record {
        None => writeln!(out, "  {}  no record yet", line.group)?,
        Some(record) => {
            writeln!(
                out,
                "  {}  master {}  epoch {}  quorum {}  down_after {} ms",
                line.group, record.master, record.epoch, record.quorum, record.down_after_ms
            )?;
            if let Some(failover) = &record.failover {
                writeln!(out, "    failover under way {failover}")?;
            }
            if let Some(paused) = &record.paused {
                let end = record.pause_ends_within_ms.map(|ms| ms.div_ceil(1_000));
                let end = end.map(|s| format!(", ends by itself within {s} s"));
                writeln!(out, "    paused: {paused}{}", end.unwrap_or_default())?;
            }
            for member in &record.members {
                let down = if member.down.is_empty() {
                    String::new()
                } else {
                    format!("  DOWN for {}", member.down.join("; "))
                };
                writeln!(out, "    {:<21} {:<8}{down}", member.node, member.role)?;
            }
            if record.gone > 0 {
                writeln!(out, "    {} gone", record.gone)?;
            }
        }
    }
    for standing in &line.standings {
        writeln!(out, "    {:<18} {}", standing.source, standing.text)?;
    }
    Ok(())
}
