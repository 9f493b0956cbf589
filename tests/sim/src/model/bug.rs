//! Known bugs that can be put back, to see the model catch them.

use super::records::code;
use vedette_model::{Ballot, BallotAnswer, Fact, GroupRecord};

/// A bug, planted in the model's wrapper round the cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bug {
    /// A voter answers before its store has synced.
    AnswerBeforeSync,
    /// A voter's store keeps the record and forgets the promise.
    PromiseNotStored,
    /// A voter accepts a proposal of a ballot older than the one it promised.
    AcceptOlder,
    /// A leader starts from the record that it knew instead of the highest among the promises.
    AdoptOwnMemory,
    /// A leader starts from any record among the promises, not the highest.
    AdoptLowest,
    /// Majorities are of the voters that one hears: `o1` counts by `v1`, `o2` by the others.
    MajorityOfTheHeard,
    /// Who takes over chooses a target of its own under the plan's epoch.
    TargetChosenAnew,
    /// A plan takes the record's epoch + 1, also if a plan had that before.
    EpochUsedAgain,
    /// A voter agrees to another roster while records are not settled under the present one.
    UnsettledChanged,
    /// A voter that lost its file votes at once.
    VoteWithoutMemory,
    /// A voter that lost its file does not wait until candidacies that it voted for are over.
    RejoinAtOnce,
    /// Whoever answers one that lost its file goes on to accept ballots up to the floor.
    FloorNotKept,
    /// A voter that was restarted believes that nobody has a lease.
    LeaseForgotten,
    /// A promise does not say how much of the old lease is left.
    LeaseNotTold,
    /// A voter that grants a lease forgets that another may still have one.
    OneLeaseKept,
    /// A leader sends commands without waiting for the old lease.
    ActAtOnce,
    /// A leader counts its lease from its election.
    LeaseFromPromise,
    /// A leader counts its lease for longer than voters do.
    LeaseTooLong,
    /// A voter that lost its file counts by the newest roster only, and not by the one before.
    NewestRosterOnly,
}

/// The planted bug: any record among the promises, not the highest.
pub(super) fn lowest(heard: &[&Fact]) -> Option<GroupRecord> {
    let accepted = heard.iter().filter_map(|fact| match fact {
        Fact::Ballot(Ballot { answer: BallotAnswer::Promise { accepted, .. }, .. }) => {
            accepted.as_ref()
        }
        _ => None,
    });
    let lowest = accepted.min_by_key(|(ballot, record)| (code(ballot), record.revision));
    lowest.map(|(_, record)| record.clone())
}
