//! How long the ballot before may still act, as a candidate is told.

use super::*;

/// A voter whose lease of the beginning is over, with ballot 1 of `o1` granted at 1 s.
fn granted() -> Script {
    let mut script = Script::with_record(|_| {});
    assert!(script.beat(1_000, 1, 1));
    script
}

#[test]
fn a_candidate_is_told_how_long_the_ballot_before_may_act() {
    for (now, left) in [(1_000, 300), (1_120, 180), (1_299, 1), (1_300, 0), (5_000, 0)] {
        assert_eq!(granted().lease(now, 2, 2), left, "at {now}");
    }
}

#[test]
fn a_part_of_a_millisecond_is_told_as_a_whole() {
    let mut script = granted();
    let roster = roster(3);
    let candidacy = Candidacy {
        group: group(),
        ballot: ballot(2, 2),
        purpose: Purpose::Configure,
        roster: roster.version,
    };
    let now = at(1_299) + Duration::from_nanos(1);
    let said = script.acceptor.candidacy(&candidacy, &roster, false, now);
    assert!(matches!(said.answer.answer, BallotAnswer::Promise { lease_ms: 1, .. }));
}

#[test]
fn a_process_does_not_wait_for_itself() {
    assert_eq!(granted().lease(1_100, 2, 1), 0);
}

#[test]
fn another_life_of_the_same_proposer_waits() {
    let mut script = granted();
    let roster = roster(3);
    let candidacy = Candidacy {
        group: group(),
        ballot: BallotNumber { incarnation: 2, ..ballot(2, 1) },
        purpose: Purpose::Configure,
        roster: roster.version,
    };
    let said = script.acceptor.candidacy(&candidacy, &roster, false, at(1_100));
    assert!(matches!(said.answer.answer, BallotAnswer::Promise { lease_ms: 200, .. }));
}

#[test]
fn a_proposal_accepted_is_a_lease_as_well() {
    let mut script = granted();
    assert_eq!(script.propose(1_200, 1, 1, &revision(2)), (true, ProposalAnswer::Accepted));
    assert_eq!(script.lease(1_300, 2, 2), 200);
}

#[test]
fn a_promise_alone_is_no_lease() {
    let mut script = granted();
    assert_eq!(script.lease(2_000, 2, 2), 0);
    assert_eq!(script.lease(2_010, 3, 3), 0);
}

#[test]
fn a_second_ballot_of_one_process_still_waits_for_the_one_before_its_first() {
    let mut script = granted();
    assert_eq!(script.lease(1_050, 2, 2), 250);
    assert!(script.beat(1_060, 2, 2));
    assert_eq!(script.lease(1_070, 3, 2), 230, "o1 may act until 1,300");
    assert!(script.beat(1_080, 3, 2));
    assert_eq!(script.lease(1_090, 4, 2), 210);
    assert_eq!(script.lease(1_100, 5, 3), 280, "and o2 until 1,380");
}

#[test]
fn restart_counts_a_whole_lease_against_everybody() {
    for n in [1, 2] {
        let mut script = granted();
        script.restart(5_000);
        assert_eq!(script.lease(5_100, 2, n), 200, "whom it granted it did not write down");
    }
}
