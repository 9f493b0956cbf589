//! What is written down before what is said.

use super::*;
use proptest::prelude::*;
use vedette_model::RosterVersion;

#[test]
fn a_promise_is_written_down_before_it_is_given() {
    let mut script = Script::new();
    let said = script.hear(400, candidacy(2, Purpose::Configure));
    let disk = Stored { promised: Some(ballot(2, 2)), ..stored(&record(3)) };
    let promise = BallotAnswer::Promise {
        accepted: disk.accepted.clone(),
        lease_ms: 0,
        failover_ms_ago: None,
    };
    assert_eq!(said, [Output::Persist(disk), answer(2, promise.clone())]);
    let again = script.hear(410, candidacy(2, Purpose::Configure));
    assert_eq!(again, [answer(2, promise)], "once");
}

#[test]
fn a_record_is_written_down_before_it_is_accepted() {
    let mut script = Script::new();
    let disk = Stored {
        promised: Some(ballot(2, 2)),
        accepted: Some((ballot(2, 2), revision(2))),
        ..stored(&record(3))
    };
    let ok = || accepted(2, &revision(2), ProposalAnswer::Accepted);
    let said = script.hear(400, proposal(2, &revision(2)));
    assert_eq!(said, [Output::Persist(disk), ok()]);
    assert_eq!(script.hear(410, proposal(2, &revision(2))), [ok()], "once");
}

#[test]
fn a_refusal_writes_nothing() {
    let mut script = Script::new();
    let cases = [
        (candidacy(2, failover()), Refusal::NotOdown),
        (candidacy(2, Purpose::Takeover), Refusal::LeaderAlive { remaining_ms: 100 }),
        (candidacy(0, Purpose::Configure), Refusal::OlderBallot),
        (
            Candidacy { roster: RosterVersion(9), ..candidacy(2, Purpose::Configure) },
            Refusal::OtherRoster { version: RosterVersion(1) },
        ),
    ];
    for (candidacy, why) in cases {
        let number = candidacy.ballot.number;
        assert_eq!(script.hear(400, candidacy), [refused(number, why)]);
    }
    let older = ProposalAnswer::Superseded { promised: ballot(1, 1) };
    let said = script.hear(400, proposal(0, &revision(2)));
    assert_eq!(said, [accepted(0, &revision(2), older)]);
}

#[test]
fn that_a_record_is_committed_is_written_down() {
    let mut script = Script::new();
    let committed = RecordCommitted { ballot: ballot(2, 2), record: revision(2) };
    let disk = Stored {
        group: group(),
        promised: Some(ballot(2, 2)),
        accepted: Some((ballot(2, 2), revision(2))),
        committed: Some(committed.clone()),
    };
    assert_eq!(script.hear(400, committed.clone()), [Output::Persist(disk)]);
    assert_eq!(script.hear(400, committed), []);
}

#[test]
fn a_voter_whose_store_failed_refuses_everything_and_says_so() {
    let mut script = Script::new();
    script.store_fails(100);
    let said = script.hear(400, candidacy(2, Purpose::Configure));
    assert_eq!(said, [refused(2, Refusal::StoreFailed)]);
    let said = script.hear(400, proposal(2, &revision(2)));
    assert_eq!(said, [accepted(2, &revision(2), ProposalAnswer::StoreFailed)]);
    let beat = Beat { group: group(), ballot: ballot(1, 1), roster: RosterVersion(1), beat: 1 };
    assert_eq!(script.hear(400, beat), [], "its grant would be worth nothing");
    let committed = RecordCommitted { ballot: ballot(2, 2), record: revision(2) };
    assert_eq!(script.hear(400, committed), []);
    let why = "the store failed (disk full): this voter no longer votes; mend the disk and \
               restart it";
    assert_eq!(script.wake(500), [heartbeat(2, Health::Impaired(why.into()), vec![])]);
}

/// Anything that makes a voter write or answer.
fn facts() -> impl Strategy<Value = Fact> {
    let number = 0_u64..6;
    let ballots = (number, 1_usize..4).prop_map(|(number, n)| ballot(number, n));
    let purpose = prop_oneof![Just(Purpose::Configure), Just(Purpose::Takeover), Just(failover())];
    prop_oneof![
        (ballots.clone(), purpose)
            .prop_map(|(ballot, purpose)| { Candidacy { ballot, ..candidacy(0, purpose) }.into() }),
        (ballots.clone(), 1_u64..6).prop_map(|(ballot, n)| Proposal {
            ballot,
            roster: RosterVersion(1),
            record: revision(n)
        }
        .into()),
        (ballots.clone(), 1_u64..6).prop_map(|(ballot, n)| RecordCommitted {
            ballot,
            record: revision(n)
        }
        .into()),
        (ballots, 1_u64..6).prop_map(|(ballot, beat)| Beat {
            group: group(),
            ballot,
            roster: RosterVersion(1),
            beat
        }
        .into()),
    ]
}

/// Whether what an answer says would still be so if the voter were killed right after it.
fn is_on_disk(disk: &Stored, fact: &Fact) -> bool {
    let promised = |wanted: &BallotNumber| disk.promised.as_ref() >= Some(wanted);
    if let Fact::Ballot(reply) = fact {
        return match &reply.answer {
            BallotAnswer::Promise { accepted, .. } => {
                disk.promised.as_ref() == Some(&reply.ballot) && disk.accepted == *accepted
            }
            BallotAnswer::Refused { promised: highest, .. } => {
                highest.as_ref().is_none_or(promised)
            }
        };
    }
    if let Fact::ProposalReply(reply) = fact {
        return match &reply.answer {
            ProposalAnswer::Accepted => disk.accepted.as_ref().is_some_and(|(ballot, record)| {
                (ballot, record.revision) == (&reply.ballot, reply.revision)
            }),
            ProposalAnswer::Superseded { promised: highest } => promised(highest),
            ProposalAnswer::OtherRoster { .. }
            | ProposalAnswer::Lapsed
            | ProposalAnswer::Joining
            | ProposalAnswer::StoreFailed => true,
        };
    }
    matches!(fact, Fact::BeatReply(_))
}

proptest! {
    #[test]
    fn every_persist_comes_before_the_reply_it_protects(
        script in prop::collection::vec((0_u64..400, facts(), prop::bool::weighted(0.1)), 0..60),
    ) {
        let mut voter = Voter::new(config(), Some(Meta::first(roster(3))), vec![], at(0));
        let mut disk: Option<Stored> = None;
        let mut now = 0;
        for (wait, fact, killed) in script {
            now += wait;
            if killed {
                voter = Voter::new(config(), Some(Meta::first(roster(3))), disk.iter().cloned().collect(), at(now));
            }
            voter.handle(Input::Fact { fact, reply_to: Some(TO.to_string()) }, at(now));
            while let Some(output) = voter.poll_output() {
                match output {
                    Output::Persist(stored) => disk = Some(stored),
                    Output::Reply { fact, .. } => {
                        let disk = disk.clone().unwrap_or(Stored {
                            group: group(),
                            promised: None,
                            accepted: None,
                            committed: None,
                        });
                        prop_assert!(is_on_disk(&disk, &fact), "{:?} before {:?}", fact, disk);
                    }
                    Output::PersistMeta(_) | Output::Publish(_) => {}
                }
            }
            let accepted = disk.as_ref().and_then(|d| d.accepted.as_ref()).map(|(_, r)| r);
            prop_assert_eq!(voter.record(&group()), accepted, "it judges by what is on disk");
        }
    }
}
