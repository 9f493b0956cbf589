//! Starts redis-server and nats-server for tests; waiting helpers; faults.
