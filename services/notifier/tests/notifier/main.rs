//! The notifier against real receivers, real processes and a real NATS.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod script;
mod service;
mod support;
mod usage;
mod webhook;
