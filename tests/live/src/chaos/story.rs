//! The timeline: what was done to the system, what the nodes told, what was said on the bus.

use super::nodes::Nodes;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;
use vedette_harness::{System, now, signed_ms};

/// Lines with their milliseconds since the start.
pub struct Story {
    zero: Instant,
    path: PathBuf,
    file: File,
    lines: Vec<(f64, String)>,
}

impl Story {
    pub fn new(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("the file {}", path.display()))?;
        Ok(Self { zero: now(), path: path.into(), file, lines: Vec::new() })
    }

    pub const fn zero(&self) -> Instant {
        self.zero
    }

    /// What is done, now. Goes to the file at once, in case this ends in between.
    pub fn tell(&mut self, words: &str) {
        for line in words.lines() {
            let at = signed_ms(now(), self.zero);
            // Without the file the lines are still told on failure.
            let _ = writeln!(self.file, "{at:>10.1}  chaos              {line}");
            self.lines.push((at, format!("chaos              {line}")));
        }
    }

    /// Adds what the nodes told of their roles.
    pub fn nodes(&mut self, nodes: &Nodes) {
        self.lines.extend(nodes.changes());
    }

    /// Adds what was said on the bus, and writes everything in its order.
    pub fn bus(&mut self, system: &System) {
        for line in system.watcher.timeline(0, self.zero).lines() {
            let parts = line.trim_start().split_once("  ");
            let Some((at, words)) = parts.and_then(|(at, words)| Some((at.parse().ok()?, words)))
            else {
                continue;
            };
            self.lines.push((at, words.into()));
        }
        self.lines.sort_by(|one, other| one.0.total_cmp(&other.0));
        let text: String =
            self.lines.iter().map(|(at, words)| format!("{at:>10.1}  {words}\n")).collect();
        if let Err(error) = std::fs::write(&self.path, text) {
            eprintln!("the timeline {} cannot be written: {error}", self.path.display());
        }
    }

    /// The last lines.
    pub fn tail(&self, count: usize) -> String {
        let from = self.lines.len().saturating_sub(count);
        let lines = self.lines.iter().skip(from);
        lines.map(|(at, words)| format!("{at:>10.1}  {words}\n")).collect()
    }
}
