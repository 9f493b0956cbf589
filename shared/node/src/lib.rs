//! Talking to a Redis or Valkey node: the few commands and replies we use.
//!
//! ```text
//!  link     a prober's lasting connection: PING, INFO       ┐              ┌─ reply   answers told apart
//!  command  an orchestrator's errand: inspect, promote,     ├─► conn ──────┤
//!           follow, each over a connection of its own       ┘  (private)   └─ info    INFO → NodeView
//! ```

pub mod command;
mod conn;
pub mod info;
pub mod link;
pub mod reply;

pub use link::Link;
pub use reply::{ErrorCode, ErrorReply, Reply};
