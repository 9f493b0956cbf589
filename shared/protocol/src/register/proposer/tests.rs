//! Scripts: how a ballot is won, kept, used and lost.

mod leading;

use super::*;
use crate::tests::{at, ballot, drain, group, orchestrator, record, roster, voter};
use alloc::vec;
use alloc::vec::Vec;
use vedette_model::{Revision, RosterVersion};

/// Orchestrator `o1`, before voters `v1` to `v3`.
struct Script(Proposer);

impl Script {
    fn new() -> Self {
        Self(Proposer::new(orchestrator(1), 1, group(), roster(3)))
    }

    /// Elected with ballot 1 at 10 ms by `v1` and `v2`, who had accepted nothing.
    fn leading() -> Self {
        let mut script = Self::new();
        script.0.stand(Purpose::Configure, at(0));
        for n in [1, 2] {
            script.0.ballot_answer(answer(1, n, promise(None, 0)), at(10));
        }
        let _ = script.drain();
        script
    }

    fn drain(&mut self) -> Vec<ProposerOutput> {
        drain(|| self.0.poll_output())
    }

    fn stand(&mut self, now: u64) -> Vec<ProposerOutput> {
        self.0.stand(Purpose::Configure, at(now));
        self.drain()
    }

    /// Voter `v<n>` answers ballot `number` of `o1`.
    fn hear(&mut self, now: u64, number: u64, n: usize, said: BallotAnswer) -> Vec<ProposerOutput> {
        self.0.ballot_answer(answer(number, n, said), at(now));
        self.drain()
    }

    /// Wakes the proposer whenever it wants to be woken, up to and including `until`.
    fn run(&mut self, until: u64) -> Vec<(u64, ProposerOutput)> {
        let mut said = Vec::new();
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            self.0.handle_timeout(due);
            let now = due.as_nanos() / 1_000_000;
            said.extend(self.drain().into_iter().map(|output| (now, output)));
            assert!(self.0.poll_timeout().is_none_or(|next| next > due));
        }
        said
    }
}

fn answer(number: u64, n: usize, answer: BallotAnswer) -> Ballot {
    Ballot { group: group(), ballot: ballot(number, 1), voter: voter(n), answer }
}

fn promise(accepted: Option<(BallotNumber, GroupRecord)>, lease_ms: u64) -> BallotAnswer {
    BallotAnswer::Promise { accepted, lease_ms, failover_ms_ago: None }
}

fn refused(why: Refusal, promised: Option<BallotNumber>) -> BallotAnswer {
    BallotAnswer::Refused { why, promised }
}

fn prepare(number: u64) -> ProposerOutput {
    ProposerOutput::Prepare(Candidacy {
        group: group(),
        ballot: ballot(number, 1),
        purpose: Purpose::Configure,
        roster: RosterVersion(1),
    })
}

fn elected(
    number: u64,
    adopted: Option<GroupRecord>,
    act_after: u64,
    votes: &[usize],
) -> ProposerOutput {
    ProposerOutput::Elected {
        ballot: ballot(number, 1),
        adopted,
        act_after: at(act_after),
        failover_ms_ago: None,
        votes: votes.iter().map(|n| voter(*n)).collect(),
    }
}

fn lost_for(refusals: &[(usize, Refusal)]) -> ProposerOutput {
    let refusals = refusals.iter().map(|(n, why)| (voter(*n), why.clone())).collect();
    ProposerOutput::Lost(Lost::Refused(refusals))
}

fn no_majority(answered: usize) -> ProposerOutput {
    ProposerOutput::Lost(Lost::NoMajority { answered })
}

fn revision(number: u64) -> GroupRecord {
    GroupRecord { revision: Revision(number), ..record(3) }
}

#[test]
fn a_majority_of_promises_elects() {
    let mut script = Script::new();
    assert!(script.0.is_idle());
    assert_eq!(script.stand(0), [prepare(1)]);
    assert_eq!(script.hear(10, 1, 2, promise(None, 0)), []);
    assert_eq!(script.0.ballot(), None);
    assert_eq!(script.hear(20, 1, 3, promise(None, 0)), [elected(1, None, 20, &[2, 3])]);
    assert_eq!(script.0.ballot(), Some(&ballot(1, 1)));
    assert_eq!(script.hear(30, 1, 1, promise(None, 300)), [], "it is elected already");
}

#[test]
fn a_voter_that_says_it_twice_promises_once() {
    let mut script = Script::new();
    let _ = script.stand(0);
    for _ in 0..5 {
        assert_eq!(script.hear(10, 1, 2, promise(None, 0)), []);
    }
}

#[test]
fn strangers_and_other_ballots_elect_nobody() {
    let mut script = Script::new();
    let _ = script.stand(0);
    let _ = script.stand(0);
    for n in [4, 5] {
        assert_eq!(script.hear(10, 2, n, promise(None, 0)), [], "not on the roster");
    }
    for n in [1, 2, 3] {
        assert_eq!(script.hear(10, 1, n, promise(None, 0)), [], "of the candidacy before");
    }
    let mut other_life = answer(2, 1, promise(None, 0));
    other_life.ballot.incarnation = 9;
    script.0.ballot_answer(other_life, at(10));
    assert_eq!(script.hear(10, 2, 2, promise(None, 0)), []);
}

