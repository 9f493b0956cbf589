//! `vedette import`, and soon `vedette sentinel`: an existing `sentinel.conf`, translated or
//! followed.
//!
//! ```text
//!  FILE ─► words ─► lines ─► conf: own, server, group ─► native   the same in Vedette's own files
//!  options ────────────┘
//! ```

mod conf;
mod group;
pub mod import;
mod known;
mod lines;
mod listen;
mod native;
mod own;
mod server;
#[cfg(test)]
mod tests;
mod words;

pub use import::Import;
