//! Scripts: what a voter hears, and exactly what it writes down and says.

mod reports;
mod writes;

use super::*;
use crate::tests::{at, ballot, drain, group, node, place, prober, record, roster, voter};
use alloc::string::ToString;
use alloc::vec;
use vedette_model::{
    BeatReply, Digest, DigestReply, Epoch, Event, Evidence, Heartbeat, NodeState, OdownVerdict,
    Purpose, Revision, RosterVersion, Service, StatusQuery,
};

/// The incarnation of voter `v1` in these scripts.
const LIFE: u64 = 5;
const TO: &str = "reply.here";

fn config() -> Config {
    Config {
        sender: Sender::parse(Service::Voter, "v1", LIFE).unwrap(),
        id: voter(1),
        place: place("here"),
        roster: roster(3),
    }
}

/// What a voter that accepted and knows as committed this record has on disk.
fn stored(record: &GroupRecord) -> Stored {
    let ballot = ballot(1, 1);
    Stored {
        group: record.group.clone(),
        promised: Some(ballot.clone()),
        accepted: Some((ballot.clone(), record.clone())),
        committed: Some(RecordCommitted { ballot, record: record.clone() }),
    }
}

struct Script(Voter);

impl Script {
    /// A voter that holds the record of a group of three nodes, and has beaten once, at 0.
    fn new() -> Self {
        Self::restarted(0, vec![stored(&record(3))])
    }

    fn restarted(now: u64, stored: Vec<Stored>) -> Self {
        let mut script = Self(Voter::new(config(), Some(Meta::first(roster(3))), stored, at(now)));
        let said = script.wake(now);
        assert_eq!(said, [beat(1)]);
        script
    }

    /// What it says when woken, besides its questions to the other voters.
    fn wake(&mut self, now: u64) -> Vec<Output> {
        let mut said = self.wake_whole(now);
        said.retain(|output| !matches!(output, Output::Publish(Fact::Digest(_))));
        said
    }

    fn wake_whole(&mut self, now: u64) -> Vec<Output> {
        self.0.handle_timeout(at(now));
        drain(|| self.0.poll_output())
    }

    /// Wakes the voter whenever it wants to be woken, up to and including `until`; what it says
    /// besides its heartbeats.
    fn run(&mut self, until: u64) -> Vec<(u64, Output)> {
        let mut said = Vec::new();
        while let Some(due) = self.0.poll_timeout().filter(|due| *due <= at(until)) {
            let now = due.as_nanos() / 1_000_000;
            let outputs = self.wake(now).into_iter();
            said.extend(outputs.filter(|o| !is_heartbeat(o)).map(|output| (now, output)));
            assert!(self.0.poll_timeout().is_some_and(|next| next > due));
        }
        said
    }

    fn hear(&mut self, now: u64, fact: impl Into<Fact>) -> Vec<Output> {
        let reply_to = Some(TO.to_string());
        self.0.handle(Input::Fact { fact: fact.into(), reply_to }, at(now));
        drain(|| self.0.poll_output())
    }

    fn store_fails(&mut self, now: u64) {
        self.0.handle(Input::StoreFailed { why: "disk full".into() }, at(now));
    }
}

fn is_heartbeat(output: &Output) -> bool {
    matches!(output, Output::Publish(Fact::Heartbeat(_)))
}

fn reply(fact: impl Into<Fact>) -> Output {
    Output::Reply { to: TO.to_string(), fact: fact.into() }
}

fn heartbeat(tick: u64, health: Health, standings: Vec<Standing>) -> Output {
    Output::Publish(
        Heartbeat {
            service: Service::Voter,
            id: "v1".into(),
            incarnation: LIFE,
            tick,
            place: place("here"),
            health,
            roster: Some(roster(3)),
            standings,
            serves: None,
            back: false,
            host: None,
        }
        .into(),
    )
}

fn beat(tick: u64) -> Output {
    heartbeat(tick, Health::Well, vec![])
}

