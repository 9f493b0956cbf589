//! Each reason to refuse a candidacy, and its end.

use super::*;
use vedette_model::Pause;

#[test]
fn a_candidate_of_another_roster_is_refused() {
    let mut script = Script::new();
    let mut other = roster(3);
    other.version = RosterVersion(2);
    let candidacy = Candidacy {
        group: group(),
        ballot: ballot(1, 1),
        purpose: Purpose::Configure,
        roster: RosterVersion(1),
    };
    let said = script.acceptor.candidacy(&candidacy, &other, true, at(0));
    let why = Refusal::OtherRoster { version: RosterVersion(2) };
    assert_eq!(said.answer.answer, BallotAnswer::Refused { why, promised: None });
    assert!(!said.persist);
}

#[test]
fn a_failover_needs_the_voters_own_odown() {
    let mut script = Script::with_record(|_| {});
    assert_eq!(script.refusal(10, (2, 2), failover()), Refusal::NotOdown);
    script.odown = true;
    assert!(script.stand(20, (2, 2), failover()).0);
}

#[test]
fn a_failover_must_be_of_the_recorded_master_and_epoch() {
    let mut script = Script::new();
    script.odown = true;
    let why = script.refusal(0, (2, 2), failover());
    assert_eq!(why, Refusal::OtherMaster { epoch: Epoch(0) }, "no record at all");
    let mut script = Script::with_record(|r| (r.epoch, r.master) = (Epoch(3), node(1)));
    script.odown = true;
    let moved_on = Refusal::OtherMaster { epoch: Epoch(3) };
    assert_eq!(script.refusal(10, (2, 2), failover()), moved_on);
    let other_node = Purpose::Failover { epoch: Epoch(3), master: node(2) };
    assert_eq!(script.refusal(10, (2, 2), other_node), moved_on);
    let right = Purpose::Failover { epoch: Epoch(3), master: node(1) };
    assert!(script.stand(10, (2, 2), right).0);
}

#[test]
fn a_paused_group_is_not_failed_over() {
    let mut script = Script::with_record(|r| r.pause = Some(Pause::for_good("maintenance".into())));
    script.odown = true;
    assert_eq!(script.refusal(10, (2, 2), failover()), Refusal::Paused);
}

#[test]
fn a_held_group_is_not_failed_over_before_it_is_released() {
    let mut script = Script::with_record(|r| r.flapping.held = true);
    script.odown = true;
    assert_eq!(script.refusal(10, (2, 2), failover()), Refusal::Held);
    assert!(script.stand(10, (2, 2), Purpose::Configure).0, "that is how it is released");
}

#[test]
fn the_rest_after_a_failover_doubles_with_each_in_a_row_up_to_five_minutes() {
    let cases = [(0, 2_000), (1, 2_000), (2, 4_000), (3, 8_000), (9, 300_000), (u32::MAX, 300_000)];
    for (count, rest) in cases {
        let mut script = Script::with_record(|_| {});
        script.odown = true;
        let mut next = revision(2);
        next.settings.hold_off_ms = 2_000;
        next.flapping.count = count;
        (next.epoch, next.master) = (Epoch(2), node(2));
        next.switch.reason = SwitchReason::Failover;
        let _ = script.propose(1_000, 2, 2, &next);
        let again = Purpose::Failover { epoch: Epoch(2), master: node(2) };
        let why = script.refusal(1_000, (3, 3), again);
        assert_eq!(why, Refusal::HeldOff { remaining_ms: rest }, "after {count}");
    }
}

#[test]
fn while_a_failover_is_under_way_nothing_else_begins() {
    let mut script = Script::with_record(under_way);
    script.odown = true;
    assert_eq!(script.refusal(9_000, (2, 2), failover()), Refusal::FailoverUnderWay);
    assert_eq!(script.refusal(9_000, (2, 2), Purpose::Configure), Refusal::FailoverUnderWay);
}

#[test]
fn a_voter_without_a_record_has_no_failover_to_take_over() {
    assert_eq!(Script::new().refusal(9_000, (2, 2), Purpose::Takeover), Refusal::NoFailover);
}

