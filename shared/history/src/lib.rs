//! What happened, and why, made of the facts that JetStream keeps; and what services say of it now.
//! The `vedette` command and the gateways show the same.
//!
//! ```text
//!  kept facts ─► incidents ─┬─► Entries    one object each, with what else happened
//!                           └─► Found ───┐
//!  services' answers ─► Heard ─► Today ──┴─► Report    everything of one incident
//! ```

pub mod entries;
pub mod fact;
pub mod found;
pub mod heard;
pub mod incident;
pub mod reason;
pub mod report;
#[cfg(test)]
mod tests;
pub mod when;

pub use entries::{Entries, Entry};
pub use found::{Found, Unfound, reach};
pub use heard::Heard;
pub use incident::Incident;
pub use reason::Outcome;
pub use report::{Report, Today};
