//! The voter on real files and a real NATS.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod service;
mod store;
