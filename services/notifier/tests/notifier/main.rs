//! The notifier against real receivers, real processes and a real NATS.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod kept;
mod script;
mod service;
mod sinks;
mod stage;
mod support;
mod usage;
mod webhook;
