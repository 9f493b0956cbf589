//! Which events of which groups go to which sinks.

use super::quiet::Quiet;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{Event, EventName, fits};

/// One row of the table. What it leaves empty fits everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Route {
    /// Names of sinks.
    pub sinks: Vec<String>,
    /// Patterns of events' names.
    pub events: Vec<String>,
    /// Patterns of groups' names.
    pub groups: Vec<String>,
    /// What happens within so long is one message, to sinks that can tell several events in one.
    pub gather: Duration,
    /// What happens in these times is told when they end, in one message where that can be.
    pub quiet: Vec<Quiet>,
}

impl Route {
    fn fits(&self, sink: &str, event: &Event) -> bool {
        let any = |patterns: &[String], text: &str| {
            patterns.is_empty()
                || patterns.iter().any(|pattern| fits(pattern.as_bytes(), text.as_bytes()))
        };
        (self.sinks.is_empty() || self.sinks.iter().any(|name| name == sink))
            && any(&self.events, event.name.as_str())
            && any(&self.groups, event.group.as_str())
    }
}

/// The table, read from the top: for each sink the first row that fits an event counts. An empty
/// table sends everything everywhere; where no row fits, the sink is not told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// A table of these rows.
    pub const fn new(rows: Vec<Route>) -> Self {
        Self(rows)
    }

    /// What the table says of an event at a sink, at this time in milliseconds since 1970; nothing
    /// if the sink is not told. It is told a test at once, whatever the rows say: that is what it
    /// is for.
    pub(super) fn way(&self, sink: &str, event: &Event, now_ms: u64) -> Option<Way> {
        if self.0.is_empty() || event.name == EventName::NotifyTest {
            return Some(Way::default());
        }
        let (row, route) = self.0.iter().enumerate().find(|(_, row)| row.fits(sink, event))?;
        let quiet_until = route.quiet.iter().filter_map(|quiet| quiet.until(now_ms)).max();
        let quiet = Duration::from_millis(quiet_until.unwrap_or(now_ms) - now_ms);
        let rest = quiet.max(route.gather);
        Some(Way { rest, is_quiet: !quiet.is_zero(), gathered: (!rest.is_zero()).then_some(row) })
    }
}

/// How an event goes to a sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Way {
    /// How long it waits first.
    pub(super) rest: Duration,
    /// Whether it waits for a quiet time's end: then each sink has it wait.
    pub(super) is_quiet: bool,
    /// The row whose events it is gathered with meanwhile.
    pub(super) gathered: Option<usize>,
}
