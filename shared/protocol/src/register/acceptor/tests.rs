//! Scripts: what one voter promises, accepts and refuses.

mod lapses;
mod leases;
mod refusals;

use super::*;
use crate::tests::{at, ballot, group, node, orchestrator, record, roster, voter};
use vedette_model::{Epoch, Failover, LossBound, Revision, RosterVersion};

/// A voter of a roster of three that may say ODOWN.
struct Script {
    acceptor: Acceptor,
    odown: bool,
}

impl Script {
    /// A voter that never heard of the group.
    fn new() -> Self {
        let acceptor = Acceptor::new(voter(1), group(), at(0));
        Self { acceptor, odown: false }
    }

    /// A voter that accepted the record of three nodes in ballot 1 of `o1`, long ago.
    fn with_record(change: impl FnOnce(&mut GroupRecord)) -> Self {
        let mut script = Self::new();
        let mut record = record(3);
        change(&mut record);
        assert_eq!(script.propose(0, 1, 1, &record), (true, ProposalAnswer::Accepted));
        script
    }

    /// Ballot `number` of `o<n>` asks for votes. Whether to persist, and the answer.
    fn stand(
        &mut self,
        now: u64,
        (number, n): (u64, usize),
        purpose: Purpose,
    ) -> (bool, BallotAnswer) {
        let roster = roster(3);
        let (ballot, version) = (ballot(number, n), roster.version);
        let candidacy = Candidacy { group: group(), ballot, purpose, roster: version };
        let said = self.acceptor.candidacy(&candidacy, &roster, self.odown, at(now));
        assert_eq!((&said.answer.group, &said.answer.ballot), (&group(), &candidacy.ballot));
        assert_eq!(said.answer.voter, voter(1));
        (said.persist, said.answer.answer)
    }

    /// Why a candidacy is refused; nothing may have changed by it.
    fn refusal(&mut self, now: u64, by: (u64, usize), purpose: Purpose) -> Refusal {
        let before = self.acceptor.stored().clone();
        let (persist, answer) = self.stand(now, by, purpose);
        assert_eq!((persist, self.acceptor.stored()), (false, &before));
        match answer {
            BallotAnswer::Refused { why, promised } => {
                assert_eq!(promised, before.promised);
                why
            }
            BallotAnswer::Promise { .. } => panic!("promised"),
        }
    }

    fn propose(
        &mut self,
        now: u64,
        number: u64,
        n: usize,
        record: &GroupRecord,
    ) -> (bool, ProposalAnswer) {
        let proposal = Proposal {
            ballot: ballot(number, n),
            roster: RosterVersion(1),
            record: record.clone(),
        };
        let said = self.acceptor.proposal(&proposal, at(now));
        assert_eq!((&said.answer.group, &said.answer.ballot), (&group(), &proposal.ballot));
        assert_eq!((&said.answer.voter, said.answer.revision), (&voter(1), record.revision));
        (said.persist, said.answer.answer)
    }

    fn beat(&mut self, now: u64, number: u64, n: usize) -> bool {
        let beat =
            Beat { group: group(), ballot: ballot(number, n), roster: RosterVersion(1), beat: 7 };
        let reply = self.acceptor.beat(&beat, at(now));
        assert_eq!((&reply.ballot, reply.beat, &reply.voter), (&beat.ballot, 7, &voter(1)));
        reply.granted
    }

    /// The process is killed and comes back with what it had on disk.
    fn restart(&mut self, now: u64) {
        self.acceptor = Acceptor::restore(voter(1), self.acceptor.stored().clone(), at(now));
    }

    /// The lease a candidate is told of, in milliseconds.
    fn lease(&mut self, now: u64, number: u64, n: usize) -> u64 {
        match self.stand(now, (number, n), Purpose::Configure).1 {
            BallotAnswer::Promise { lease_ms, .. } => lease_ms,
            BallotAnswer::Refused { why, .. } => panic!("{why}"),
        }
    }
}

fn promise(accepted: Option<(u64, &GroupRecord)>) -> BallotAnswer {
    let accepted = accepted.map(|(number, record)| (ballot(number, 1), record.clone()));
    BallotAnswer::Promise { accepted, lease_ms: 0, failover_ms_ago: None }
}

fn superseded(number: u64, n: usize) -> ProposalAnswer {
    ProposalAnswer::Superseded { promised: ballot(number, n) }
}

/// Replace node 1, master of epoch 1.
fn failover() -> Purpose {
    Purpose::Failover { epoch: Epoch(1), master: node(1) }
}

