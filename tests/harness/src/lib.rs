//! Starts redis-server, nats-server and Vedette's services for tests; waiting helpers; faults.
//!
//! ```text
//!   Plan ──► System ─┬─ nats      one server or a cluster of three      kill9 stop cont restart
//!                    ├─ nodes     a master and its replicas             kill9 stop cont restart
//!                    ├─ services  the binaries beside the test's own    kill9 stop cont restart
//!                    └─ watcher   every fact on the bus, with the time it came
//!   Writer  writes like an application does and remembers what was acknowledged
//!   Spy     which commands a node has carried out since
//! ```
//!
//! All processes listen on loopback, or each in a namespace of a [`Network`], live in one temporary folder and end with the [`System`]. If
//! the test did not come to [`System::finish`], the folder stays and its path is printed.

pub mod binary;
mod command_line;
mod describe;
mod home;
mod logs;
mod nats;
mod network;
mod node;
pub mod papers;
pub mod pick;
mod plan;
pub mod ports;
mod process;
mod relay;
mod service;
mod spy;
mod system;
mod wait;
mod watcher;
mod writer;

pub use describe::describe;
pub use home::Home;
pub use nats::NatsServer;
pub use network::Network;
pub use node::Node;
pub use plan::{GROUP, Plan};
pub use process::Process;
pub use relay::Relay;
pub use service::ServiceProcess;
pub use spy::Spy;
pub use system::System;
pub use wait::{now, stays, until, within};
pub use watcher::{Seen, Watcher, signed_ms};
pub use writer::{Target, Write, Writer, Writes};

use std::time::Duration;

/// For one step of a test; generous, because test machines are busy. A passing test never waits
/// this long.
pub const LIMIT: Duration = Duration::from_secs(30);
