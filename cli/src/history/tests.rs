//! What people read of it.

use super::text;
use serde_json::Value;
use vedette_history::report::{Candidate, Line, Said, Vote};
use vedette_history::{Entries, Report, Today};
use vedette_model::{
    Epoch, Event, EventName, Fact, GroupName, GroupRecord, LossBound, MasterRecord, NodeAddr,
    Quorum, Sender, Service, Settings, SwitchReason, TraceId,
};
use vedette_runtime::history::{Gap, Kept, Past, What};

fn said(at_us: u64, service: Service, id: &str, fact: Fact) -> Kept {
    let sender = Some(Sender::parse(service, id, 7).unwrap());
    Kept { at_us, what: What::Said { sender, fact } }
}

/// A replica that two probers call down, a change of master, and a gap.
fn kept() -> Vec<Kept> {
    let group = GroupName::parse("orders").unwrap();
    let node = |port| NodeAddr::new("10.0.0.1", port).unwrap();
    let settings = Settings::with_quorum(Quorum::parse(2).unwrap());
    let mut record = GroupRecord::first(group.clone(), node(7_002), settings);
    record.epoch = Epoch(2);
    record.switch.previous = Some(node(7_001));
    record.switch.reason = SwitchReason::Failover;
    record.switch.loss = LossBound { bytes: Some(0), as_of_ms: Some(957) };
    let down = |prober: &str| Event {
        id: prober.into(),
        group: group.clone(),
        name: EventName::Sdown,
        payload: "slave 10.0.0.1:7003 10.0.0.1 7003 @ orders 10.0.0.1 7001".into(),
        cause: "silent for 500 ms".into(),
        epoch: Epoch(1),
        source: format!("prober/{prober}"),
        trace_id: TraceId::of(&group, Epoch(1), &node(7_001), None),
    };
    let gap = Gap { by: "orchestrator/o1".into(), from_ms: 1_000_020, to_ms: 1_000_025 };
    vec![
        said(1_000_005_000, Service::Prober, "p1", down("p1").into()),
        said(1_000_010_000, Service::Prober, "p2", down("p2").into()),
        said(1_000_020_000, Service::Orchestrator, "o1", MasterRecord::from(&record).into()),
        Kept { at_us: 1_000_030_000, what: What::Gap(gap) },
    ]
}

#[test]
fn a_list_says_how_far_back_it_goes_and_shows_a_gap_as_a_gap() {
    let past = Past { kept: kept(), oldest_us: Some(1_000_005_000), shortened: true };
    let text = text::listing(&Entries::of(&past), &past);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].contains("what was before is not kept any more"), "{text}");
    assert!(lines[1].ends_with("silent for 500 ms (prober/p1, prober/p2)"), "{text}");
    assert!(lines[2].contains("failover: 10.0.0.1:7001 → 10.0.0.1:7002"), "{text}");
    assert!(
        lines[3].contains("GAP: orchestrator/o1 could not reach the history from 1970"),
        "{text}"
    );
}

#[test]
fn an_incident_is_told_from_its_evidence_to_what_is_said_now() {
    let report = Report {
        id: "276ec50b9733".into(),
        group: "orders".into(),
        outcome: "failover",
        text: "failover: 10.0.0.1:7001 → 10.0.0.1:7002".into(),
        began: "2026-11-22 00:10:03.123Z".into(),
        ended: None,
        evidence: vec![Said {
            at_ms: 0.0,
            by: "prober/p1".into(),
            text: "link broken, 3 reconnects refused".into(),
        }],
        verdicts: Vec::new(),
        votes: vec![Vote {
            at_ms: 3.0,
            leader: "orchestrator/o1".into(),
            ballot: None,
            promised: vec!["v1".into(), "v3".into()],
        }],
        candidates: vec![Candidate {
            node: "10.0.0.1:7003".into(),
            chosen: false,
            reason: Some("14 bytes behind the furthest".into()),
        }],
        loss: Some(LossBound { bytes: Some(0), as_of_ms: Some(957) }),
        steps: Vec::new(),
        why_not: Vec::new(),
        gaps: Vec::new(),
        today: Some(Today {
            quorum: Some(2),
            voters: 3,
            says: vec![("voter/v1".into(), "a\nb".into())],
        }),
        timeline: vec![Line {
            at: "2026-11-22 00:10:03.130Z".into(),
            at_ms: 7.0,
            sender: "orchestrator/o1".into(),
            text: "step: 10.0.0.1:7002 promoted after 5.5 ms".into(),
            kind: "failover-step",
            fact: Value::Null,
        }],
    };
    let text = text::explained(&report);
    for words in [
        "orders  failover: 10.0.0.1:7001 → 10.0.0.1:7002\n",
        "began 2026-11-22 00:10:03.123Z, not over; id 276ec50b9733\n",
        "prober/p1          link broken, 3 reconnects refused\n",
        "what the voters made of it\n                nothing\n",
        "by v1, v3\n",
        "10.0.0.1:7003         14 bytes behind the furthest\n",
        "lost at most 0 bytes and what came in the last 957 ms before\n",
        "as it is now: 3 voters answer\n                voter/v1           a b\n",
        "    0.007  orchestrator/o1  orders       step: 10.0.0.1:7002 promoted after 5.5 ms\n",
    ] {
        assert!(text.contains(words), "{words}\n{text}");
    }
}
