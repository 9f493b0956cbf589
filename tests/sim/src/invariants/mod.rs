//! What must hold, whatever happens. One file each.

mod i1_one_record_per_revision;
mod i2_one_promotion_per_epoch;
mod i3_promotion_is_justified;
mod i6_only_members_are_touched;
mod i7_announced_was_committed;
mod i8_readers_never_go_back;
mod i9_all_is_well_in_the_end;

pub use i1_one_record_per_revision::OneRecordPerRevision;
pub use i2_one_promotion_per_epoch::OnePromotionPerEpoch;
pub use i3_promotion_is_justified::PromotionIsJustified;
pub use i6_only_members_are_touched::OnlyMembersAreTouched;
pub use i7_announced_was_committed::AnnouncedWasCommitted;
pub use i8_readers_never_go_back::ReadersNeverGoBack;
pub use i9_all_is_well_in_the_end::all_is_well_in_the_end;

use vedette_model::{
    BallotNumber, Command, Epoch, GroupRecord, Instant, MasterRecord, NodeAddr, ProberId, VoterId,
};

/// A thing that happened, as an all-seeing observer sees it.
#[derive(Debug, Clone)]
pub enum Seen<'a> {
    /// A voter has an accepted record on its disk.
    Accepted(&'a VoterId, &'a BallotNumber, &'a GroupRecord),
    /// A voter has a promise on its disk.
    Promised(&'a VoterId, &'a BallotNumber),
    /// A prober published that a node is down.
    ReportedDown(&'a ProberId, Epoch, &'a NodeAddr),
    /// An orchestrator gave out a command that changes a node.
    Commanded(&'a NodeAddr, &'a Command),
    /// A node was promoted.
    Promoted(&'a NodeAddr),
    /// A master was announced.
    Announced(&'a MasterRecord),
    /// A process's directory shows a record; processes are numbered, lives too.
    Reads(usize, u64, &'a GroupRecord),
}

/// Sees everything; says what is wrong.
pub trait Invariant: std::fmt::Debug {
    /// Takes what happened at `now`.
    ///
    /// # Errors
    /// What is violated, in words.
    fn see(&mut self, seen: &Seen<'_>, now: Instant) -> Result<(), String>;
}

/// All that are checked at every step.
pub fn all(voters: usize, quorum: usize) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(OneRecordPerRevision::new(voters)),
        Box::new(OnePromotionPerEpoch::new(voters)),
        Box::new(PromotionIsJustified::new(voters, quorum)),
        Box::new(OnlyMembersAreTouched::new(voters)),
        Box::new(AnnouncedWasCommitted::new(voters)),
        Box::<ReadersNeverGoBack>::default(),
    ]
}

/// What a majority of voters has on disk, found out by watching them all.
#[derive(Debug, Default)]
pub struct Chosen {
    majority: usize,
    accepted: std::collections::BTreeMap<
        (BallotNumber, u64),
        (GroupRecord, std::collections::BTreeSet<VoterId>),
    >,
    /// The committed record with the highest revision.
    pub newest: Option<GroupRecord>,
}

impl Chosen {
    /// For a roster of so many.
    pub fn new(voters: usize) -> Self {
        Self { majority: voters / 2 + 1, ..Self::default() }
    }

    /// Takes an accepted record; gives it back if it has just become committed.
    pub fn accepted(
        &mut self,
        voter: &VoterId,
        ballot: &BallotNumber,
        record: &GroupRecord,
    ) -> Option<&GroupRecord> {
        let key = (ballot.clone(), record.revision.0);
        let entry = self.accepted.entry(key).or_insert_with(|| (record.clone(), [].into()));
        let news = entry.1.insert(voter.clone()) && entry.1.len() == self.majority;
        if !news {
            return None;
        }
        let higher = self.newest.as_ref().is_none_or(|n| n.revision < record.revision);
        if higher {
            self.newest = Some(record.clone());
        }
        Some(&entry.0)
    }
}
