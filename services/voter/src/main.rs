//! Counts opinions, grants votes, keeps the records.
fn main() {}
