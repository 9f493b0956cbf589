//! What is made of facts that are kept.

use super::incident::incidents;
use super::*;
use serde_json::json;
use vedette_model::{
    BallotNumber, Epoch, Event, EventName, Fact, FailoverStep, GroupName, GroupRecord, LossBound,
    MasterRecord, NodeAddr, OrchestratorId, Quorum, RejectReason, Rejection, Sender, Service,
    Settings, Step, SwitchReason, TraceId, VoterId,
};
use vedette_runtime::history::{Gap, Kept, Past, What};

fn group() -> GroupName {
    GroupName::parse("orders").unwrap()
}

fn node(n: u16) -> NodeAddr {
    NodeAddr::new("10.0.0.1", 7_000 + n).unwrap()
}

/// The trace of an incident that begins in this epoch.
fn trace(epoch: u64) -> TraceId {
    TraceId::of(&group(), Epoch(epoch), &node(1), None)
}

/// Facts with their times.
#[derive(Default)]
struct Tape {
    past: Past,
    at_us: u64,
    epoch: u64,
}

impl Tape {
    fn new() -> Self {
        Self { past: Past::default(), at_us: 1_000_000_000, epoch: 1 }
    }

    fn keep(&mut self, ms: u64, service: Service, id: &str, fact: Fact) {
        self.at_us += ms * 1_000;
        let sender = Some(Sender::parse(service, id, 7).unwrap());
        self.past.kept.push(Kept { at_us: self.at_us, what: What::Said { sender, fact } });
    }

    fn event(&mut self, ms: u64, (service, id): (Service, &str), name: EventName, cause: &str) {
        let payload = format!("master orders 10.0.0.1 {}", 7_001);
        self.event_of(ms, (service, id), name, (payload, cause));
    }

    fn event_of(
        &mut self,
        ms: u64,
        (service, id): (Service, &str),
        name: EventName,
        (payload, cause): (String, &str),
    ) {
        let event = Event {
            id: format!("{id}:{}", self.past.kept.len()),
            group: group(),
            name,
            payload,
            cause: cause.into(),
            epoch: Epoch(self.epoch),
            source: format!("{service}/{id}"),
            trace_id: trace(self.epoch),
        };
        self.keep(ms, service, id, event.into());
    }

    fn sdown(&mut self, ms: u64, prober: &str) {
        let cause = "link broken, 3 reconnects refused";
        self.event(ms, (Service::Prober, prober), EventName::Sdown, cause);
    }

    fn odown(&mut self, ms: u64, voter: &str) {
        let cause = "quorum 2/2: p1 (link broken), p2 (link broken)";
        self.event(ms, (Service::Voter, voter), EventName::Odown, cause);
    }

    fn step(&mut self, ms: u64, step: Step) {
        let claimed = step == Step::Claimed;
        let selected = matches!(step, Step::Selected { .. });
        let voters = ["v1", "v3"].map(|id| VoterId::parse(id).unwrap());
        let rejected = [
            (node(1), RejectReason::FailedMaster),
            (node(3), RejectReason::TooFarBehind { bytes: 14 }),
        ];
        let rejected = rejected.map(|(node, reason)| Rejection { node, reason });
        let proposer = OrchestratorId::parse("o1").unwrap();
        let step = FailoverStep {
            group: group(),
            ballot: Some(BallotNumber { number: 4, proposer, incarnation: 7 }),
            step,
            elapsed_us: 5_500,
            trace_id: trace(self.epoch),
            votes: if claimed { voters.into() } else { Vec::new() },
            rejected: if selected { rejected.into() } else { Vec::new() },
            loss: None,
        };
        self.keep(ms, Service::Orchestrator, "o1", step.into());
    }

