//! A promise whose holder falls silent is over after two seconds.

use super::*;

/// Ballot 2 of `o2` is promised at 1 s.
fn promised() -> Script {
    let mut script = Script::with_record(|_| {});
    let (persist, said) = script.stand(1_000, (2, 2), Purpose::Configure);
    assert!(persist && matches!(said, BallotAnswer::Promise { .. }), "{said:?}");
    script
}

#[test]
fn its_holder_may_propose_for_two_seconds_and_not_later() {
    for (now, answer) in [(3_000, ProposalAnswer::Accepted), (3_001, ProposalAnswer::Lapsed)] {
        let mut script = promised();
        assert_eq!(script.propose(now, 2, 2, &revision(2)).1, answer, "at {now}");
    }
}

#[test]
fn every_sign_of_its_holder_counts() {
    let mut script = promised();
    assert!(script.beat(2_900, 2, 2));
    assert_eq!(script.propose(4_900, 2, 2, &revision(2)), (true, ProposalAnswer::Accepted));
    assert!(script.beat(6_900, 2, 2));
}

#[test]
fn a_late_beat_does_not_bring_it_back() {
    let mut script = promised();
    assert!(!script.beat(3_001, 2, 2));
    assert_eq!(script.propose(3_002, 2, 2, &revision(2)), (false, ProposalAnswer::Lapsed));
}

#[test]
fn nor_does_a_late_copy_of_the_candidacy() {
    let mut script = promised();
    let _ = script.stand(2_900, (2, 2), Purpose::Configure);
    assert_eq!(script.propose(3_100, 2, 2, &revision(2)).1, ProposalAnswer::Lapsed);
}

#[test]
fn somebody_elses_proposal_is_no_sign_of_it() {
    let mut script = promised();
    assert!(matches!(
        script.propose(2_900, 1, 1, &revision(2)).1,
        ProposalAnswer::Superseded { .. }
    ));
    assert_eq!(script.propose(3_100, 2, 2, &revision(2)).1, ProposalAnswer::Lapsed);
}

#[test]
fn after_a_restart_it_counts_as_heard_just_now() {
    let mut script = promised();
    script.restart(9_000);
    assert_eq!(script.propose(11_000, 2, 2, &revision(2)), (true, ProposalAnswer::Accepted));
}

#[test]
fn the_next_ballot_is_promised_as_ever() {
    let mut script = promised();
    assert!(script.stand(9_000, (3, 2), Purpose::Configure).0);
    assert_eq!(script.propose(9_100, 3, 2, &revision(2)), (true, ProposalAnswer::Accepted));
}

#[test]
fn a_leader_that_is_learned_of_by_its_commit_is_heard() {
    let mut script = promised();
    let committed = RecordCommitted { ballot: ballot(5, 1), record: revision(2) };
    assert!(script.acceptor.committed(&committed, at(60_000)));
    assert!(script.beat(60_050, 5, 1), "it is alive, and was never promised anything here");
    assert_eq!(script.propose(60_100, 5, 1, &revision(3)), (true, ProposalAnswer::Accepted));
}