#[test]
fn what_is_highest_by_ballot_then_revision_is_adopted() {
    let (low, middle, high) = (revision(9), revision(4), revision(5));
    let mut orders = vec![[0, 1, 2], [2, 1, 0], [1, 2, 0]];
    for order in orders.drain(..) {
        let mut script = Script(Proposer::new(orchestrator(1), 1, group(), roster(5)));
        let _ = script.stand(0);
        let accepted = [
            Some((ballot(1, 1), low.clone())),
            Some((ballot(2, 1), middle.clone())),
            Some((ballot(2, 1), high.clone())),
        ];
        let mut said = vec![];
        for (n, which) in order.into_iter().enumerate() {
            said = script.hear(10, 1, n + 1, promise(accepted[which].clone(), 0));
        }
        assert_eq!(said, [elected(1, Some(high.clone()), 10, &[1, 2, 3])]);
    }
}

#[test]
fn what_one_voter_accepted_is_adopted_although_the_others_know_nothing() {
    let mut script = Script::new();
    let _ = script.stand(0);
    let _ = script.hear(10, 1, 1, promise(None, 0));
    let said = script.hear(10, 1, 3, promise(Some((ballot(1, 2), revision(1))), 0));
    assert_eq!(said, [elected(1, Some(revision(1)), 10, &[1, 3])]);
}

#[test]
fn nothing_is_done_before_the_longest_lease_is_over() {
    let mut script = Script::new();
    let _ = script.stand(0);
    let _ = script.hear(10, 1, 1, promise(None, 120));
    assert_eq!(script.hear(40, 1, 2, promise(None, 250)), [elected(1, None, 290, &[1, 2])]);
}

#[test]
fn voters_are_asked_again_every_100_ms_and_given_up_after_500() {
    let mut script = Script::new();
    let _ = script.stand(0);
    let said = script.run(10_000);
    let mut expected: Vec<_> = [100, 200, 300, 400].map(|at| (at, prepare(1))).into();
    expected.push((500, no_majority(0)));
    assert_eq!(said, expected);
    assert!(script.0.is_idle());
}

#[test]
fn too_few_answers_are_no_majority_and_say_how_many() {
    let mut script = Script::new();
    let _ = script.stand(0);
    let _ = script.hear(10, 1, 1, promise(None, 0));
    assert_eq!(script.run(10_000).pop(), Some((500, no_majority(1))));
}

#[test]
fn a_promise_and_a_refusal_in_time_are_a_refusal() {
    let mut script = Script::new();
    let _ = script.stand(0);
    let _ = script.hear(10, 1, 1, promise(None, 0));
    let _ = script.hear(10, 1, 2, refused(Refusal::NotOdown, None));
    let said = script.run(10_000).pop();
    assert_eq!(said, Some((500, lost_for(&[(2, Refusal::NotOdown)]))));
}

#[test]
fn refusals_end_it_as_soon_as_no_majority_is_left() {
    let mut script = Script::new();
    let _ = script.stand(0);
    assert_eq!(script.hear(10, 1, 3, refused(Refusal::NotOdown, None)), []);
    assert_eq!(script.hear(10, 1, 3, refused(Refusal::NotOdown, None)), [], "once each");
    let said = script.hear(20, 1, 1, refused(Refusal::Paused, None));
    assert_eq!(said, [lost_for(&[(1, Refusal::Paused), (3, Refusal::NotOdown)])]);
    assert_eq!(script.hear(30, 1, 2, promise(None, 0)), [], "too late");
    assert_eq!(script.0.poll_timeout(), None);
}

#[test]
fn a_voter_that_refused_may_promise_when_it_is_asked_again() {
    let mut script = Script::new();
    let _ = script.stand(0);
    assert_eq!(script.hear(10, 1, 1, refused(Refusal::NotOdown, None)), []);
    assert_eq!(script.hear(110, 1, 1, promise(None, 0)), []);
    assert_eq!(script.hear(115, 1, 2, refused(Refusal::NotOdown, None)), [], "one of three");
    assert_eq!(script.hear(120, 1, 3, promise(None, 0)), [elected(1, None, 120, &[1, 3])]);
}

#[test]
fn the_next_ballot_is_higher_than_any_it_heard_of() {
    let mut script = Script::new();
    let _ = script.stand(0);
    let _ = script.hear(10, 1, 1, refused(Refusal::OlderBallot, Some(ballot(7, 2))));
    assert_eq!(script.stand(20), [prepare(8)]);
    script.0.heard_of(&ballot(20, 3));
    script.0.heard_of(&ballot(11, 3));
    assert_eq!(script.stand(30), [prepare(21)]);
    // Also from a refusal that comes too late to count.
    let _ = script.hear(40, 1, 1, refused(Refusal::OlderBallot, Some(ballot(30, 2))));
    assert_eq!(script.stand(50), [prepare(31)]);
}

#[test]
fn a_leader_that_hears_of_a_commit_under_a_higher_ballot_is_one_no_more() {
    let mut script = Script::leading();
    script.0.committed_under(&ballot(1, 1));
    assert!(script.0.ballot().is_some(), "its own");
    script.0.committed_under(&ballot(9, 2));
    assert_eq!(script.0.ballot(), None);
    let said = drain(|| script.0.poll_output());
    assert_eq!(said, [ProposerOutput::Lost(Lost::Superseded)]);
    assert_eq!(script.stand(60), [prepare(10)]);
}

#[test]
fn a_ballot_at_the_end_of_numbers_does_no_harm() {
    let mut script = Script::new();
    script.0.heard_of(&ballot(u64::MAX, 2));
    assert_eq!(script.stand(0), [prepare(u64::MAX)]);
}

#[test]
fn to_stand_gives_up_what_is_held() {
    let mut script = Script::leading();
    assert_eq!(script.stand(50), [prepare(2)]);
    assert_eq!((script.0.ballot(), script.0.lease_end()), (None, None));
}
