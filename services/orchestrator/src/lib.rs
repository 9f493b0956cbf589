//! Plans a failover and carries it out.

pub mod groups;
