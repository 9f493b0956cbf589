//! Tells people and hooks what happened.
fn main() {}
