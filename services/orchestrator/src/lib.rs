//! Plans a failover and carries it out.
