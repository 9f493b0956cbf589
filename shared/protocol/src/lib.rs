//! The verbs of Vedette: how it decides. Pure state machines, one module per stage.
//!
//! No clock, no socket, no file, no hash map: the crate is `no_std`. Time comes in as an argument,
//! effects go out as values, and the same inputs at the same times give the same outputs. One
//! driver in `runtime` runs a machine on tokio, one in `tests/sim` runs it on virtual time.
//!
//! ```text
//!  stages                                           roles: what one process runs
//!  sdown ─► odown ─► candidacy ─► failover ─► reconcile     prober       = directory + sdown per node
//!             │          │            │                     voter        = odown + register::Acceptor
//!             └─ register (votes, records) ─► directory     orchestrator = directory + candidacy +
//!                                     │                       register::Proposer + failover + reconcile
//!                                   notice                  notifier     = notice
//!                                                           gateway      = directory + what was seen
//! ```

#![no_std]
extern crate alloc;

pub mod candidacy;
pub mod directory;
pub mod failover;
pub mod gateway;
mod happening;
pub mod hash;
mod machine;
pub mod notice;
pub mod odown;
pub mod orchestrator;
pub mod prober;
mod pulse;
pub mod rank;
pub mod reconcile;
pub mod register;
pub mod rejoin;
pub mod roster;
pub mod sdown;
mod timers;
pub mod voter;

pub use happening::Happening;
pub use machine::Machine;

#[cfg(test)]
mod tests;
