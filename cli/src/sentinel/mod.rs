//! `vedette sentinel` and `vedette import`: an existing `sentinel.conf`, followed or translated.
//!
//! ```text
//!  FILE ─► words ─► lines ─► conf: own, server, group ─┬─► native   the same in Vedette's files
//!  options ────────────┘                               └─► launch ─► data, seat ─► run
//! ```

mod conf;
mod data;
mod group;
pub mod import;
mod known;
pub mod launch;
mod lines;
mod listen;
mod native;
mod own;
mod run;
mod seat;
mod server;
mod supervisor;
#[cfg(test)]
mod tests;
mod tls;
mod users;
mod words;

pub use import::Import;
pub use launch::Sentinel;
