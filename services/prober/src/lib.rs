//! Watches nodes and says when they go quiet.

pub mod links;
