//! The wire from outside: what is written, what is read and what is refused.

#![allow(
    clippy::unwrap_used,
    reason = "all of this is test; clippy sees only the #[test] functions as such"
)]

mod golden;
mod message;
mod properties;
mod samples;
