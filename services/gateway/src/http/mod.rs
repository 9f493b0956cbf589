//! The second port: health, metrics, what is known and what was as JSON, and checks for load
//! balancers.
//!
//! It stays open when the door to Sentinel clients is shut: then it says so.

mod past;
mod routes;
mod shown;
#[cfg(test)]
mod tests;

pub use past::Archive;
pub use routes::Window;
