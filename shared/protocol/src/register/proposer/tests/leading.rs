//! What a leader proposes, how its lease lasts, and how it learns that it leads no more.

use super::*;

fn accept(record: &GroupRecord) -> ProposerOutput {
    ProposerOutput::Accept(Proposal {
        ballot: ballot(1, 1),
        roster: RosterVersion(1),
        record: record.clone(),
    })
}

fn committed(record: &GroupRecord) -> ProposerOutput {
    let committed = RecordCommitted { ballot: ballot(1, 1), record: record.clone() };
    ProposerOutput::Committed(committed)
}

fn superseded(number: u64) -> ProposalAnswer {
    ProposalAnswer::Superseded { promised: ballot(number, 2) }
}

impl Script {
    fn propose(&mut self, now: u64, record: &GroupRecord) -> Vec<ProposerOutput> {
        self.0.propose(record.clone(), at(now));
        self.drain()
    }

    /// Voter `v<n>` answers the proposal of a revision under ballot 1.
    fn reply(
        &mut self,
        now: u64,
        n: usize,
        revision: u64,
        answer: ProposalAnswer,
    ) -> Vec<ProposerOutput> {
        let (ballot, revision) = (ballot(1, 1), Revision(revision));
        let reply = ProposalReply { group: group(), ballot, revision, voter: voter(n), answer };
        self.0.proposal_answer(reply, at(now));
        self.drain()
    }

    fn beat_reply(&mut self, n: usize, beat: u64, granted: bool) -> Vec<ProposerOutput> {
        let ballot = ballot(1, 1);
        self.0.beat_answer(BeatReply { group: group(), ballot, beat, voter: voter(n), granted });
        self.drain()
    }
}

fn beats(said: &[(u64, ProposerOutput)]) -> Vec<(u64, u64)> {
    let beat = |(at, output): &(u64, ProposerOutput)| match output {
        ProposerOutput::Beat(beat) => Some((*at, beat.beat)),
        ProposerOutput::Prepare(_)
        | ProposerOutput::Accept(_)
        | ProposerOutput::Elected { .. }
        | ProposerOutput::Committed(_)
        | ProposerOutput::Lost(_) => None,
    };
    said.iter().filter_map(beat).collect()
}

#[test]
fn a_majority_of_accepts_commits_and_says_so_once() {
    let mut script = Script::leading();
    assert_eq!(script.propose(20, &revision(1)), [accept(&revision(1))]);
    for _ in 0..3 {
        assert_eq!(script.reply(30, 3, 1, ProposalAnswer::Accepted), [], "one voter");
    }
    assert_eq!(script.reply(30, 1, 1, ProposalAnswer::Accepted), [committed(&revision(1))]);
    assert_eq!(script.reply(30, 2, 1, ProposalAnswer::Accepted), []);
}

#[test]
fn only_answers_of_voters_to_this_ballot_and_revision_count() {
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(2));
    for n in [1, 2, 3] {
        assert_eq!(script.reply(30, n, 1, ProposalAnswer::Accepted), [], "another revision");
    }
    for n in [4, 5] {
        assert_eq!(script.reply(30, n, 2, ProposalAnswer::Accepted), [], "not on the roster");
    }
    for n in [1, 2, 3] {
        let (ballot, answer) = (ballot(2, 1), ProposalAnswer::Accepted);
        let revision = Revision(2);
        let reply = ProposalReply { group: group(), ballot, revision, voter: voter(n), answer };
        script.0.proposal_answer(reply, at(30));
        assert_eq!(script.drain(), [], "another ballot");
    }
}

#[test]
fn one_proposal_at_a_time_and_only_by_a_leader() {
    let mut script = Script::new();
    assert_eq!(script.propose(0, &revision(1)), []);
    let _ = script.stand(0);
    assert_eq!(script.propose(0, &revision(1)), []);
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(1));
    assert_eq!(script.propose(20, &revision(2)), []);
    let _ = script.reply(30, 1, 1, ProposalAnswer::Accepted);
    let _ = script.reply(30, 2, 1, ProposalAnswer::Accepted);
    assert_eq!(script.propose(40, &revision(2)), [accept(&revision(2))]);
}

#[test]
fn a_proposal_is_repeated_every_100_ms_until_it_is_committed() {
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(1));
    let said: Vec<_> =
        script.run(250).into_iter().filter(|(_, o)| *o == accept(&revision(1))).collect();
    assert_eq!(said, [(120, accept(&revision(1))), (220, accept(&revision(1)))]);
    let _ = script.reply(260, 1, 1, ProposalAnswer::Accepted);
    let _ = script.reply(260, 2, 1, ProposalAnswer::Accepted);
    let later = script.run(600);
    assert_eq!(beats(&later).len(), later.len(), "nothing but beats");
}

#[test]
fn a_leader_beats_at_once_and_then_every_100_ms() {
    let mut script = Script::leading();
    assert_eq!(beats(&script.run(350)), [(10, 1), (110, 2), (210, 3), (310, 4)]);
}

