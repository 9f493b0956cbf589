//! The register, searched exhaustively within small bounds; and known bugs, each found.
//! `cargo model` searches further.

use vedette_sim::model::{Bug, Scope, check};

#[track_caller]
fn holds(scope: Scope) {
    let report = check(scope);
    assert!(report.is_good(), "{report}");
}

/// The bug breaks one of these properties, and the steps to it are told.
#[track_caller]
fn breaks(scope: Scope, properties: &[&str]) {
    let report = check(scope);
    let [(property, steps)] = report.broken.as_slice() else { panic!("not found: {report}") };
    assert!(properties.contains(property), "{report}");
    assert!(!steps.is_empty());
}

const LOST: &str = "what was chosen is never lost";
const EARLY: &str = "a leader starts from what was chosen";
const HELD: &str = "every majority holds what was chosen";
const WORD: &str = "a voter keeps its word";

#[test]
fn three_ballots_keep_one_history() {
    holds(Scope::small());
}

#[test]
fn a_crash_between_write_and_sync_breaks_nothing() {
    holds(Scope::disk());
}

#[test]
fn an_answer_before_the_sync_is_found() {
    breaks(Scope::disk().with(Bug::AnswerBeforeSync), &[WORD]);
}

#[test]
fn a_promise_that_is_not_stored_is_found() {
    breaks(Scope::small().with(Bug::PromiseNotStored), &[WORD]);
}

#[test]
fn accepting_below_the_promise_is_found() {
    breaks(Scope::small().with(Bug::AcceptOlder), &[WORD]);
}

#[test]
fn starting_from_ones_own_memory_is_found() {
    breaks(Scope::small().with(Bug::AdoptOwnMemory), &[EARLY, LOST]);
}

#[test]
fn starting_from_any_promise_is_found() {
    breaks(Scope::small().with(Bug::AdoptLowest), &[EARLY, LOST]);
}

#[test]
fn a_majority_of_those_that_are_heard_is_found() {
    breaks(
        Scope::small().with(Bug::MajorityOfTheHeard),
        &["what a leader takes for committed is chosen"],
    );
}

#[test]
fn a_takeover_with_another_target_is_found() {
    breaks(Scope::takeover().with(Bug::TargetChosenAnew), &["an epoch promotes one node at most"]);
}

#[test]
fn an_epoch_given_twice_is_found() {
    breaks(Scope::takeover().with(Bug::EpochUsedAgain), &["an epoch promotes one node at most"]);
}

#[test]
fn a_voter_that_lost_its_file_and_rejoins_breaks_nothing() {
    holds(Scope::rejoin());
}

#[test]
fn a_voter_that_votes_without_its_memory_is_found() {
    breaks(Scope::rejoin().with(Bug::VoteWithoutMemory), &[WORD, HELD, LOST, EARLY]);
}

#[test]
fn a_voter_that_rejoins_without_waiting_is_found() {
    breaks(Scope::rejoin().with(Bug::RejoinAtOnce), &[WORD, HELD, LOST, EARLY]);
}

#[test]
fn a_floor_that_is_not_kept_is_found() {
    breaks(Scope::rejoin().with(Bug::FloorNotKept), &[WORD, HELD, LOST, EARLY]);
}

#[test]
fn two_changes_of_the_roster_break_nothing() {
    holds(Scope::roster());
}

#[test]
fn a_second_change_before_all_is_settled_is_found() {
    breaks(Scope::roster().with(Bug::UnsettledChanged), &[HELD, LOST, EARLY]);
}

#[test]
fn a_lost_file_while_the_roster_changes_breaks_nothing() {
    holds(Scope::replace());
}

#[test]
fn counting_by_the_newest_roster_only_is_found() {
    breaks(Scope::replace().with(Bug::NewestRosterOnly), &[HELD, LOST, EARLY]);
}

const BOTH_ACT: &[&str] = &["no two leaders may send commands at once"];

#[test]
fn a_lease_is_over_before_the_next_leader_sends_commands() {
    holds(Scope::handover());
}

#[test]
fn a_lease_that_a_restarted_voter_forgot_is_found() {
    breaks(Scope::handover().with(Bug::LeaseForgotten), BOTH_ACT);
}

#[test]
fn a_lease_that_a_promise_does_not_tell_is_found() {
    breaks(Scope::handover().with(Bug::LeaseNotTold), BOTH_ACT);
}

#[test]
fn a_lease_forgotten_for_a_newer_one_is_found() {
    breaks(Scope::tenures().with(Bug::OneLeaseKept), BOTH_ACT);
}

#[test]
fn a_leader_that_does_not_wait_is_found() {
    breaks(Scope::handover().with(Bug::ActAtOnce), BOTH_ACT);
}

#[test]
fn a_lease_counted_from_the_promise_is_found() {
    breaks(Scope::handover().with(Bug::LeaseFromPromise), BOTH_ACT);
}

#[test]
fn a_lease_counted_too_long_is_found() {
    breaks(Scope::handover().with(Bug::LeaseTooLong), BOTH_ACT);
}
