//! 4. A superseded leader changes no node any more: once a command under a higher ballot of another
//!    process has been given out, none under a lower ballot is carried out, but for one that had
//!    been lying in the socket of a stopped node. Leases work by clocks, so this also says that
//!    leases hold as long as clocks differ by no more than the simulator lets them.

use super::{Chosen, Invariant, Seen};
use vedette_model::{BallotNumber, Instant};

/// See the file's head.
#[derive(Debug, Clone, Default)]
pub struct SupersededLeadersAreSilent {
    /// The highest ballot that each life of each process has commanded under.
    highest: Vec<BallotNumber>,
}

fn same_process(a: &BallotNumber, b: &BallotNumber) -> bool {
    (&a.proposer, a.incarnation) == (&b.proposer, b.incarnation)
}

impl Invariant for SupersededLeadersAreSilent {
    const NAME: &'static str = "4, superseded leaders are silent";

    fn see(&mut self, seen: &Seen<'_>, _chosen: &Chosen, _now: Instant) -> Result<(), String> {
        match seen {
            Seen::Commanded(ballot, ..) => {
                self.highest.retain(|b| !same_process(b, ballot) || b > ballot);
                if !self.highest.iter().any(|b| same_process(b, ballot)) {
                    self.highest.push((*ballot).clone());
                }
                Ok(())
            }
            Seen::Executed(ballot, node, _, false) => {
                let above = |b: &&BallotNumber| *b > *ballot && !same_process(b, ballot);
                match self.highest.iter().find(above) {
                    Some(higher) => Err(format!(
                        "{node} obeyed ballot {ballot} after {higher} had given a command"
                    )),
                    None => Ok(()),
                }
            }
            Seen::Executed(_, _, _, true)
            | Seen::Accepted(..)
            | Seen::Committed(..)
            | Seen::Promised(..)
            | Seen::ReportedDown(..)
            | Seen::Stands(_)
            | Seen::Inspects(..)
            | Seen::Inspected(..)
            | Seen::Proposed(..)
            | Seen::Announced(_)
            | Seen::Froze(..)
            | Seen::Wanted(_)
            | Seen::HandsOver(_)
            | Seen::Reads(..) => Ok(()),
        }
    }
}
