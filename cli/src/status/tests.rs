//! What is well and what is not.

use super::Heard;
use super::report::Report;
use super::table::table;
use vedette_model::{
    BallotNumber, DigestReply, Epoch, Evidence, Fact, GroupName, GroupRecord, Health, Heartbeat,
    Host, HostName, Member, NodeAddr, NodeState, OdownVerdict, OrchestratorId, Place, ProberId,
    Quorum, RecordCommitted, Roster, RosterVersion, SdownReport, Service, Settings, Standing,
    VoterId,
};

fn group() -> GroupName {
    GroupName::parse("orders").unwrap()
}

fn addr(port: u16) -> NodeAddr {
    NodeAddr::new("127.0.0.1", port).unwrap()
}

pub fn roster() -> Roster {
    let voters = ["v1", "v2", "v3"].map(|id| VoterId::parse(id).unwrap());
    Roster::parse(RosterVersion(1), voters.into()).unwrap()
}

pub fn beat(service: Service, id: &str) -> Heartbeat {
    Heartbeat {
        service,
        id: id.into(),
        incarnation: 7,
        tick: 3,
        place: Place::parse("a").unwrap(),
        health: Health::Well,
        roster: None,
        standings: Vec::new(),
        serves: None,
        back: false,
        host: None,
    }
}

fn record(quorum: u32) -> GroupRecord {
    let settings = Settings::with_quorum(Quorum::parse(quorum).unwrap());
    let mut record = GroupRecord::first(group(), addr(1), settings);
    record.members.push(Member::new(addr(2), None));
    record
}

fn says(voter: &str, records: Vec<GroupRecord>) -> Fact {
    let proposer = OrchestratorId::parse("o1").unwrap();
    let ballot = BallotNumber { number: 1, proposer, incarnation: 1 };
    let committed = |record| RecordCommitted { ballot: ballot.clone(), record };
    DigestReply {
        voter: VoterId::parse(voter).unwrap(),
        records: records.into_iter().map(committed).collect(),
        unsettled: Vec::new(),
        more: false,
    }
    .into()
}

pub fn healthy(quorum: u32) -> Heard {
    let mut heard = Heard::default();
    for (service, id) in
        [(Service::Prober, "p1"), (Service::Orchestrator, "o1"), (Service::Notifier, "n1")]
    {
        heard.take(beat(service, id).into());
    }
    for voter in ["v1", "v2", "v3"] {
        heard.take(beat(Service::Voter, voter).into());
        heard.take(says(voter, vec![record(quorum)]));
    }
    heard
}

pub fn report(port: u16, state: NodeState) -> SdownReport {
    SdownReport {
        group: group(),
        epoch: Epoch(1),
        node: addr(port),
        prober: ProberId::parse("p1").unwrap(),
        place: Place::parse("a").unwrap(),
        state,
        last_good_ms: None,
        run_id: None,
        echo: Vec::new(),
    }
}

fn judged(heard: &Heard) -> Report {
    Report::of(heard, &roster())
}

/// The one thing that needs attention.
fn only(heard: &Heard) -> String {
    let report = judged(heard);
    assert_eq!(report.attention.len(), 1, "{:?}", report.attention);
    assert!(!report.well);
    report.attention[0].clone()
}

#[test]
fn a_whole_system_is_well() {
    let report = judged(&healthy(1));
    assert_eq!((report.attention, report.notes), (Vec::new(), Vec::new()));
    let text = table(&judged(&healthy(1)));
    assert!(text.contains("All is well.") && text.contains("127.0.0.1:1"), "{text}");
}

#[test]
fn a_service_is_shown_with_its_machine() {
    let mut heard = healthy(1);
    let host = Host { name: HostName::parse("node-1").unwrap(), addresses: Vec::new() };
    heard.take(Heartbeat { host: Some(host), ..beat(Service::Prober, "p1") }.into());
    let text = table(&judged(&heard));
    let line = text.lines().find(|line| line.contains("prober/p1")).unwrap();
    assert!(line.split_whitespace().eq(["prober/p1", "alive", "a", "node-1", "well"]), "{line}");
}

