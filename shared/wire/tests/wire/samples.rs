//! Facts of every kind, with every variant somewhere among them. What the golden files hold.

mod orders;

use orders::{instruction_replies, instructions, rejoin_answers, roster_answers, roster_ballots};
use vedette_model::*;

/// Every kind's samples, in the order of their golden file.
pub fn samples(kind: FactKind) -> Vec<Fact> {
    match kind {
        FactKind::SdownReport => sdown_reports(),
        FactKind::NodeReport => node_reports(),
        FactKind::OdownVerdict => verdicts(),
        FactKind::Candidacy => candidacies(),
        FactKind::Ballot => ballots(),
        FactKind::Proposal => records()
            .into_iter()
            .map(|record| Proposal { ballot: ballot(), roster: RosterVersion(1), record }.into())
            .collect(),
        FactKind::ProposalReply => proposal_replies(),
        FactKind::Beat => {
            let (roster, beat) = (RosterVersion(1), 300);
            vec![Beat { group: group(), ballot: ballot(), roster, beat }.into()]
        }
        FactKind::BeatReply => [true, false].map(beat_reply).into(),
        FactKind::RecordCommitted => records()
            .into_iter()
            .map(|record| RecordCommitted { ballot: ballot(), record }.into())
            .collect(),
        FactKind::FailoverStep => steps(),
        FactKind::Digest => vec![
            Digest::default().into(),
            Digest { have: vec![(group(), Revision(7)), (odd_group(), Revision(1))] }.into(),
        ],
        FactKind::DigestReply => digest_replies(),
        FactKind::Heartbeat => heartbeats(),
        FactKind::RosterBallot => roster_ballots(),
        FactKind::RosterAnswer => roster_answers(),
        FactKind::Rejoin => [
            RejoinAsk::Memory,
            RejoinAsk::Floor,
            RejoinAsk::Records { floor: 40, after: None },
            RejoinAsk::Records { floor: u64::MAX, after: Some(odd_group()) },
        ]
        .map(|ask| Rejoin { voter: voter("v1"), incarnation: 99, ask }.into())
        .into(),
        FactKind::RejoinAnswer => rejoin_answers(),
        FactKind::Instruction => instructions().into_iter().map(Fact::from).collect(),
        FactKind::InstructionReply => instruction_replies(),
        FactKind::StatusQuery => vec![StatusQuery {}.into()],
        FactKind::MasterQuery => {
            [group(), odd_group()].map(|group| MasterQuery { group }.into()).into()
        }
        FactKind::MasterRecord => {
            records().iter().map(|record| MasterRecord::from(record).into()).collect()
        }
        FactKind::Event => EventName::ALL.iter().copied().map(event).collect(),
    }
}

/// Every sample of every kind.
pub fn all() -> Vec<Fact> {
    FactKind::ALL.iter().copied().flat_map(samples).collect()
}

pub fn group() -> GroupName {
    GroupName::parse("mymaster").unwrap()
}

pub fn odd_group() -> GroupName {
    GroupName::parse("prod.käse=*>1").unwrap()
}

fn addr(text: &str) -> NodeAddr {
    NodeAddr::parse(text).unwrap()
}

fn run_id(digit: char) -> RunId {
    RunId::parse(&digit.to_string().repeat(40)).unwrap()
}

fn repl_id(digit: char) -> ReplId {
    ReplId::parse(&digit.to_string().repeat(40)).unwrap()
}

fn prober(id: &str) -> ProberId {
    ProberId::parse(id).unwrap()
}

fn voter(id: &str) -> VoterId {
    VoterId::parse(id).unwrap()
}

fn orchestrator() -> OrchestratorId {
    OrchestratorId::parse("o1").unwrap()
}

fn place(name: &str) -> Place {
    Place::parse(name).unwrap()
}

fn trace() -> TraceId {
    TraceId::of(&group(), Epoch(3), &addr("10.0.0.1:6379"), Some(&run_id('a')))
}

fn ballot() -> BallotNumber {
    BallotNumber { number: 12, proposer: orchestrator(), incarnation: 0xfeed_beef_0000_0001 }
}