/// The record with a plan to promote node 2.
fn under_way(record: &mut GroupRecord) {
    let plan = Failover {
        epoch: Epoch(2),
        leader: orchestrator(1),
        failed: node(1),
        target: node(2),
        rejected: alloc::vec![],
        loss: LossBound::default(),
        trace_id: record.trace_id(),
        flapping: vedette_model::Flapping::default(),
        perhaps_announced: false,
        reason: vedette_model::PlanReason::Odown,
    };
    record.failover = Some(plan);
}

fn revision(number: u64) -> GroupRecord {
    GroupRecord { revision: Revision(number), ..record(3) }
}

#[test]
fn a_promise_is_written_down_and_hands_over_what_was_accepted() {
    let mut script = Script::new();
    let said = script.stand(1_000, (1, 1), Purpose::Configure);
    assert_eq!(said, (true, promise(None)));
    assert_eq!(script.acceptor.stored().promised, Some(ballot(1, 1)));
    assert_eq!(script.propose(1_001, 1, 1, &revision(1)), (true, ProposalAnswer::Accepted));
    let said = script.stand(2_000, (2, 2), Purpose::Configure);
    assert_eq!(said, (true, promise(Some((1, &revision(1))))));
    assert_eq!(script.acceptor.stored().promised, Some(ballot(2, 2)));
}

#[test]
fn a_voter_never_promises_an_older_ballot() {
    let mut script = Script::new();
    let _ = script.stand(0, (5, 2), Purpose::Configure);
    for older in [(1, 1), (4, 3), (5, 1)] {
        assert_eq!(script.refusal(10, older, Purpose::Configure), Refusal::OlderBallot);
    }
    for newer in [(5, 3), (6, 1)] {
        assert!(script.stand(10, newer, Purpose::Configure).0, "{newer:?}");
    }
}

#[test]
fn another_life_of_the_same_proposer_is_another_ballot() {
    let mut script = Script::new();
    let roster = roster(3);
    let mut candidacy = Candidacy {
        group: group(),
        ballot: BallotNumber { incarnation: 2, ..ballot(1, 1) },
        purpose: Purpose::Configure,
        roster: roster.version,
    };
    assert!(script.acceptor.candidacy(&candidacy, &roster, false, at(0)).persist);
    candidacy.ballot.incarnation = 1;
    let said = script.acceptor.candidacy(&candidacy, &roster, false, at(0));
    assert!(matches!(said.answer.answer, BallotAnswer::Refused { why: Refusal::OlderBallot, .. }));
}

#[test]
fn a_repeated_candidacy_gets_the_same_promise_and_nothing_is_written() {
    let mut script = Script::with_record(|_| {});
    let first = script.stand(1_000, (2, 2), Purpose::Configure);
    let again = script.stand(1_100, (2, 2), Purpose::Configure);
    assert_eq!((first.0, again.0), (true, false));
    assert_eq!(first.1, again.1);
}

#[test]
fn a_voter_never_accepts_an_older_ballot() {
    let mut script = Script::with_record(|_| {});
    let _ = script.stand(10, (5, 2), Purpose::Configure);
    let before = script.acceptor.stored().clone();
    assert_eq!(script.propose(20, 1, 1, &revision(2)), (false, superseded(5, 2)));
    assert_eq!(script.propose(20, 5, 1, &revision(2)), (false, superseded(5, 2)));
    assert_eq!(*script.acceptor.stored(), before);
    assert_eq!(script.propose(30, 5, 2, &revision(2)), (true, ProposalAnswer::Accepted));
}

#[test]
fn a_proposal_of_a_ballot_it_did_not_promise_is_accepted_and_promised_if_it_is_higher() {
    let mut script = Script::with_record(|_| {});
    assert_eq!(script.propose(10, 7, 3, &revision(2)), (true, ProposalAnswer::Accepted));
    assert_eq!(script.acceptor.stored().promised, Some(ballot(7, 3)));
    assert_eq!(script.acceptor.record(), Some(&revision(2)));
}

#[test]
fn a_repeated_proposal_is_accepted_again_and_nothing_is_written() {
    let mut script = Script::with_record(|_| {});
    assert_eq!(script.propose(10, 1, 1, &record(3)), (false, ProposalAnswer::Accepted));
}

#[test]
fn within_a_ballot_revisions_never_go_back() {
    let mut script = Script::with_record(|_| {});
    assert_eq!(script.propose(10, 1, 1, &revision(3)), (true, ProposalAnswer::Accepted));
    // A late copy: neither accepted nor a sign of another leader.
    assert_eq!(script.propose(20, 1, 1, &revision(2)), (false, superseded(1, 1)));
    assert_eq!(script.acceptor.record(), Some(&revision(3)));
}

#[test]
fn a_revision_has_one_record_under_one_ballot() {
    let mut script = Script::with_record(|_| {});
    let other = GroupRecord { master: node(2), ..record(3) };
    assert_eq!(script.propose(10, 1, 1, &other), (false, superseded(1, 1)));
    assert_eq!(script.acceptor.record(), Some(&record(3)));
}