    /// The whole of a failover to a node.
    fn failover(&mut self, target: NodeAddr) {
        self.sdown(5, "p1");
        self.sdown(1, "p2");
        self.odown(1, "v1");
        self.odown(1, "v3");
        self.step(1, Step::Odown);
        self.event(0, (Service::Orchestrator, "o1"), EventName::TryFailover, "odown by 2 voters");
        self.step(2, Step::Claimed);
        self.step(1, Step::Surveyed { answered: 1, asked: 2 });
        self.step(3, Step::Selected { target: target.clone() });
        self.step(1, Step::Promoted { target: target.clone() });
        let epoch = Epoch(self.epoch + 1);
        self.step(2, Step::Committed { epoch });
        let settings = Settings::with_quorum(Quorum::parse(2).unwrap());
        let mut record = GroupRecord::first(group(), target, settings);
        record.epoch = epoch;
        record.switch.previous = Some(node(1));
        record.switch.reason = SwitchReason::Failover;
        record.switch.loss = LossBound { bytes: Some(0), as_of_ms: Some(957) };
        self.keep(0, Service::Orchestrator, "o1", MasterRecord::from(&record).into());
        self.epoch += 1;
        // A prober that has not heard of it yet.
        self.epoch -= 1;
        self.sdown(1, "p3");
        self.epoch += 1;
        self.step(4, Step::Repaired { node: node(3) });
    }

    fn end(&mut self) {
        let cause = "every reachable node is in line";
        self.event(5, (Service::Orchestrator, "o1"), EventName::FailoverEnd, cause);
        self.step(0, Step::Ended);
    }

    fn report(&self, n: usize) -> Report {
        Report::of(&incidents(&self.past.kept)[n], &self.past, None)
    }
}

#[test]
fn a_failover_is_explained_from_its_evidence_to_its_end() {
    let mut tape = Tape::new();
    tape.failover(node(2));
    tape.end();
    let report = tape.report(0);
    assert_eq!(report.outcome, "failover");
    assert_eq!(report.id, trace(1).to_string());
    assert_eq!(report.ended.as_deref(), Some("1970-01-01 00:16:40.028Z"));
    let who: Vec<_> = report.evidence.iter().map(|said| said.by.as_str()).collect();
    assert_eq!(who, ["prober/p1", "prober/p2", "prober/p3"]);
    assert_eq!((report.evidence[0].at_ms, report.verdicts[0].at_ms), (0.0, 2.0));
    assert_eq!(report.votes[0].promised, ["v1", "v3"]);
    let candidates: Vec<_> =
        report.candidates.iter().map(|c| (c.chosen, c.reason.as_deref())).collect();
    let wanted = [
        (true, None),
        (false, Some("the failed master")),
        (false, Some("14 bytes behind the furthest")),
    ];
    assert_eq!(candidates, wanted);
    assert_eq!(report.loss, Some(LossBound { bytes: Some(0), as_of_ms: Some(957) }));
    assert_eq!((report.steps.len(), report.steps[1].elapsed_ms), (8, 5.5));
    assert!(report.why_not.is_empty());
    let wanted = "failover: 10.0.0.1:7001 → 10.0.0.1:7002, epoch 2, lost at most 0 bytes and what \
                  came in the last 957 ms before";
    assert_eq!(report.text, wanted);
    assert_eq!(report.evidence[0].text, "link broken, 3 reconnects refused");
    let promoted = "step: 10.0.0.1:7002 promoted after 5.5 ms";
    assert!(report.timeline.iter().any(|line| line.text.contains(promoted)), "{report:?}");
}

#[test]
fn a_failover_of_which_the_end_is_not_kept_is_not_over_until_the_next_doubt() {
    let mut tape = Tape::new();
    tape.failover(node(2));
    assert!(!incidents(&tape.past.kept)[0].is_over());
    assert!(tape.report(0).text.contains("the others are not all in line"));
    tape.sdown(60_000, "p1");
    let all = incidents(&tape.past.kept);
    assert_eq!(all.len(), 2);
    assert_ne!(all[0].id, all[1].id, "another reign, another trace");
}