fn evidences() -> [Evidence; 7] {
    [
        Evidence::Silence { for_ms: 5_001 },
        Evidence::Crash { refused: 2 },
        Evidence::Busy { for_ms: 30_000 },
        Evidence::Loading { for_ms: 5_001 },
        Evidence::Rebirth { run_id: run_id('e') },
        Evidence::WrongRole { for_ms: 7_000 },
        Evidence::WriteImpaired { for_ms: 5_002 },
    ]
}

fn sdown_reports() -> Vec<Fact> {
    let report = |state, echo| SdownReport {
        group: group(),
        epoch: Epoch(3),
        node: addr("10.0.0.1:6379"),
        prober: prober("p1"),
        place: place("dc1"),
        state,
        last_good_ms: Some(5_012),
        run_id: Some(run_id('a')),
        echo,
    };
    let echo = Echo { voter: voter("v1"), incarnation: 99, tick: 1_000 };
    let mut facts: Vec<Fact> = evidences()
        .into_iter()
        .map(|e| report(NodeState::Down(e), vec![echo.clone()]).into())
        .collect();
    let unseen = SdownReport {
        last_good_ms: None,
        run_id: None,
        node: addr("[2001:db8::1]:6380"),
        ..report(NodeState::Up, vec![])
    };
    facts.push(unseen.into());
    facts
}

fn node_reports() -> Vec<Fact> {
    let master = NodeView {
        run_id: run_id('a'),
        role: Role::Master,
        replid: repl_id('c'),
        replid2: None,
        second_offset: None,
        offset: u64::MAX,
        priority: 100,
        upstream: None,
        replicas: vec![ReplicaSeen { addr: addr("10.0.0.2:6379"), online: true, offset: 7_000 }],
        loading: false,
        loading_eta_ms: None,
        empty: false,
        persistence_ok: true,
        unsaved: false,
        hidden: false,
    };
    let replica = NodeView {
        run_id: run_id('b'),
        role: Role::Replica,
        replid2: Some(repl_id('d')),
        second_offset: Some(6_501),
        offset: 7_000,
        priority: 0,
        upstream: Some(Upstream {
            addr: addr("10.0.0.1:6379"),
            link_up: false,
            down_for_ms: Some(2_000),
            syncing: true,
        }),
        replicas: vec![],
        loading: true,
        loading_eta_ms: Some(3_000),
        empty: true,
        persistence_ok: false,
        unsaved: true,
        hidden: true,
        ..master.clone()
    };
    [("10.0.0.1:6379", master), ("10.0.0.2:6379", replica)]
        .map(|(node, view)| {
            NodeReport { group: group(), node: addr(node), prober: prober("p1"), view }.into()
        })
        .into()
}

fn verdicts() -> Vec<Fact> {
    let verdict = |reached, tally| OdownVerdict {
        group: group(),
        epoch: Epoch(3),
        master: addr("10.0.0.1:6379"),
        voter: voter("v1"),
        reached,
        quorum: Quorum::parse(2).unwrap(),
        tally,
    };
    let tally = evidences()
        .into_iter()
        .zip(["p1", "p2", "p3", "p4", "p5", "p6", "p7"])
        .map(|(evidence, id)| Opinion { prober: prober(id), place: place("dc1"), evidence })
        .collect();
    vec![verdict(true, tally).into(), verdict(false, vec![]).into()]
}

fn candidacies() -> Vec<Fact> {
    [
        Purpose::Failover { epoch: Epoch(3), master: addr("10.0.0.1:6379") },
        Purpose::Switchover { epoch: Epoch(3), master: addr("10.0.0.1:6379") },
        Purpose::Takeover,
        Purpose::Configure,
    ]
    .map(|purpose| {
        Candidacy { group: group(), ballot: ballot(), purpose, roster: RosterVersion(1) }.into()
    })
    .into()
}

