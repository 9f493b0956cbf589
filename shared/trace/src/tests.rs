//! What each witness makes of what it sees. Times are in seconds here.

use super::*;
use vedette_model::{
    Ballot, BallotAnswer, BallotNumber, Candidacy, Epoch, Event, EventName, Evidence, GroupRecord,
    Health, Heartbeat, Instruction, InstructionReply, NodeAddr, NodeState, OdownVerdict, Opinion,
    OrchestratorId, Outcome, Place, ProberId, Purpose, Quorum, RecordCommitted, SdownReport,
    Service, Settings, TraceId, Verb, VoterId,
};
use vedette_protocol::notice;

const S: u64 = 1_000_000;
/// Alone, it owns every group.
const OWNER: &str = "o1";

fn group() -> GroupName {
    GroupName::parse("g").unwrap()
}

fn record() -> GroupRecord {
    let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
    GroupRecord::first(group(), master, Settings::with_quorum(Quorum::parse(2).unwrap()))
}

fn ballot() -> BallotNumber {
    let proposer = OrchestratorId::parse(OWNER).unwrap();
    BallotNumber { number: 3, proposer, incarnation: 9 }
}

fn committed(record: &GroupRecord) -> Fact {
    RecordCommitted { ballot: ballot(), record: record.clone() }.into()
}

fn down(last_good_ms: u64) -> Fact {
    SdownReport {
        group: group(),
        epoch: Epoch(1),
        node: record().master,
        prober: ProberId::parse("p1").unwrap(),
        place: Place::parse("dc1").unwrap(),
        state: NodeState::Down(Evidence::Silence { for_ms: 1_000 }),
        last_good_ms: Some(last_good_ms),
        run_id: None,
        echo: Vec::new(),
    }
    .into()
}

fn verdict(reached: bool) -> Fact {
    let prober = ProberId::parse("p1").unwrap();
    let place = Place::parse("dc1").unwrap();
    let evidence = Evidence::Silence { for_ms: 1_000 };
    OdownVerdict {
        group: group(),
        epoch: Epoch(1),
        master: record().master,
        voter: VoterId::parse("v1").unwrap(),
        reached,
        quorum: Quorum::parse(1).unwrap(),
        tally: vec![Opinion { prober, place, evidence }],
    }
    .into()
}

fn beat(service: Service, id: &str) -> Fact {
    Heartbeat {
        service,
        id: id.into(),
        incarnation: 1,
        tick: 1,
        place: Place::parse("dc1").unwrap(),
        health: Health::Well,
        roster: None,
        standings: Vec::new(),
        serves: None,
        back: false,
        host: None,
    }
    .into()
}

fn live(began_us: u64) -> Option<Context> {
    Some(Context { trace: record().trace_id(), live: true, began_us: Some(began_us) })
}

fn hears<W: Witness>(witness: &mut W, fact: &Fact, context: Option<Context>, at_us: u64) -> Notes {
    witness.heard(&Heard { fact, context, at_us });
    witness.take()
}

fn says<W: Witness>(witness: &mut W, fact: &Fact, at_us: u64) -> Notes {
    witness.says(fact, at_us);
    witness.take()
}

#[test]
fn a_detection_lasts_from_the_last_good_reply_and_is_recorded_once() {
    let mut prober = Probers::default();
    let notes = hears(&mut prober, &committed(&record()), None, S);
    assert_eq!(notes.contexts, [(group(), Context::quiet(record().trace_id()))]);
    prober.tries(&group(), &record().master, 7 * S);
    prober.tries(&group(), &record().master, 9 * S);
    let notes = says(&mut prober, &down(2_000), 10 * S);
    let [span] = notes.spans.as_slice() else { panic!("{notes:?}") };
    assert_eq!((span.name, span.from_us, span.to_us), (names::DETECT, 8 * S, 10 * S));
    assert_eq!(span.parent, Some(record().trace_id().root_span()));
    assert!(span.attributes.contains(&(names::ATTEMPTS, Value::Count(1))), "{span:?}");
    assert_eq!(notes.contexts, [(group(), live(8 * S).unwrap())]);
    assert!(says(&mut prober, &down(3_000), 11 * S).is_empty(), "it is only repeated");
}

