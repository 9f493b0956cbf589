//! The register: votes and records of one group.
//!
//! ```text
//!   orchestrator                                        each voter
//!   Proposer                                            Acceptor
//!     Stand(purpose) ── Candidacy (ballot) ───────────►  promise? ── Persist, then Promise
//!     Elected ◄──────── majority of promises ─────────   (or Refused and why)
//!     Propose(record) ─ Proposal (ballot, revision) ──►  accept?  ── Persist, then Accepted
//!     Committed ◄────── majority of Accepted ─────────   (or Superseded)
//!     every 100 ms ──── Beat ─────────────────────────►  leader heard, lease granted 300 ms
//! ```
//!
//! Two changes of one record need two majorities; these share a voter; it either refused the older
//! ballot or handed its value to the newer one. Orders: ballots, and within a ballot revisions.

mod acceptor;
mod proposer;

pub use acceptor::{Acceptor, AcceptorOutput};
pub use proposer::{CANDIDACY_LIMIT, Lost, Proposer, ProposerOutput};

use core::time::Duration;

/// A leader sends a heartbeat this often.
pub const BEAT_EVERY: Duration = Duration::from_millis(100);
/// A leader that no majority has answered for so long sends no command to any node.
pub const LEASE: Duration = Duration::from_millis(300);
/// A leader that no majority has answered for so long gives up, and a promise whose holder was
/// silent for so long lapses: a process that was stopped meanwhile goes by a past that is over.
pub const SILENT_LIMIT: Duration = Duration::from_secs(2);
/// A leader that voters have not heard for so long may be replaced.
pub const TAKEOVER_AFTER: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