#[test]
fn a_master_that_comes_back_in_time_is_no_failover() {
    let mut tape = Tape::new();
    for _ in 0..2 {
        tape.sdown(5, "p1");
        let over = "what was wrong with it is over";
        tape.event(900, (Service::Prober, "p1"), EventName::SdownOver, over);
    }
    let all = incidents(&tape.past.kept);
    assert_eq!(all.len(), 2, "each is one of its own");
    assert_eq!(all[1].id, format!("{}-2", all[0].id));
    assert_eq!(Outcome::of(&all[0]), Outcome::NotTried);
    let text = tape.report(0).text;
    assert!(text.starts_with("no attempt: 1 probers called the master down (prober/p1)"), "{text}");
    assert!(text.ends_with("the master came back"), "{text}");
}

#[test]
fn what_kept_a_failover_from_beginning_is_the_reason() {
    let mut tape = Tape::new();
    tape.sdown(5, "p1");
    tape.sdown(1, "p2");
    tape.odown(1, "v1");
    let why = "1 of 2 needed voters say odown, v2 and v3 do not: nothing is done";
    tape.step(1_000, Step::Waiting { why: why.into() });
    let report = tape.report(0);
    assert_eq!((report.outcome, report.ended.as_ref()), ("no_attempt", None));
    assert_eq!(report.why_not, [why]);
    // Nobody has said why, because nobody was there.
    tape.past.kept.pop();
    let why = &tape.report(0).why_not[0];
    assert!(why.contains("1 voters said odown (voter/v1), and no orchestrator"), "{why}");
}

#[test]
fn an_attempt_that_was_given_up_says_why_and_the_next_one_belongs_to_it() {
    let mut tape = Tape::new();
    tape.sdown(5, "p1");
    tape.odown(1, "v1");
    tape.step(1, Step::Claimed);
    let why = "no replica can be promoted: 10.0.0.1:7002 (priority 0)";
    tape.step(1, Step::Aborted { why: why.into() });
    let report = tape.report(0);
    assert_eq!((report.outcome, report.why_not[0].as_str()), ("given_up", why));
    tape.failover(node(2));
    tape.end();
    let all = incidents(&tape.past.kept);
    assert_eq!(all.len(), 1);
    assert!(matches!(Outcome::of(&all[0]), Outcome::Switched(_)));
}

#[test]
fn a_person_who_wants_another_master_needs_nobody_to_call_it_down() {
    let mut tape = Tape::new();
    let wish = "a person wants another master";
    tape.event(5, (Service::Orchestrator, "o1"), EventName::TryFailover, wish);
    tape.step(1, Step::Claimed);
    tape.step(1, Step::Aborted { why: "the master did not answer".into() });
    let all = incidents(&tape.past.kept);
    assert!(all[0].is_over());
    assert_eq!(tape.report(0).why_not, ["the master did not answer"]);
}

#[test]
fn an_id_is_found_by_its_beginning() {
    let mut tape = Tape::new();
    tape.failover(node(2));
    let incident = &incidents(&tape.past.kept)[0];
    assert!(incident.is_called(&incident.id) && incident.is_called(&incident.id[..6]));
    assert!(!incident.is_called(&incident.id[..5]) && !incident.is_called("nothing"));
}

#[test]
fn the_latest_of_a_group_and_one_by_its_id_are_found() {
    let mut tape = Tape::new();
    let none = Found::latest(Past::default(), &group()).err().unwrap().to_string();
    assert!(none.contains("nothing is kept at all"), "{none}");
    tape.failover(node(2));
    tape.end();
    tape.sdown(60_000, "p1");
    tape.past.oldest_us = Some(0);
    let all = incidents(&tape.past.kept);
    let latest = Found::latest(tape.past.clone(), &group()).unwrap();
    assert_eq!(latest.report(None).id, all[1].id);
    let other = GroupName::parse("others").unwrap();
    assert!(Found::latest(tape.past.clone(), &other).is_err());
    let first = Found::called(tape.past.clone(), &all[0].id[..8]).unwrap();
    assert_eq!(first.incident.id, all[0].id);
    let none = Found::called(tape.past, "nothing").err().unwrap().to_string();
    assert!(none.ends_with("the history goes back to 1970-01-01 00:00:00.000Z"), "{none}");
}