#[test]
fn a_verdict_points_to_the_detections_that_it_counted() {
    let mut prober = Probers::default();
    hears(&mut prober, &committed(&record()), None, S);
    let detect = says(&mut prober, &down(2_000), 10 * S).spans.remove(0);
    let mut voter = Voters::default();
    hears(&mut voter, &down(2_000), live(8 * S), 10 * S);
    let notes = says(&mut voter, &verdict(true), 11 * S);
    let [span] = notes.spans.as_slice() else { panic!("{notes:?}") };
    assert_eq!((span.name, span.from_us, span.to_us), (names::VERDICT, 10 * S, 11 * S));
    assert_eq!(span.links, [detect.id]);
    assert!(says(&mut voter, &verdict(true), 12 * S).is_empty(), "it is only repeated");
}

#[test]
fn quiet_work_leaves_no_spans() {
    let mut voter = Voters::default();
    let candidacy = Candidacy {
        group: group(),
        ballot: ballot(),
        purpose: Purpose::Configure,
        roster: record().roster,
    };
    hears(&mut voter, &candidacy.into(), live(S), 2 * S);
    let promise = BallotAnswer::Promise { accepted: None, lease_ms: 0, failover_ms_ago: None };
    let voter_id = VoterId::parse("v1").unwrap();
    let answer = Ballot { group: group(), ballot: ballot(), voter: voter_id, answer: promise };
    assert!(says(&mut voter, &answer.into(), 3 * S).is_empty());
}

/// An orchestrator that has heard a verdict against the master.
fn alarmed(peer: Option<&str>) -> Orchestrators {
    let mut orchestrator = Orchestrators::new(OWNER);
    hears(&mut orchestrator, &committed(&record()), None, S);
    if let Some(id) = peer {
        hears(&mut orchestrator, &beat(Service::Orchestrator, id), None, 9 * S);
    }
    let notes = hears(&mut orchestrator, &verdict(true), live(8 * S), 10 * S);
    assert_eq!(notes.contexts.last(), Some(&(group(), live(8 * S).unwrap())));
    orchestrator
}

/// Withdraws the verdict and lets so many seconds pass.
fn calm(orchestrator: &mut Orchestrators, from_us: u64, seconds: u64) -> Vec<Span> {
    let mut spans = hears(orchestrator, &verdict(false), None, from_us).spans;
    for second in 1..=seconds {
        let at_us = from_us + second * S;
        spans.extend(hears(orchestrator, &beat(Service::Prober, "p1"), None, at_us).spans);
    }
    spans
}

#[test]
fn an_incident_that_ends_by_itself_has_a_root_once_it_stays_so() {
    let mut orchestrator = alarmed(None);
    assert_eq!(calm(&mut orchestrator, 12 * S, 3), [], "perhaps somebody was stalled only");
    hears(&mut orchestrator, &verdict(true), live(8 * S), 16 * S);
    let spans = calm(&mut orchestrator, 20 * S, 6);
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((span.name, span.parent, span.id), (names::INCIDENT, None, span.trace.root_span()));
    assert_eq!((span.from_us, span.to_us), (8 * S, 20 * S + S / 2));
    assert!(span.attributes.contains(&(names::OUTCOME, "refused".into())), "{span:?}");
}

#[test]
fn a_second_incident_of_the_reign_is_a_child_of_the_first() {
    let mut orchestrator = alarmed(None);
    let first = calm(&mut orchestrator, 12 * S, 6).remove(0);
    hears(&mut orchestrator, &verdict(true), live(30 * S), 31 * S);
    let second = calm(&mut orchestrator, 33 * S, 6).remove(0);
    assert_eq!((second.trace, second.parent), (first.trace, Some(first.id)));
    assert_ne!(second.id, first.id);
    assert_eq!((second.from_us, second.to_us), (30 * S, 33 * S + S / 2));
}

#[test]
fn one_of_several_orchestrators_records_the_root() {
    let roots = |me: &str, other: &str| {
        let mut orchestrator = Orchestrators::new(me);
        hears(&mut orchestrator, &committed(&record()), None, S);
        hears(&mut orchestrator, &verdict(true), live(8 * S), 10 * S);
        hears(&mut orchestrator, &verdict(false), None, 12 * S);
        let mut spans = Vec::new();
        for second in 13..20 {
            let beat = beat(Service::Orchestrator, other);
            spans.extend(hears(&mut orchestrator, &beat, None, second * S).spans);
        }
        spans.len()
    };
    assert_eq!(roots("o1", "o2") + roots("o2", "o1"), 1);
}

