//! Counts opinions, grants votes, keeps the records.

pub mod store;
