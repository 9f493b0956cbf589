//! The whole role on scripted voters and nodes: each message takes a millisecond.

mod declared;
mod failovers;
mod lives;
mod mass;
mod orders;
mod steps;
mod system;
mod wishes;
