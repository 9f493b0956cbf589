//! The machine that a process runs on.

use crate::name::{check_host, text_newtype};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

text_newtype!(
    /// A machine's name: 1 to 255 bytes without white space, control characters, `[`, `]`, `/` and
    /// `@`.
    HostName,
    check_host
);

/// The machine that a process runs on: what dies with it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Host {
    /// Its name. Services that tell the same name are taken to die together.
    pub name: HostName,
    /// Addresses that the process saw on it when it started, at most [`Host::ADDRESSES`]: a node
    /// at one of them runs on the same machine.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
}

impl Host {
    /// Addresses that are told: with so many a heartbeat stays short.
    pub const ADDRESSES: usize = 32;
}