#[test]
fn a_higher_ballot_may_leave_out_what_only_a_minority_accepted() {
    let mut script = Script::with_record(|_| {});
    assert_eq!(script.propose(10, 1, 1, &revision(9)), (true, ProposalAnswer::Accepted));
    assert_eq!(script.propose(20, 2, 2, &revision(2)), (true, ProposalAnswer::Accepted));
    assert_eq!(script.acceptor.record(), Some(&revision(2)));
}

#[test]
fn a_beat_is_granted_unless_a_higher_ballot_is_promised() {
    let mut script = Script::with_record(|_| {});
    assert!(script.beat(10, 1, 1));
    assert!(script.beat(10, 2, 2), "of a ballot it has yet to hear of");
    let _ = script.stand(20, (5, 3), Purpose::Configure);
    assert!(!script.beat(30, 1, 1));
    assert!(!script.beat(30, 5, 2));
    assert!(script.beat(30, 5, 3));
}

fn committed(number: u64, record: GroupRecord) -> RecordCommitted {
    RecordCommitted { ballot: ballot(number, 1), record }
}

#[test]
fn that_a_record_is_committed_is_news_once() {
    let mut script = Script::with_record(|_| {});
    assert!(script.acceptor.committed(&committed(1, record(3)), at(10)));
    assert!(!script.acceptor.committed(&committed(1, record(3)), at(20)));
    assert_eq!(script.acceptor.stored().committed, Some(committed(1, record(3))));
    assert!(script.acceptor.committed(&committed(2, revision(4)), at(30)));
    assert!(!script.acceptor.committed(&committed(1, revision(3)), at(40)), "a late one");
    assert_eq!(script.acceptor.stored().committed, Some(committed(2, revision(4))));
}

#[test]
fn what_is_committed_is_accepted_by_a_voter_that_missed_the_proposal() {
    let mut script = Script::with_record(|_| {});
    assert!(script.acceptor.committed(&committed(2, revision(2)), at(10)));
    assert_eq!(script.acceptor.stored().accepted, Some((ballot(2, 1), revision(2))));
    assert_eq!(script.acceptor.stored().promised, Some(ballot(2, 1)));
}

#[test]
fn what_is_committed_is_accepted_also_by_a_voter_that_promised_somebody_else() {
    let mut script = Script::with_record(|_| {});
    let _ = script.stand(5, (9, 2), Purpose::Configure);
    assert!(script.acceptor.committed(&committed(2, revision(2)), at(10)));
    assert_eq!(script.acceptor.stored().accepted, Some((ballot(2, 1), revision(2))));
    assert_eq!(script.acceptor.stored().promised, Some(ballot(9, 2)), "the promise stands");
    assert_eq!(script.propose(20, 2, 1, &revision(3)), (false, superseded(9, 2)));
}

#[test]
fn that_a_record_is_committed_grants_nobody_a_lease() {
    let mut script = Script::with_record(|_| {});
    assert!(script.acceptor.committed(&committed(2, revision(2)), at(5_000)));
    assert_eq!(script.lease(5_010, 3, 2), 0, "it is no answer to its leader");
}

#[test]
fn a_record_nobody_is_at_is_left_unsettled_after_a_second() {
    let mut script = Script::with_record(|_| {});
    assert!(!script.acceptor.is_left_unsettled(RosterVersion(1), at(1_000)));
    assert!(script.acceptor.is_left_unsettled(RosterVersion(1), at(1_001)));
    let _ = script.beat(1_500, 1, 1);
    assert!(!script.acceptor.is_left_unsettled(RosterVersion(1), at(2_500)), "its leader is at it");
    assert!(script.acceptor.is_left_unsettled(RosterVersion(1), at(2_501)));
    let _ = script.acceptor.committed(&committed(1, record(3)), at(2_600));
    assert!(!script.acceptor.is_left_unsettled(RosterVersion(1), at(9_000)));
    assert!(
        !Script::new().acceptor.is_left_unsettled(RosterVersion(1), at(9_000)),
        "no record, nothing to settle"
    );
}

#[test]
fn what_was_learned_without_a_promise_is_promised() {
    let mut script = Script::with_record(|_| {});
    let _ = script.propose(1_000, 5, 1, &revision(2));
    let learned = Stored { promised: None, ..script.acceptor.stored().clone() };
    script.acceptor = Acceptor::restore(voter(1), learned, at(2_000));
    assert_eq!(script.propose(2_001, 5, 1, &revision(2)), (false, ProposalAnswer::Accepted));
    let (_, said) = script.stand(3_000, (4, 2), Purpose::Configure);
    assert!(matches!(said, BallotAnswer::Refused { why: Refusal::OlderBallot, .. }), "{said:?}");
}
