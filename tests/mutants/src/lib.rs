//! Known bugs, put back on purpose: does a test notice?
//!
//! ```text
//!  mutants/<name>.toml ──► find, replace ──► a copy of the sources ──► nets, cheapest first
//!                                            under target/mutants        sim, protocol, …
//!                                                                             │
//!        exit 0: every one was caught by at least one net ◄───────────────────┘
//! ```
//!
//! `cargo mutant` runs all of them, `cargo mutant --only NAME` one. The sources themselves are
//! never touched. Each mutant costs two builds of the core, all of them many minutes; so they are
//! run by command, and the ordinary tests only see to it that each still finds its place in the
//! sources, exactly once.
//!
//! A mutant is a file: what the bug is, what it would break, where, what stands there, what
//! takes its place, and the nets that are tried on it. The tests of the code are also run after
//! the simulator has caught it, because it is worth knowing whether both see it.

mod mutant;
mod net;
mod report;
mod tree;

pub use mutant::{Mutant, all};
pub use net::{Net, Seeds, Verdict};
pub use report::Report;
pub use tree::{Snapshot, Tree, root};
