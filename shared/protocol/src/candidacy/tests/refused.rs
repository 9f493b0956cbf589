//! What was refused is tried again as soon as its reason may have gone.

use super::*;
use vedette_model::RosterVersion;

fn refused(refusals: &[(usize, Refusal)]) -> Lost {
    Lost::Refused(refusals.iter().map(|(n, why)| (voter(*n), why.clone())).collect())
}

/// A candidate that stood at 0 and lost at 1,000 ms, whose voters still say ODOWN.
fn lost(rank: u32, why: &Lost) -> Script {
    let mut script = Script::ranked(rank);
    let _ = script.odown(0);
    let _ = script.run(900);
    for n in [1, 2, 3] {
        let _ = script.hear(900, n, true);
    }
    script.0.lost(why, at(1_000));
    script
}

#[test]
fn each_reason_has_its_pause() {
    let version = RosterVersion(2);
    let cases = [
        (Refusal::OlderBallot, 10),
        (Refusal::NotOdown, 100),
        (Refusal::OtherMaster { epoch: Epoch(2) }, 200),
        (Refusal::NoFailover, 200),
        (Refusal::Paused, 1_000),
        (Refusal::StoreFailed, 1_000),
        (Refusal::OtherRoster { version }, 2_000),
        (Refusal::HeldOff { remaining_ms: 777 }, 777),
        (Refusal::LeaderAlive { remaining_ms: 123 }, 123),
    ];
    for (why, pause) in cases {
        let mut script = lost(0, &refused(&[(1, why.clone()), (3, why.clone())]));
        assert_eq!(script.run(3_500), [(1_000 + pause, failover())], "{why}");
        let mut script = lost(2, &refused(&[(1, why.clone()), (3, why.clone())]));
        assert_eq!(script.run(3_500), [(1_100 + pause, failover())], "{why}, rank 2");
    }
    for (why, pause) in [(Lost::Superseded, 100), (Lost::NoMajority { answered: 1 }, 250)] {
        assert_eq!(lost(0, &why).run(3_500), [(1_000 + pause, failover())], "{why:?}");
    }
}

#[test]
fn of_several_reasons_those_count_without_which_there_is_no_majority() {
    let held_off = |remaining_ms| Refusal::HeldOff { remaining_ms };
    // The third voter says yes, so the first to come round makes a majority.
    let two = refused(&[(1, Refusal::OlderBallot), (2, held_off(900))]);
    assert_eq!(lost(0, &two).run(3_500), [(1_010, failover())]);
    let three = refused(&[(1, Refusal::OlderBallot), (2, held_off(900)), (3, held_off(500))]);
    assert_eq!(lost(0, &three).run(3_500), [(1_500, failover())]);
    // One alone can keep nobody from a majority; the others were not heard in time.
    let one = refused(&[(1, held_off(900))]);
    assert_eq!(lost(0, &one).run(3_500), [(1_010, failover())]);
}

#[test]
fn a_pause_without_end_does_no_harm() {
    let mut script =
        lost(9, &refused(&[1, 2].map(|n| (n, Refusal::HeldOff { remaining_ms: u64::MAX }))));
    assert_eq!(script.run(100_000), []);
}

#[test]
fn a_failover_that_only_a_voter_knows_of_is_taken_over() {
    let mut script = lost(0, &refused(&[1, 2].map(|n| (n, Refusal::FailoverUnderWay))));
    assert_eq!(script.run(3_500), [(1_100, TAKEOVER)]);
    // And if the voters know no more than that, it is a failover again.
    script.0.lost(&refused(&[(1, Refusal::NoFailover), (2, Refusal::NoFailover)]), at(1_200));
    assert_eq!(script.run(3_500), [(1_400, failover())]);
}

#[test]
fn a_newer_record_ends_the_guess() {
    let mut script = lost(0, &refused(&[1, 2].map(|n| (n, Refusal::FailoverUnderWay))));
    script.0.record(&record(3), at(1_010));
    assert_eq!(script.run(3_500), [(1_100, failover())]);
}

#[test]
fn what_stands_in_the_way_is_said_in_words() {
    let cases = [
        (Lost::Superseded, "odown by 3 voters; superseded by a higher ballot"),
        (
            Lost::NoMajority { answered: 1 },
            "odown by 3 voters; only 1 of 3 voters answered in time and 2 are needed: start the \
             missing voters or mend their network",
        ),
        (
            refused(&[(1, Refusal::Paused), (3, Refusal::NotOdown)]),
            "odown by 3 voters; refused by v1: the group is paused, v3: the voter's own verdict \
             is not odown",
        ),
    ];
    for (why, text) in cases {
        assert_eq!(lost(0, &why).0.standing(), text);
    }
    let mut script = Script::new();
    script.0.ended(Duration::from_secs(1), "no replica".to_string(), at(0));
    assert_eq!(script.0.standing(), "", "of no interest while nothing is wanted");
    script.0.set_work(true);
    assert_eq!(script.0.standing(), "no replica");
}