#[test]
fn the_beginning_of_several_ids_names_them() {
    let mut tape = Tape::new();
    for _ in 0..2 {
        tape.sdown(5, "p1");
        tape.event(900, (Service::Prober, "p1"), EventName::SdownOver, "it is over");
    }
    let id = trace(1).to_string();
    let several = Unfound::Several { ids: vec![id.clone(), format!("{id}-2")] };
    assert_eq!(Found::called(tape.past, &id[..6]).err(), Some(several));
}

#[test]
fn the_list_holds_what_else_happened_and_a_gap_as_a_gap() {
    let mut tape = Tape::new();
    let who = ["p1", "p2"].map(|id| (Service::Prober, id));
    for (service, id) in who {
        let payload = "slave 10.0.0.1:7003 10.0.0.1 7003 @ orders 10.0.0.1 7001".to_owned();
        tape.event_of(5, (service, id), EventName::Sdown, (payload, "silent for 500 ms"));
    }
    tape.failover(node(2));
    tape.end();
    let gap = Gap { by: "orchestrator/o1".into(), from_ms: 1_000_020, to_ms: 1_000_025 };
    tape.past.kept.push(Kept { at_us: tape.at_us + 1, what: What::Gap(gap.clone()) });
    let entries = Entries::of(&tape.past);
    let objects = entries.json().unwrap();
    let kinds: Vec<_> = objects.iter().map(|object| object["kind"].as_str()).collect();
    assert_eq!(kinds, [Some("event"), Some("incident"), Some("gap")]);
    assert_eq!(objects[0]["by"], json!(["prober/p1", "prober/p2"]));
    assert_eq!(objects[0]["event"]["cause"], "silent for 500 ms");
    let text = objects[1]["text"].as_str().unwrap();
    assert!(text.starts_with("failover: 10.0.0.1:7001 → 10.0.0.1:7002"), "{text}");
    assert_eq!(objects[2]["gap"]["by"], "orchestrator/o1");
    assert_eq!(tape.report(0).gaps, [gap]);
}

#[test]
fn a_change_of_which_only_the_announcement_was_kept_is_an_incident_and_is_told_once() {
    let mut tape = Tape::new();
    tape.failover(node(2));
    tape.end();
    let announced = tape.past.kept.iter().find_map(|kept| match &kept.what {
        What::Said { fact: Fact::MasterRecord(record), .. } => Some(record.clone()),
        What::Said { .. } | What::Gap(_) | What::Unreadable(_) => None,
    });
    let known = announced.unwrap();
    let unheard = MasterRecord {
        epoch: Epoch(known.epoch.0 + 1),
        previous: Some(node(2)),
        master: node(3),
        trace_id: trace(9),
        ..known.clone()
    };
    for record in [known, unheard.clone(), unheard] {
        tape.keep(5, Service::Orchestrator, "o1", record.into());
    }
    let all = incidents(&tape.past.kept);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[1].id, trace(9).to_string());
    assert!(all[1].is_over());
    let text = Outcome::of(&all[1]).text(&all[1]);
    assert!(text.starts_with("failover: 10.0.0.1:7002 → 10.0.0.1:7003"), "{text}");
    assert_eq!(Entries::of(&tape.past).0.len(), 2);
}

#[test]
fn a_handover_that_lost_nothing_says_so() {
    let handed_over = LossBound { bytes: Some(0), as_of_ms: Some(0) };
    assert_eq!(super::reason::loss(handed_over), "nothing lost");
    let unknown = super::reason::loss(LossBound::default());
    assert_eq!(unknown, "lost at most an unknown number of bytes");
}
