//! The register, its roster and the loss of a voter's memory: every state within small bounds.
//!
//! ```text
//!  voters (the real Voter and its disk) ◄──┐
//!  orchestrators (Proposer, Failover)  ◄──┼── bus: what was said may be heard again, late, or never
//!  changes of the roster (Change)      ◄──┘
//! ```
//!
//! Each kind of process is run for real and once per input and state; see `table`. [`scope`] names
//! the bounds, [`world`] what can happen and what must hold, `relevance` what may be forgotten.
//! Time is no part of that; `lease` is the same register by the clock.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "of all facts the model knows the few that its processes exchange"
)]

mod actions;
pub mod bug;
mod check;
mod ghost;
mod leader;
mod lease;
mod names;
mod operator;
mod records;
mod relevance;
pub mod scope;
mod table;
mod voter;
pub mod world;

pub use bug::Bug;
pub use check::{Report, bounds, check};
pub use scope::Scope;
pub use world::{Action, State, System};
