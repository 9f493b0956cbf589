//! What must hold, whatever happens. One file each.

mod i10_switchovers_lose_nothing;
mod i1_one_record_per_revision;
mod i2_one_promotion_per_epoch;
mod i3_promotion_is_justified;
mod i4_superseded_leaders_are_silent;
mod i5_selection_was_allowed;
mod i6_only_members_are_touched;
mod i7_announced_was_committed;
mod i8_readers_never_go_back;
mod i9_all_is_well_in_the_end;

pub use i9_all_is_well_in_the_end::all_is_well_in_the_end;

use std::collections::{BTreeMap, BTreeSet};
use vedette_model::{
    BallotNumber, Command, Epoch, GroupRecord, Instant, MasterRecord, NodeAddr, NodeView, ProberId,
    Roster, RosterVersion, VoterId,
};

/// A thing that happened to a group, as an all-seeing observer sees it.
#[derive(Debug, Clone)]
pub enum Seen<'a> {
    /// A voter has an accepted record on its disk.
    Accepted(&'a VoterId, &'a BallotNumber, &'a GroupRecord),
    /// A majority of voters has it on disk: it has just become committed.
    Committed(&'a BallotNumber, &'a GroupRecord),
    /// A voter has a promise on its disk.
    Promised(&'a VoterId, &'a BallotNumber),
    /// A prober published that a node is down.
    ReportedDown(&'a ProberId, Epoch, &'a NodeAddr),
    /// An orchestrator began to stand with a ballot of its own.
    Stands(&'a BallotNumber),
    /// An orchestrator asked a node to show itself.
    Inspects(&'a BallotNumber, &'a NodeAddr),
    /// The node did; what is true besides what it said comes with it.
    Inspected(&'a BallotNumber, &'a NodeAddr, &'a NodeView, Truth),
    /// An orchestrator proposed a record.
    Proposed(&'a BallotNumber, &'a GroupRecord),
    /// An orchestrator gave out a command that changes a node.
    Commanded(&'a BallotNumber, &'a NodeAddr, &'a Command),
    /// A node carried it out; the flag says that it had been lying at a stopped node.
    Executed(&'a BallotNumber, &'a NodeAddr, &'a Command, bool),
    /// A person asked for another master than the one of this epoch.
    Wanted(Epoch),
    /// The old master of a plan's epoch was frozen, in this life of its process.
    Froze(Epoch, u64),
    /// The target of a switchover is being promoted, while the old master lives.
    HandsOver(Handover),
    /// A master was announced.
    Announced(&'a MasterRecord),
    /// A process's directory shows a record; processes are numbered, lives too.
    Reads(usize, u64, &'a GroupRecord),
}

/// What is true of an old master at the moment at which its successor is promoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handover {
    /// The epoch of the plan.
    pub epoch: Epoch,
    /// Which life of the old master.
    pub life: u64,
    /// Whether it takes writes.
    pub takes_writes: bool,
    /// Bytes that it has and the target has not.
    pub lacks: u64,
}

/// What is true of a node that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Truth {
    /// It belongs to the group.
    pub own: bool,
    /// Its data set is really empty.
    pub empty: bool,
}

/// Sees everything that happens to one group; says what is wrong.
pub trait Invariant {
    /// What it is called in a report.
    const NAME: &'static str;

    /// Takes what happened at `now`.
    ///
    /// # Errors
    /// What is violated, in words.
    fn see(&mut self, seen: &Seen<'_>, chosen: &Chosen, now: Instant) -> Result<(), String>;
}

macro_rules! invariants {
    ($($field:ident: $module:ident :: $name:ident,)+) => {
        /// All that are checked at every step, for one group.
        #[derive(Debug, Clone)]
        pub struct Invariants {
            /// What is committed.
            pub chosen: Chosen,
            $($field: $module::$name,)+
        }

        impl Invariants {
            /// While the voters go by their first roster.
            pub fn new(first: &Roster) -> Self {
                let rosters = [(first.version, first.clone())].into();
                let chosen = Chosen { rosters, ..Chosen::default() };
                Self { chosen, $($field: $module::$name::default(),)+ }
            }

            fn show(&mut self, seen: &Seen<'_>, now: Instant) -> Result<(), String> {
                $(self.$field.see(seen, &self.chosen, now)
                    .map_err(|what| format!("{}: {what}", <$module::$name as Invariant>::NAME))?;)+
                Ok(())
            }
        }
    };
}

invariants! {
    i1: i1_one_record_per_revision::OneRecordPerRevision,
    i2: i2_one_promotion_per_epoch::OnePromotionPerEpoch,
    i3: i3_promotion_is_justified::PromotionIsJustified,
    i4: i4_superseded_leaders_are_silent::SupersededLeadersAreSilent,
    i5: i5_selection_was_allowed::SelectionWasAllowed,
    i6: i6_only_members_are_touched::OnlyMembersAreTouched,
    i7: i7_announced_was_committed::AnnouncedWasCommitted,
    i8: i8_readers_never_go_back::ReadersNeverGoBack,
    i10: i10_switchovers_lose_nothing::SwitchoversLoseNothing,
}

impl Invariants {
    /// Takes what happened; gives the record that has become committed by it.
    ///
    /// # Errors
    /// What is violated, in words.
    pub fn see(&mut self, seen: &Seen<'_>, now: Instant) -> Result<Option<GroupRecord>, String> {
        let Seen::Accepted(voter, ballot, record) = seen else {
            return self.show(seen, now).map(|()| None);
        };
        if !self.chosen.accepted(voter, ballot, record)? {
            return Ok(None);
        }
        self.show(&Seen::Committed(ballot, record), now)?;
        Ok(Some((*record).clone()))
    }
}

/// What a majority of voters has on disk, found out by watching them all.
#[derive(Debug, Clone, Default)]
pub struct Chosen {
    /// Every roster that some voter went by.
    rosters: BTreeMap<RosterVersion, Roster>,
    accepted: BTreeMap<(BallotNumber, u64), (GroupRecord, BTreeSet<VoterId>)>,
    /// The committed record with the highest revision.
    pub newest: Option<GroupRecord>,
}

impl Chosen {
    /// A voter goes by this roster.
    ///
    /// # Errors
    /// Another one goes, or went, by another roster of this version.
    pub fn goes_by(&mut self, roster: &Roster) -> Result<(), String> {
        let first = self.rosters.entry(roster.version).or_insert_with(|| roster.clone());
        if first == roster { Ok(()) } else { Err(format!("two rosters: {first} and {roster}")) }
    }

    /// Whether these voters are a majority of that roster.
    pub fn is_majority(&self, version: RosterVersion, voters: &BTreeSet<VoterId>) -> bool {
        is_majority(self.rosters.get(&version), voters)
    }

    /// Whether the record has just become committed.
    fn accepted(
        &mut self,
        voter: &VoterId,
        ballot: &BallotNumber,
        record: &GroupRecord,
    ) -> Result<bool, String> {
        let key = (ballot.clone(), record.revision.0);
        let new = || (record.clone(), BTreeSet::new());
        let (first, voters) = self.accepted.entry(key).or_insert_with(new);
        if first != record {
            return Err(format!("two proposals under {ballot}: {first:?} and {record:?}"));
        }
        let roster = self.rosters.get(&record.roster);
        let before = is_majority(roster, voters);
        voters.insert(voter.clone());
        let news = !before && is_majority(roster, voters);
        if news && self.newest.as_ref().is_none_or(|n| n.revision < record.revision) {
            self.newest = Some(record.clone());
        }
        Ok(news)
    }
}

fn is_majority(roster: Option<&Roster>, voters: &BTreeSet<VoterId>) -> bool {
    roster.is_some_and(|roster| {
        roster.majority().reached(voters.iter().filter(|voter| roster.contains(voter)).count())
    })
}