fn candidacy(number: u64, purpose: Purpose) -> Candidacy {
    let ballot = ballot(number, 2);
    Candidacy { group: group(), ballot, purpose, roster: roster(3).version }
}

fn failover() -> Purpose {
    Purpose::Failover { epoch: Epoch(1), master: node(1) }
}

fn answer(number: u64, answer: BallotAnswer) -> Output {
    reply(Ballot { group: group(), ballot: ballot(number, 2), voter: voter(1), answer })
}

fn refused(number: u64, why: Refusal) -> Output {
    answer(number, BallotAnswer::Refused { why, promised: Some(ballot(1, 1)) })
}

fn proposal(number: u64, record: &GroupRecord) -> Proposal {
    Proposal { ballot: ballot(number, 2), roster: RosterVersion(1), record: record.clone() }
}

fn accepted(number: u64, record: &GroupRecord, answer: ProposalAnswer) -> Output {
    reply(ProposalReply {
        group: group(),
        ballot: ballot(number, 2),
        revision: record.revision,
        voter: voter(1),
        answer,
    })
}

fn revision(number: u64) -> GroupRecord {
    GroupRecord { revision: Revision(number), ..record(3) }
}

#[test]
fn it_beats_at_once_and_then_every_half_second() {
    let mut script = Script::new();
    for (now, expected) in [(499, vec![]), (500, vec![beat(2)]), (1_000, vec![beat(3)])] {
        assert_eq!(script.wake(now), expected, "at {now}");
    }
}

#[test]
fn asked_for_its_status_it_says_what_it_thinks_of_each_group() {
    let mut script = Script::new();
    let standing = Standing { group: group(), epoch: Epoch(1), text: String::new() };
    let said = script.hear(10, StatusQuery {});
    assert_eq!(said, [heartbeat(2, Health::Well, vec![standing])]);
}

#[test]
fn a_question_that_wants_no_answer_gets_none_but_is_written_down() {
    let mut script = Script::new();
    let fact = candidacy(2, Purpose::Configure).into();
    script.0.handle(Input::Fact { fact, reply_to: None }, at(400));
    let said = drain(|| script.0.poll_output());
    assert!(matches!(said[..], [Output::Persist(_)]), "{said:?}");
}

#[test]
fn a_voter_answers_from_its_store_after_a_restart() {
    let mut script = Script::new();
    let said = script.hear(400, candidacy(7, Purpose::Configure));
    let [Output::Persist(disk), Output::Reply { .. }] = &said[..] else { panic!("{said:?}") };
    let mut script = Script::restarted(10_000, vec![disk.clone()]);
    assert_eq!(script.0.record(&group()), Some(&record(3)));
    let why = Refusal::OlderBallot;
    let promised = Some(ballot(7, 2));
    assert_eq!(
        script.hear(10_400, candidacy(6, Purpose::Configure)),
        [answer(6, BallotAnswer::Refused { why, promised })]
    );
}

#[test]
fn a_leaders_beat_is_granted_or_not() {
    let mut script = Script::new();
    let beat = |number| Beat {
        group: group(),
        ballot: ballot(number, 2),
        roster: RosterVersion(1),
        beat: 3,
    };
    let replied = |number, granted| {
        let (group, ballot) = (group(), ballot(number, 2));
        reply(BeatReply { group, ballot, beat: 3, voter: voter(1), granted })
    };
    assert_eq!(script.hear(10, beat(1)), [replied(1, true)]);
    let _ = script.hear(400, candidacy(5, Purpose::Configure));
    assert_eq!(script.hear(410, beat(1)), [replied(1, false)]);
    let unknown = GroupName::parse("unknown").unwrap();
    assert_eq!(script.hear(10, Beat { group: unknown, ..beat(1) }), [], "of no group of ours");
}