#[test]
fn a_missing_voter_is_named_and_a_missing_majority_is_explained() {
    let mut heard = healthy(1);
    heard.voters.remove(&VoterId::parse("v3").unwrap());
    heard.services.remove(&(Service::Voter, "v3".into()));
    let text = only(&heard);
    assert!(text.contains("voter/v3") && text.contains("enough"), "{text}");
    assert!(table(&judged(&heard)).contains("MISSING"));
    heard.voters.remove(&VoterId::parse("v2").unwrap());
    let text = only(&heard);
    assert!(text.contains("nothing can change") && text.contains("voter/v2"), "{text}");
}

#[test]
fn too_few_probers_for_the_quorum_need_attention() {
    assert!(only(&healthy(2)).contains("quorum 2"));
}

#[test]
fn a_node_that_is_down_needs_attention_until_the_report_is_withdrawn() {
    let mut heard = healthy(1);
    heard.take(report(2, NodeState::Down(Evidence::Crash { refused: 2 })).into());
    assert!(only(&heard).contains("a replica"));
    assert!(table(&judged(&heard)).contains("DOWN for prober/p1"));
    heard.take(report(2, NodeState::Up).into());
    assert!(judged(&heard).well);
}

#[test]
fn a_member_that_is_gone_is_counted_and_not_shown() {
    let mut heard = healthy(1);
    let mut record = record(1);
    record.revision = record.revision.next();
    record.members.push(Member { gone: true, ..Member::new(addr(3), None) });
    heard.take(says("v1", vec![record.clone()]));
    let text = table(&judged(&heard));
    assert!(text.contains("    1 gone\n") && !text.contains("127.0.0.1:3"), "{text}");
    assert!(judged(&heard).well);
    record.revision = record.revision.next();
    record.members[1].gone = true;
    heard.take(says("v1", vec![record]));
    assert!(only(&heard).contains("no replica that is known"));
}

#[test]
fn a_verdict_on_the_recorded_master_needs_attention() {
    let mut heard = healthy(1);
    let verdict = |master| OdownVerdict {
        group: group(),
        epoch: Epoch(1),
        master,
        voter: VoterId::parse("v1").unwrap(),
        reached: true,
        quorum: Quorum::parse(1).unwrap(),
        tally: Vec::new(),
    };
    heard.take(verdict(addr(9)).into());
    assert!(judged(&heard).well, "a verdict on a former master is over");
    heard.take(verdict(addr(1)).into());
    assert!(only(&heard).contains("1 of 3 voters"));
}

#[test]
fn the_newest_record_counts_and_standings_outlive_plain_heartbeats() {
    let mut heard = healthy(1);
    let mut newer = record(1);
    (newer.revision, newer.master) = (newer.revision.next(), addr(2));
    heard.take(says("v2", vec![newer]));
    heard.take(says("v3", vec![record(1)]));
    let mut answer = beat(Service::Orchestrator, "o1");
    answer.standings =
        vec![Standing { group: group(), epoch: Epoch(1), text: "waiting\u{7}".into() }];
    heard.take(answer.into());
    heard.take(beat(Service::Orchestrator, "o1").into());
    let report = judged(&heard);
    assert_eq!(report.groups[0].record.as_ref().unwrap().master, "127.0.0.1:2");
    assert_eq!(report.groups[0].standings.len(), 1);
    assert!(!table(&report).contains('\u{7}'));
}

#[test]
fn a_group_that_is_declared_and_not_recorded_needs_attention() {
    let mut heard = healthy(1);
    let mut answer = beat(Service::Orchestrator, "o1");
    let other = GroupName::parse("other").unwrap();
    answer.standings = vec![Standing { group: other, epoch: Epoch(0), text: "seeding".into() }];
    heard.take(answer.into());
    assert!(only(&heard).contains("other"));
}

#[test]
fn two_rosters_and_an_ill_service_need_attention() {
    let mut heard = healthy(1);
    let mut voter = beat(Service::Voter, "v1");
    voter.roster = Some(roster());
    heard.take(voter.into());
    let mut voter = beat(Service::Voter, "v2");
    let voters = ["v1", "v2", "v3", "v4"].map(|id| VoterId::parse(id).unwrap());
    voter.roster = Some(Roster::parse(RosterVersion(2), voters.into()).unwrap());
    voter.health = Health::Impaired("no disk".into());
    heard.take(voter.into());
    let attention = judged(&heard).attention.join("\n");
    assert!(attention.contains("voter/v1 goes by roster 1"), "{attention}");
    assert!(attention.contains("voter/v4") && attention.contains("no disk"), "{attention}");
}
