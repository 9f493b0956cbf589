//! What a failover says to people.

use crate::happening::Happening;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use vedette_model::{EventName, NodeAddr, Rejection};

pub(crate) fn rewrite_failed(node: &NodeAddr, error: &str) -> Happening {
    let cause = format!(
        "CONFIG REWRITE failed ({error}): its role holds until its next restart, then it is \
         corrected again; give it a writable configuration file"
    );
    Happening::of(EventName::RewriteFailed, node, cause)
}

pub(super) fn describe(rejected: &[Rejection]) -> String {
    let each: Vec<_> = rejected.iter().map(|r| format!("{} ({})", r.node, r.reason)).collect();
    if each.is_empty() { "nobody else is known".into() } else { each.join(", ") }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
