//! What every service does the same way: birth and death, configuration, logs and traces, the bus,
//! the clock, and driving a pure machine.
//!
//! ```text
//!  life ── config ── telemetry ── shutdown         what a process is
//!   ├─ tls ── http ── metrics                      what it says of itself to whoever asks
//!   │
//!   └─ join: bus ── identity ── host               who it is among the others, and where
//!        │
//!  bus ─►│ inputs ─► driver ─► machine             what it does: decide …
//!        │              │         │
//!  bus ◄─┴─ effects ◄───┴─────────┘                … then do
//!             ├─ retained                          the last master of each group, kept for latecomers
//!             ├─ history                           what led to each decision, kept for people
//!             ├─ outbox                            its events, handed out to sinks, each by one notifier
//!             └─ observer                          spans of what was heard and said
//! ```

pub mod bus;
pub mod clock;
pub mod config;
pub mod driver;
pub mod history;
pub mod host;
pub mod http;
pub mod identity;
pub mod life;
mod limit;
pub mod metrics;
pub mod observer;
pub mod outbox;
pub mod private;
pub mod retained;
pub mod shutdown;
pub mod telemetry;
pub mod tls;

pub use bus::{Bus, Received};
pub use clock::Clock;
pub use config::{
    CommonConfig, CommonFlags, ConfigError, HistoryConfig, HttpConfig, NatsConfig, NodesConfig,
    Overrides, RosterConfig,
};
pub use driver::Effects;
pub use history::Historian;
pub use observer::Observer;
pub use retained::Retainer;
pub use shutdown::Shutdown;

/// That of every binary. With the C library's a mass failure costs half as much again
/// (`docs/performance.md`, "Many masters at once").
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
