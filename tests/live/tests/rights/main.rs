//! Who may say and hear what, with the credentials of `deploy/nats`: every subject is tried with
//! every one of them, and the whole system works with nothing else.

mod everything;
mod may;
mod secrets;
mod table;
mod wire;
mod works;
