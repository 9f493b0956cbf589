//! What each service saw of an incident, as spans of one trace.
//!
//! ```text
//!  what a service heard, said and asked, ─► its witness ─► spans    ─► the exporter of `runtime`
//!  and when, after the fact                           └─► contexts ─► headers of its messages
//! ```
//!
//! Nobody hands out span ids: each is computed from the trace, the span's name and who did what, and
//! the trace from the master that failed. So the spans of several processes fit together, whichever
//! of them are lost. Every span's parent is the root, the incident, except where one process records
//! parent and children together.
//!
//! Nothing here decides anything, waits or fails; times are the wall clock's, because they are for
//! people.

mod context;
mod gateway;
pub mod names;
mod notifier;
mod orchestrator;
mod prober;
mod span;
mod voter;

pub use context::{Context, Heard};
pub use gateway::Gateways;
pub use notifier::{Notifiers, Try};
pub use orchestrator::{Errand, Orchestrators};
pub use prober::Probers;
pub use span::{Kind, Mark, Span, Value, id};
pub use voter::Voters;

use vedette_model::{Fact, GroupName};

/// One service's memory of the incidents under way.
pub trait Witness: Send {
    /// A message came.
    fn heard(&mut self, heard: &Heard<'_>);

    /// A message is about to be sent, at `at_us` of the wall clock.
    fn says(&mut self, fact: &Fact, at_us: u64);

    /// What came of it since the last time.
    fn take(&mut self) -> Notes;
}

/// What a witness has to tell.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// Spans that are complete.
    pub spans: Vec<Span>,
    /// To which incident messages of these groups belong from now on.
    pub contexts: Vec<(GroupName, Context)>,
}

impl Notes {
    /// Whether there is nothing to tell.
    pub const fn is_empty(&self) -> bool {
        self.spans.is_empty() && self.contexts.is_empty()
    }

    fn span(&mut self, span: Span) {
        self.spans.push(span);
    }

    fn context(&mut self, group: &GroupName, context: Context) {
        self.contexts.push((group.clone(), context));
    }
}

#[cfg(test)]
mod tests;