#[test]
fn the_lease_is_300_ms_from_when_a_majority_was_asked_that_answered() {
    let mut script = Script::leading();
    assert_eq!(script.0.lease_end(), None, "promises are no lease");
    let _ = script.run(210);
    let _ = script.beat_reply(1, 1, true);
    assert_eq!(script.0.lease_end(), None, "one of three");
    let _ = script.beat_reply(2, 3, true);
    assert_eq!(script.0.lease_end(), Some(at(310)), "beat 1 was sent at 10 ms");
    let _ = script.beat_reply(1, 2, true);
    assert_eq!(script.0.lease_end(), Some(at(410)));
    let _ = script.beat_reply(1, 1, true);
    assert_eq!(script.0.lease_end(), Some(at(410)), "a late answer takes nothing back");
    let _ = script.beat_reply(3, 3, true);
    assert_eq!(script.0.lease_end(), Some(at(510)), "two were asked at 210 ms");
    let _ = script.beat_reply(1, 99, true);
    assert_eq!(script.0.lease_end(), Some(at(510)), "a beat that was never sent");
    let _ = script.beat_reply(9, 3, true);
    assert_eq!(script.0.lease_end(), Some(at(510)), "a stranger");
}

#[test]
fn an_accepted_proposal_is_contact_from_when_it_was_first_sent() {
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(1));
    let _ = script.run(150);
    let _ = script.reply(150, 1, 1, ProposalAnswer::Accepted);
    let _ = script.reply(160, 2, 1, ProposalAnswer::Accepted);
    assert_eq!(script.0.lease_end(), Some(at(320)));
}

#[test]
fn a_leader_is_superseded_when_a_majority_promised_higher() {
    for by_beat in [false, true] {
        let mut script = Script::leading();
        let _ = script.propose(20, &revision(1));
        assert_eq!(script.reply(30, 1, 1, superseded(9)), [], "a minority cannot stop it");
        assert_eq!(script.reply(30, 1, 1, superseded(9)), []);
        assert!(script.0.ballot().is_some());
        let said = if by_beat {
            script.beat_reply(3, 1, false)
        } else {
            script.reply(40, 3, 1, superseded(9))
        };
        assert_eq!(said, [ProposerOutput::Lost(Lost::Superseded)]);
        assert_eq!((script.0.ballot(), script.0.lease_end()), (None, None));
        assert_eq!(script.stand(50), [prepare(10)], "and it goes above next time");
    }
}

#[test]
fn the_majority_commits_although_one_voter_promised_higher() {
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(1));
    let _ = script.reply(30, 1, 1, superseded(9));
    let _ = script.reply(30, 2, 1, ProposalAnswer::Accepted);
    assert_eq!(script.reply(30, 3, 1, ProposalAnswer::Accepted), [committed(&revision(1))]);
}

#[test]
fn its_own_late_copy_and_a_failed_store_supersede_nobody() {
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(1));
    for n in [1, 2, 3] {
        let own = ProposalAnswer::Superseded { promised: ballot(1, 1) };
        assert_eq!(script.reply(30, n, 1, own), []);
        assert_eq!(script.reply(30, n, 1, ProposalAnswer::StoreFailed), []);
    }
    assert!(script.0.ballot().is_some());
}

#[test]
fn a_leader_without_a_majority_for_two_seconds_gives_up() {
    let mut script = Script::leading();
    let _ = script.run(500);
    let _ = script.beat_reply(1, 5, true);
    let _ = script.beat_reply(2, 4, true);
    let last = script.run(10_000).pop();
    // The newest moment at which two were asked that answered is 310 ms.
    assert_eq!(last, Some((2_310, no_majority(2))));
    assert!(script.0.is_idle());
}

#[test]
fn a_proposal_is_as_good_as_a_beat() {
    let mut script = Script::leading();
    let _ = script.propose(10, &revision(1));
    assert_eq!(beats(&script.run(109)), [(10, 1)], "the first is for other orchestrators");
    for n in [1, 2] {
        let _ = script.reply(109, n, 1, ProposalAnswer::Accepted);
    }
    assert_eq!(script.0.lease_end(), Some(at(310)), "from when it was proposed");
    let _ = script.propose(109, &revision(2));
    assert_eq!(beats(&script.run(208)), []);
    assert_eq!(beats(&script.run(400)), [(209, 2), (309, 3)], "its voters may never answer");
}

#[test]
fn a_leader_that_wakes_after_two_seconds_proposes_nothing() {
    let mut script = Script::leading();
    assert_eq!(script.propose(2_020, &revision(1)), [no_majority(0)]);
    assert!(script.0.is_idle());
}

#[test]
fn voters_whose_promises_lapsed_end_it_when_no_majority_is_left() {
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(1));
    assert_eq!(script.reply(30, 1, 1, ProposalAnswer::Lapsed), []);
    let said = script.reply(30, 2, 1, ProposalAnswer::Lapsed);
    assert_eq!(said, [ProposerOutput::Lost(Lost::Superseded)]);
}

#[test]
fn who_resigns_says_no_more() {
    let mut script = Script::leading();
    let _ = script.propose(20, &revision(1));
    script.0.resign();
    assert_eq!(script.0.poll_timeout(), None);
    for n in [1, 2, 3] {
        assert_eq!(script.reply(30, n, 1, ProposalAnswer::Accepted), []);
        assert_eq!(script.beat_reply(n, 1, false), []);
    }
    assert_eq!(script.stand(40), [prepare(2)], "a ballot is never used twice");
}
