//! 6. Nothing that changes a node is sent to one that is not a member of the group.

use super::{Chosen, Invariant, Seen};
use vedette_model::Instant;

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct OnlyMembersAreTouched;

impl Invariant for OnlyMembersAreTouched {
    const NAME: &'static str = "6, only members are touched";

    fn see(&mut self, seen: &Seen<'_>, chosen: &Chosen, _now: Instant) -> Result<(), String> {
        let Seen::Commanded(_, node, command) = seen else { return Ok(()) };
        let member = chosen.newest.as_ref().is_some_and(|r| r.member(node).is_some());
        if member { Ok(()) } else { Err(format!("{command:?} was sent to {node}, no member")) }
    }
}
