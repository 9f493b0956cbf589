//! Talking to a Redis or Valkey node: the few commands and replies we use.
pub mod info;
