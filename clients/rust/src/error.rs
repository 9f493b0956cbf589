//! Why a group cannot be followed.

use async_nats::SubscribeError;
use thiserror::Error;
use vedette_model::NameError;
use vedette_wire::SubjectError;

/// Why a group cannot be followed. What goes wrong later is no error: it is tried again.
#[derive(Debug, Error)]
pub enum Error {
    /// No server can be reached, or it refuses the login.
    #[error("nats cannot be reached: {0}")]
    Connect(#[from] async_nats::ConnectError),
    /// The prefix is not one plain word.
    #[error(transparent)]
    Prefix(#[from] SubjectError),
    /// The group's name is none.
    #[error(transparent)]
    Group(#[from] NameError),
    /// The NATS client is closed.
    #[error("the nats client takes no subscription: {0}")]
    Subscribe(#[from] SubscribeError),
}
