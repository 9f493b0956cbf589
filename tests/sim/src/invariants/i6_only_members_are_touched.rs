//! 6. Nothing that changes a node is sent to one that is not a member of the group.

use super::{Chosen, Invariant, Seen};
use vedette_model::Instant;

/// See the file's head.
#[derive(Debug)]
pub struct OnlyMembersAreTouched(Chosen);

impl OnlyMembersAreTouched {
    /// For a roster of so many.
    pub fn new(voters: usize) -> Self {
        Self(Chosen::new(voters))
    }
}

impl Invariant for OnlyMembersAreTouched {
    fn see(&mut self, seen: &Seen<'_>, _now: Instant) -> Result<(), String> {
        if let Seen::Accepted(voter, ballot, record) = seen {
            let _ = self.0.accepted(voter, ballot, record);
        }
        let Seen::Commanded(node, command) = seen else { return Ok(()) };
        let member = self.0.newest.as_ref().is_some_and(|r| r.member(node).is_some());
        if member { Ok(()) } else { Err(format!("{command:?} was sent to {node}, no member")) }
    }
}