fn ballots() -> Vec<Fact> {
    let reply = |answer| Ballot { group: group(), ballot: ballot(), voter: voter("v1"), answer };
    let mut facts: Vec<Fact> = records()
        .into_iter()
        .map(|record| {
            let accepted = Some((ballot(), record));
            reply(BallotAnswer::Promise { accepted, lease_ms: 250, failover_ms_ago: None }).into()
        })
        .collect();
    facts.push(
        reply(BallotAnswer::Promise { accepted: None, lease_ms: 0, failover_ms_ago: None }).into(),
    );
    let refusals = [
        Refusal::OlderBallot,
        Refusal::OtherRoster { version: RosterVersion(2) },
        Refusal::NotOdown,
        Refusal::OtherMaster { epoch: Epoch(4) },
        Refusal::Paused,
        Refusal::HeldOff { remaining_ms: 4_000 },
        Refusal::Held,
        Refusal::Joining,
        Refusal::FailoverUnderWay,
        Refusal::LeaderAlive { remaining_ms: 300 },
        Refusal::NoFailover,
        Refusal::StoreFailed,
    ];
    facts.extend(refusals.map(|why| {
        let promised = (why == Refusal::OlderBallot).then(ballot);
        reply(BallotAnswer::Refused { why, promised }).into()
    }));
    facts
}

fn proposal_replies() -> Vec<Fact> {
    [
        ProposalAnswer::Accepted,
        ProposalAnswer::Superseded { promised: ballot() },
        ProposalAnswer::OtherRoster { version: RosterVersion(2) },
        ProposalAnswer::Lapsed,
        ProposalAnswer::Joining,
        ProposalAnswer::StoreFailed,
    ]
    .map(|answer| {
        let (revision, voter) = (Revision(7), voter("v1"));
        ProposalReply { group: group(), ballot: ballot(), revision, voter, answer }.into()
    })
    .into()
}

fn beat_reply(granted: bool) -> Fact {
    BeatReply { group: group(), ballot: ballot(), beat: 300, voter: voter("v1"), granted }.into()
}

/// A fresh record, one in the middle of a failover and one after it.
fn records() -> Vec<GroupRecord> {
    let settings = Settings::with_quorum(Quorum::parse(2).unwrap());
    let fresh = GroupRecord::first(group(), addr("10.0.0.1:6379"), settings);

    let loss = LossBound { bytes: Some(120), as_of_ms: Some(900) };
    let mut busy = fresh.clone();
    busy.revision = Revision(7);
    busy.epoch = Epoch(3);
    busy.top_epoch = Epoch(4);
    busy.members.push(Member {
        addr: addr("10.0.0.2:6379"),
        run_id: Some(run_id('b')),
        gone: false,
        unsaved: true,
    });
    busy.lineage.add(&repl_id('c'));
    busy.lineage.add(&repl_id('d'));
    busy.settings.quorum_places = Some(2);
    busy.settings.trust_recorded_address = true;
    let password = Secret::new("correct horse".into());
    busy.settings.credentials = Some(Credentials::new(Some("vedette".into()), password));
    busy.failover = Some(Failover {
        epoch: Epoch(4),
        leader: orchestrator(),
        failed: addr("10.0.0.1:6379"),
        target: addr("10.0.0.2:6379"),
        rejected: rejections(),
        loss,
        trace_id: trace(),
        flapping: Flapping { count: 2, held: true },
        reason: PlanReason::Switchover,
        perhaps_announced: true,
    });
    busy.roster = RosterVersion(2);
    busy.branches.push(Branch { node: addr("10.0.0.2:6379"), offset: 1_000 });

    let mut after = busy.clone();
    after.revision = Revision(8);
    after.epoch = Epoch(4);
    after.master = addr("10.0.0.2:6379");
    after.failover = None;
    after.pause = Some(Pause::for_good("moving house".into()));
    let previous = Some(addr("10.0.0.1:6379"));
    after.switch = Switch { previous, reason: SwitchReason::Switchover, loss, trace_id: trace() };
    let removed = GroupRecord { revision: Revision(9), ..after.buried() };
    let mut pausing = fresh.clone();
    let (left_ms, set_at) = (Some(1_800_000), Some(Revision(1)));
    pausing.pause = Some(Pause { reason: "moving house".into(), left_ms, set_at });
    vec![fresh, busy, after, removed, pausing]
}

