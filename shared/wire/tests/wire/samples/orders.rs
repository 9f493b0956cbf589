//! Rosters, voters without memory, and what operators want.

use super::*;

fn roster() -> Roster {
    Roster::parse(RosterVersion(2), ["v1", "v2", "v3", "v4"].map(voter).into()).unwrap()
}

pub(super) fn roster_ballots() -> Vec<Fact> {
    [RosterAsk::Prepare, RosterAsk::Accept(roster()), RosterAsk::Adopt(roster())]
        .map(|ask| RosterBallot { ballot: ballot(), from: RosterVersion(1), ask }.into())
        .into()
}

pub(super) fn roster_answers() -> Vec<Fact> {
    let refusals = [
        RosterRefusal::OlderBallot(ballot()),
        RosterRefusal::OtherRoster(roster()),
        RosterRefusal::NotOneVoter,
        RosterRefusal::Unsettled(vec![group(), odd_group()]),
        RosterRefusal::Joining,
        RosterRefusal::StoreFailed,
    ];
    let mut votes = vec![
        RosterVote::Promise { accepted: None },
        RosterVote::Promise { accepted: Some((ballot(), roster())) },
        RosterVote::Accepted,
        RosterVote::Adopted,
    ];
    votes.extend(refusals.map(RosterVote::Refused));
    let answer = |answer| RosterAnswer { voter: voter("v1"), ballot: ballot(), answer }.into();
    votes.into_iter().map(answer).collect()
}

pub(super) fn rejoin_answers() -> Vec<Fact> {
    let records = Memory::Records {
        floor: 40,
        after: Some(group()),
        accepted: records().into_iter().map(|record| (ballot(), record)).collect(),
        committed: records()
            .into_iter()
            .map(|record| RecordCommitted { ballot: ballot(), record })
            .collect(),
        more_after: Some(odd_group()),
        previous: Some(roster()),
        next: Some((ballot(), roster())),
    };
    [Memory::Blank, Memory::Founded, Memory::Remembers, Memory::Floor(40), records]
        .map(|memory| {
            let (incarnation, to) = (7, 99);
            RejoinAnswer { voter: voter("v2"), incarnation, to, roster: roster(), memory }.into()
        })
        .into()
}

pub(super) fn instructions() -> Vec<Instruction> {
    let verbs = [
        (Some(group()), Verb::Pause { reason: "moving house".into(), for_ms: None }),
        (Some(odd_group()), Verb::Resume),
        (Some(group()), Verb::Release),
        (Some(group()), Verb::Set { changes: changes() }),
        (Some(group()), Verb::Pause { reason: "moving house".into(), for_ms: Some(60_000) }),
        (
            Some(odd_group()),
            Verb::Monitor {
                master: addr("10.0.0.1:6379"),
                quorum: Quorum::parse(2).unwrap(),
                changes: changes(),
            },
        ),
        (Some(group()), Verb::Remove),
        (Some(group()), Verb::Reset),
        (Some(group()), Verb::Switchover { epoch: Epoch(7), to: None, dry_run: true }),
        (
            Some(group()),
            Verb::Switchover { epoch: Epoch(7), to: Some(addr("10.0.0.2:6379")), dry_run: false },
        ),
        (Some(group()), Verb::Failover { epoch: Epoch(7) }),
        (None, Verb::AddVoter(voter("v4"))),
        (None, Verb::RemoveVoter(voter("v1"))),
    ];
    verbs.map(|(group, verb)| Instruction { group, verb }).into()
}

fn changes() -> Vec<Setting> {
    [
        ("quorum", "3"),
        ("quorum_places", ""),
        ("loading_budget_ms", "0"),
        ("chained_replicas", "true"),
        ("preferred_place", "dc1"),
        ("user", "app"),
        ("password", "correct horse"),
        ("node_place.10.0.0.2:6379", "dc2"),
    ]
    .map(|(name, value)| Setting::parse(name, value).unwrap())
    .into()
}

pub(super) fn instruction_replies() -> Vec<Fact> {
    let outcomes = [
        (Outcome::Done { now: "paused: moving house".into() }, Some(Revision(8))),
        (Outcome::Refused { why: "no majority of voters answers".into() }, None),
        (Outcome::Started { now: "10.0.0.2:6379 is to follow".into() }, None),
        (Outcome::NoCandidate { why: "10.0.0.2:6379 (priority 0)".into() }, None),
    ];
    let reply = |(instruction, (outcome, revision))| {
        InstructionReply { instruction, outcome, revision }.into()
    };
    instructions().into_iter().zip(outcomes).map(reply).collect()
}
