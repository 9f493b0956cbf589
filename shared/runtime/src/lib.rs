//! What every service does the same way: birth and death, configuration, logs and traces, the bus,
//! the clock, and driving a pure machine.
//!
//! ```text
//!  life ── config ── telemetry ── shutdown         what a process is
//!   │
//!   └─ join: bus ── identity                       who it is among the others
//!        │
//!  bus ─►│ inputs ─► driver ─► machine             what it does: decide …
//!        │              │         │
//!  bus ◄─┴─ effects ◄───┴─────────┘                … then do
//!             ├─ retained                          the last master of each group, kept for latecomers
//!             └─ history                           what led to each decision, kept for people
//! ```

pub mod bus;
pub mod clock;
pub mod config;
pub mod driver;
pub mod history;
pub mod identity;
pub mod life;
mod limit;
pub mod retained;
pub mod shutdown;
pub mod telemetry;

pub use bus::{Bus, Received};
pub use clock::Clock;
pub use config::{
    CommonConfig, CommonFlags, ConfigError, HistoryConfig, NatsConfig, Overrides, RosterConfig,
};
pub use driver::Effects;
pub use history::Historian;
pub use retained::Retainer;
pub use shutdown::Shutdown;
