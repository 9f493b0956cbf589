//! Services against real processes.