#[test]
fn a_digest_is_answered_with_what_is_newer_than_it() {
    let mut script = Script::new();
    let ask = |have| Digest { have };
    let reply = |records, unsettled| {
        reply(DigestReply { voter: voter(1), records, unsettled, more: false })
    };
    let known = stored(&record(3)).committed;
    assert_eq!(script.hear(10, ask(vec![])), [reply(Vec::from_iter(known.clone()), vec![])]);
    let older = vec![(group(), Revision(0))];
    assert_eq!(script.hear(10, ask(older)), [reply(Vec::from_iter(known), vec![])]);
    let same = || vec![(group(), Revision(1))];
    assert_eq!(script.hear(10, ask(same())), [reply(vec![], vec![])]);
    // What is accepted and not known to be committed is named, once nobody seems to be at it.
    let _ = script.hear(1_000, proposal(2, &revision(2)));
    assert_eq!(script.hear(2_000, ask(same())), [reply(vec![], vec![])]);
    assert_eq!(script.hear(2_001, ask(same())), [reply(vec![], vec![group()])]);
}

#[test]
fn a_digest_is_answered_with_at_most_32_records_at_a_time() {
    let named = |n: usize| {
        let group = GroupName::parse(&format!("g{n:03}")).unwrap();
        stored(&GroupRecord { group, ..record(1) })
    };
    let mut script = Script::restarted(0, (0..70).map(named).collect());
    let mut have = vec![];
    for (count, more) in [(32, true), (32, true), (6, false), (0, false)] {
        let said = script.hear(10, Digest { have: have.clone() });
        let [Output::Reply { fact: Fact::DigestReply(reply), .. }] = &said[..] else {
            panic!("{said:?}")
        };
        assert_eq!((reply.records.len(), reply.more), (count, more));
        have.extend(reply.records.iter().map(|c| (c.record.group.clone(), c.record.revision)));
    }
}

#[test]
fn it_asks_the_others_at_once_and_every_three_seconds_for_what_it_missed() {
    let ask = |have| Output::Publish(Digest { have }.into());
    let mut script =
        Script(Voter::new(config(), Some(Meta::first(roster(3))), vec![stored(&record(3))], at(0)));
    assert!(script.wake_whole(0).contains(&ask(vec![(group(), Revision(1))])));
    let asks =
        |said: Vec<Output>| said.iter().any(|o| matches!(o, Output::Publish(Fact::Digest(_))));
    assert!(!asks(script.wake_whole(2_999)));
    assert!(asks(script.wake_whole(3_000)));
}

#[test]
fn what_the_others_know_to_be_committed_it_writes_down() {
    let mut script = Script(Voter::new(config(), Some(Meta::first(roster(3))), vec![], at(0)));
    let known = stored(&record(3)).committed.unwrap();
    let records = vec![known.clone()];
    let answer = DigestReply { voter: voter(2), records, unsettled: vec![], more: false };
    let said = script.hear(10, answer);
    let [Output::Persist(written)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(written.committed, Some(known.clone()));
    assert_eq!(written.accepted, Some((known.ballot, known.record)));
}

#[test]
fn when_there_is_more_than_fits_a_reply_it_asks_again_at_once() {
    let mut script = Script::new();
    let records: Vec<_> = stored(&revision(2)).committed.into_iter().collect();
    let more = |n| DigestReply {
        voter: voter(n),
        records: records.clone(),
        unsettled: vec![],
        more: true,
    };
    let _ = script.hear(10, more(2));
    assert_eq!(script.0.poll_timeout(), Some(at(10)));
    assert!(matches!(script.wake_whole(10)[..], [Output::Publish(Fact::Digest(_))]));
    let _ = script.hear(20, more(3));
    assert_ne!(script.0.poll_timeout(), Some(at(20)), "two answers are not two questions");
}

#[test]
fn what_is_not_for_a_voter_is_passed_over() {
    let mut script = Script::new();
    let verdict = OdownVerdict {
        group: group(),
        epoch: Epoch(1),
        master: node(1),
        voter: voter(2),
        reached: true,
        quorum: record(3).settings.quorum,
        tally: vec![],
    };
    assert_eq!(script.hear(10, verdict), []);
    assert_eq!(script.run(400), []);
}
