//! The whole pipeline under one seed.