#[test]
fn a_voter_that_missed_the_plan_votes_for_the_takeover_as_well() {
    let mut script = Script::with_record(|_| {});
    let why = script.refusal(400, (2, 2), Purpose::Takeover);
    assert_eq!(why, Refusal::LeaderAlive { remaining_ms: 100 }, "but not sooner than the others");
    let (_, answer) = script.stand(500, (2, 2), Purpose::Takeover);
    assert_eq!(answer, promise(Some((1, &record(3)))));
}

#[test]
fn a_takeover_needs_half_a_second_of_its_leaders_silence() {
    let mut script = Script::with_record(under_way);
    let alive = |remaining_ms| Refusal::LeaderAlive { remaining_ms };
    assert_eq!(script.refusal(100, (2, 2), Purpose::Takeover), alive(400));
    assert!(script.beat(200, 1, 1));
    assert_eq!(script.refusal(600, (2, 2), Purpose::Takeover), alive(100));
    assert_eq!(script.refusal(699, (2, 2), Purpose::Takeover), alive(1));
    assert!(script.stand(700, (2, 2), Purpose::Takeover).0);
}

#[test]
fn whoever_is_denied_is_not_heard() {
    let mut script = Script::with_record(under_way);
    assert!(script.stand(500, (3, 3), Purpose::Takeover).0);
    assert!(!script.beat(900, 1, 1));
    assert!(script.stand(1_000, (4, 2), Purpose::Takeover).0, "the beat of ballot 1 is no life");
}

#[test]
fn a_proposal_is_a_sign_of_life() {
    let mut script = Script::with_record(under_way);
    let mut next = revision(2);
    under_way(&mut next);
    assert_eq!(script.propose(450, 1, 1, &next), (true, ProposalAnswer::Accepted));
    let why = script.refusal(500, (2, 2), Purpose::Takeover);
    assert_eq!(why, Refusal::LeaderAlive { remaining_ms: 450 });
}

#[test]
fn restart_counts_the_leader_as_just_heard() {
    let mut script = Script::with_record(under_way);
    script.restart(9_000);
    let why = script.refusal(9_100, (2, 2), Purpose::Takeover);
    assert_eq!(why, Refusal::LeaderAlive { remaining_ms: 400 });
    assert!(script.stand(9_500, (2, 2), Purpose::Takeover).0);
}

#[test]
fn after_a_failover_the_next_is_held_off() {
    let mut script = Script::with_record(|r| r.settings.hold_off_ms = 2_000);
    script.odown = true;
    let mut next = revision(2);
    next.settings.hold_off_ms = 2_000;
    (next.epoch, next.master) = (Epoch(2), node(2));
    next.switch.reason = SwitchReason::Failover;
    assert_eq!(script.propose(1_000, 2, 2, &next), (true, ProposalAnswer::Accepted));
    let again = || Purpose::Failover { epoch: Epoch(2), master: node(2) };
    let held = |remaining_ms| Refusal::HeldOff { remaining_ms };
    assert_eq!(script.refusal(1_500, (3, 3), again()), held(1_500));
    // A later revision of the same reign does not begin it anew.
    next.revision = Revision(3);
    assert_eq!(script.propose(2_000, 2, 2, &next), (true, ProposalAnswer::Accepted));
    assert_eq!(script.refusal(2_999, (3, 3), again()), held(1));
    assert!(script.stand(3_000, (3, 3), again()).0);
}

#[test]
fn a_seeded_master_is_not_held_off() {
    let mut script = Script::new();
    assert!(script.propose(0, 1, 1, &record(3)).0);
    script.odown = true;
    assert!(script.stand(1, (2, 2), failover()).0);
}

#[test]
fn to_configure_needs_no_condition_but_quiet() {
    assert!(Script::new().stand(0, (1, 1), Purpose::Configure).0);
    assert!(Script::with_record(|_| {}).stand(0, (2, 2), Purpose::Configure).0);
}

#[test]
fn a_removed_group_is_not_failed_over_and_may_be_watched_again() {
    let mut script = Script::with_record(|r| *r = r.buried());
    script.odown = true;
    assert_eq!(script.refusal(10, (2, 2), failover()), Refusal::OtherMaster { epoch: Epoch(1) });
    assert!(script.stand(10, (2, 2), Purpose::Configure).0);
}