#[test]
fn what_another_ends_is_not_ended_again() {
    let mut orchestrator = alarmed(Some("o2"));
    let mut record = record();
    record.revision = record.revision.next();
    (record.epoch, record.top_epoch) = (Epoch(2), Epoch(2));
    record.master = NodeAddr::parse("10.0.0.2:6379").unwrap();
    let notes = hears(&mut orchestrator, &committed(&record), None, 12 * S);
    assert_eq!(notes.spans, []);
    assert_eq!(notes.contexts, [(group(), Context::quiet(record.trace_id()))]);
    assert_eq!(calm(&mut orchestrator, 13 * S, 7), []);
}

fn wish() -> Instruction {
    Instruction { group: Some(group()), verb: Verb::Failover { epoch: Epoch(1) } }
}

#[test]
fn a_wish_that_another_refused_long_ago_is_an_incident_of_its_own_and_has_the_root() {
    let mut orchestrator = Orchestrators::new(OWNER);
    hears(&mut orchestrator, &committed(&record()), None, S);
    hears(&mut orchestrator, &wish().into(), None, 2 * S);
    hears(&mut orchestrator, &wish().into(), None, 60 * S);
    let outcome = Outcome::Refused { why: "because".into() };
    let reply = InstructionReply { instruction: wish(), outcome, revision: None };
    let spans = says(&mut orchestrator, &reply.into(), 61 * S).spans;
    let [span] = spans.as_slice() else { panic!("{spans:?}") };
    assert_eq!((span.from_us, span.to_us), (60 * S, 61 * S));
    assert_eq!(span.parent, Some(span.trace.root_span()));
}

#[test]
fn a_wish_that_nobody_answers_is_over_in_the_end() {
    let mut orchestrator = Orchestrators::new(OWNER);
    hears(&mut orchestrator, &committed(&record()), None, S);
    let purpose = Purpose::Switchover { epoch: Epoch(1), master: record().master };
    let asked = Candidacy { group: group(), ballot: ballot(), purpose, roster: record().roster };
    says(&mut orchestrator, &asked.into(), 2 * S);
    let spans: Vec<_> = (3..40)
        .flat_map(|second| {
            let beat = beat(Service::Prober, "p1");
            hears(&mut orchestrator, &beat, None, second * S).spans
        })
        .collect();
    let names: Vec<_> = spans.iter().map(|span| span.name).collect();
    assert_eq!(names, [names::CANDIDACY, names::INCIDENT]);
    assert_eq!(spans[1].error.as_deref(), Some("nothing came of it"));
}

#[test]
fn a_message_about_an_incident_is_a_span_of_it_and_one_about_quiet_work_is_none() {
    let mut notifier = Notifiers::default();
    let event = |trace_id| Event {
        id: "p1/1".into(),
        group: group(),
        name: EventName::SwitchMaster,
        payload: String::new(),
        cause: String::new(),
        epoch: Epoch(1),
        source: "orchestrator/o1".into(),
        trace_id,
    };
    let (incident, quiet) =
        (record().trace_id(), TraceId::of(&group(), Epoch(9), &record().master, None));
    hears(&mut notifier, &event(incident).into(), live(S), 2 * S);
    let events = [event(quiet), event(incident), event(incident)];
    let mut hand = |attempt, outcome: &notice::Outcome| {
        let told = Try { sink: "webhook", events: &events, attempt, from_us: 3 * S };
        notifier.handed(&told, outcome, 4 * S);
        notifier.take().spans
    };
    let [span] = &hand(1, &notice::Outcome::Retry("away".into()))[..] else { panic!("one") };
    assert_eq!(
        (span.trace, span.name, span.from_us, span.to_us),
        (incident, names::NOTIFY, 3 * S, 4 * S)
    );
    assert_eq!(span.error.as_deref(), Some("away"));
    let told = (names::EVENTS, "+switch-master +switch-master".into());
    assert!(span.attributes.contains(&told), "{span:?}");
    assert_eq!(hand(99, &notice::Outcome::Retry("away".into())), [], "it may go on for hours");
    assert_eq!(hand(100, &notice::Outcome::Delivered).len(), 1);
}