fn rejections() -> Vec<Rejection> {
    [
        RejectReason::FailedMaster,
        RejectReason::NoAnswer("connection refused".into()),
        RejectReason::FailedBefore,
        RejectReason::Stranger,
        RejectReason::NotAReplica,
        RejectReason::WriteImpaired,
        RejectReason::Loading,
        RejectReason::PriorityZero,
        RejectReason::OlderHistory,
        RejectReason::NeverSynced,
        RejectReason::LinkDown { for_ms: 60_000, limit_ms: 55_000 },
        RejectReason::TooFarBehind { bytes: 2_000_000 },
        RejectReason::RanksLower,
        RejectReason::Master,
        RejectReason::NotNamed,
    ]
    .into_iter()
    .zip(10_001_u16..)
    .map(|(reason, port)| Rejection { node: NodeAddr::new("10.0.0.3", port).unwrap(), reason })
    .collect()
}

fn steps() -> Vec<Fact> {
    let target = addr("10.0.0.2:6379");
    [
        Step::Odown,
        Step::Claimed,
        Step::Surveyed { answered: 1, asked: 2 },
        Step::Selected { target: target.clone() },
        Step::Promoted { target: target.clone() },
        Step::Committed { epoch: Epoch(4) },
        Step::Repaired { node: target },
        Step::Ended,
        Step::Paused,
        Step::Level { target: addr("10.0.0.2:6379") },
        Step::Frozen,
        Step::Aborted { why: "no replica is eligible".into() },
        Step::Waiting { why: "1 of 2 needed voters say odown".into() },
    ]
    .map(|step| {
        let ballot = (step != Step::Odown).then(ballot);
        let (elapsed_us, trace_id) = (12_345, trace());
        let (votes, rejected, loss) = (Vec::new(), Vec::new(), None);
        FailoverStep { group: group(), ballot, step, elapsed_us, trace_id, votes, rejected, loss }
    })
    .into_iter()
    .chain([steps_that_say_more()])
    .map(Fact::from)
    .collect()
}

fn steps_that_say_more() -> FailoverStep {
    FailoverStep {
        group: group(),
        ballot: Some(ballot()),
        step: Step::Selected { target: addr("10.0.0.2:6379") },
        elapsed_us: 12_345,
        trace_id: trace(),
        votes: vec![voter("v1")],
        rejected: vec![Rejection {
            node: addr("10.0.0.3:6379"),
            reason: RejectReason::TooFarBehind { bytes: 14 },
        }],
        loss: Some(LossBound { bytes: Some(0), as_of_ms: Some(957) }),
    }
}

fn digest_replies() -> Vec<Fact> {
    let commits = records().into_iter().map(|record| RecordCommitted { ballot: ballot(), record });
    vec![
        DigestReply { voter: voter("v1"), records: vec![], unsettled: vec![], more: false }.into(),
        DigestReply {
            voter: voter("v1"),
            records: commits.collect(),
            unsettled: vec![odd_group()],
            more: true,
        }
        .into(),
    ]
}

fn heartbeats() -> Vec<Fact> {
    let beat = |service, id: &str| Heartbeat {
        service,
        id: id.into(),
        incarnation: 99,
        tick: 1_000,
        place: place("dc1"),
        health: Health::Well,
        roster: None,
        standings: vec![],
        serves: None,
        back: false,
        host: None,
    };
    let roster = Roster::parse(RosterVersion(1), ["v1", "v2", "v3"].map(voter).into()).unwrap();
    let addresses = vec!["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let host = Host { name: HostName::parse("node-1.example.com").unwrap(), addresses };
    let standing =
        Standing { group: group(), epoch: Epoch(3), text: "master up, quorum 2 of 3".into() };
    vec![
        beat(Service::Prober, "p1").into(),
        Heartbeat {
            health: Health::Impaired("disk full: free some space".into()),
            roster: Some(roster),
            standings: vec![standing],
            serves: None,
            back: false,
            ..beat(Service::Voter, "v1")
        }
        .into(),
        beat(Service::Orchestrator, "o1").into(),
        beat(Service::Notifier, "n1").into(),
        beat(Service::Client, "c1").into(),
        Heartbeat { host: Some(host), ..beat(Service::Gateway, "g1") }.into(),
    ]
}

fn event(name: EventName) -> Fact {
    Event {
        id: format!("o1-{name}-4"),
        group: group(),
        name,
        payload: "mymaster 10.0.0.1 6379 10.0.0.2 6379".into(),
        cause: "a \"cause\" in words, ünïcode too".into(),
        epoch: Epoch(4),
        source: "orchestrator/o1".into(),
        trace_id: trace(),
    }
    .into()
}
