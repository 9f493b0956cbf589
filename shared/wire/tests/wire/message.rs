//! Whole messages: subject, headers and payload together.

use crate::samples::{self, all, group, odd_group};
use std::collections::BTreeMap;
use vedette_model::{
    Digest, Event, EventName, Fact, FactKind, GroupName, Heartbeat, MasterQuery, MasterRecord,
    Revision, Sender, Service,
};
use vedette_wire::*;

fn subjects() -> Subjects {
    Subjects::parse("vedette").unwrap()
}

fn sender() -> Sender {
    Sender::parse(Service::Voter, "v1", 0xab).unwrap()
}

fn header(kind: FactKind) -> Header {
    Header {
        kind,
        sender: sender(),
        sequence: 5,
        sent_at_ms: 1_700_000_000_000,
        traceparent: None,
        tracestate: None,
    }
}

fn map(header: &Header) -> BTreeMap<String, String> {
    header.to_pairs().into_iter().map(|(name, value)| (name.into(), value)).collect()
}

fn receive(
    subject: &str,
    headers: &BTreeMap<String, String>,
    payload: &[u8],
) -> Result<(Option<Header>, Fact), DecodeError> {
    decode_message(&subjects(), subject, |name| headers.get(name).cloned(), payload)
}

/// Whether a subscription receives a subject, by NATS's rules.
fn matches(pattern: &str, subject: &str) -> bool {
    let (pattern, subject): (Vec<_>, Vec<_>) =
        (pattern.split('.').collect(), subject.split('.').collect());
    pattern.len() == subject.len()
        && pattern.iter().zip(&subject).all(|(p, s)| !s.is_empty() && (*p == "*" || p == s))
}

fn sample(kind: FactKind) -> Fact {
    samples::samples(kind).remove(0)
}

#[test]
fn subjects_read_as_documented() {
    let expected = [
        (FactKind::SdownReport, "vedette.v1.sdown.mymaster.p1"),
        (FactKind::NodeReport, "vedette.v1.node.mymaster.p1"),
        (FactKind::OdownVerdict, "vedette.v1.odown.mymaster.v1"),
        (FactKind::Candidacy, "vedette.v1.candidacy.mymaster"),
        (FactKind::Proposal, "vedette.v1.proposal.mymaster"),
        (FactKind::Beat, "vedette.v1.beat.mymaster"),
        (FactKind::RecordCommitted, "vedette.v1.record.mymaster"),
        (FactKind::FailoverStep, "vedette.v1.failover.mymaster"),
        (FactKind::Digest, "vedette.v1.digest"),
        (FactKind::RosterBallot, "vedette.v1.roster"),
        (FactKind::Rejoin, "vedette.v1.rejoin"),
        (FactKind::Instruction, "vedette.v1.instruction.mymaster"),
        (FactKind::Heartbeat, "vedette.v1.alive.prober.p1"),
        (FactKind::StatusQuery, "vedette.v1.status"),
        (FactKind::MasterQuery, "vedette.v1.ask.master.mymaster"),
        (FactKind::MasterRecord, "vedette.v1.master.mymaster"),
        (FactKind::Event, "vedette.v1.event.mymaster.+monitor"),
    ];
    for (kind, subject) in expected {
        assert_eq!(subjects().of(&sample(kind)).as_deref(), Some(subject));
    }
    let roster = samples::samples(FactKind::Instruction).pop().unwrap();
    assert_eq!(subjects().of(&roster).as_deref(), Some("vedette.v1.instruction.=roster"));
    let replies = FactKind::ALL.len() - expected.len();
    assert_eq!(FactKind::ALL.iter().filter(|k| subjects().pattern(**k).is_none()).count(), replies);
    assert_eq!(subjects().reply(&sender()), "vedette.v1.reply.voter.v1.00000000000000ab");
    assert_eq!(subjects().everything(), "vedette.v1.>");
    assert_eq!(subjects().masters_bucket(), "vedette-masters");
    assert_eq!(subjects().masters_key(&odd_group()), "prod=2Ek=C3=A4se=3D=2A=3E1");
}

#[test]
fn only_the_pattern_of_a_kind_receives_its_facts() {
    for fact in all() {
        let subject = subjects().of(&fact);
        assert_eq!(subject.is_some(), subjects().pattern(fact.kind()).is_some());
        let Some(subject) = subject else { continue };
        for &kind in FactKind::ALL {
            let received = subjects().pattern(kind).is_some_and(|p| matches(&p, &subject));
            assert_eq!(received, kind == fact.kind(), "{subject} by {}", kind.as_str());
        }
    }
}

#[test]
fn group_is_found_in_every_subject_that_has_one() {
    for kind in FactKind::ALL {
        let found = subjects().of(&sample(*kind)).and_then(|s| subjects().group_of(&s));
        let without = [
            FactKind::Digest,
            FactKind::Heartbeat,
            FactKind::StatusQuery,
            FactKind::RosterBallot,
            FactKind::Rejoin,
        ];
        let expected = subjects().pattern(*kind).is_some() && !without.contains(kind);
        assert_eq!(found, expected.then(group), "{}", kind.as_str());
    }
    let query = Fact::from(MasterQuery { group: odd_group() });
    assert_eq!(subjects().group_of(&subjects().of(&query).unwrap()), Some(odd_group()));
    for foreign in ["", "vedette", "other.v1.master.a", "vedette.v2.master.a", "vedette.v1.master"]
    {
        assert_eq!(subjects().group_of(foreign), None, "{foreign}");
    }
}

#[test]
fn prefix_is_one_plain_word() {
    assert!(Subjects::parse("Vedette_2-x").is_ok());
    for bad in ["", "a.b", "a b", "*", ">", "$SYS", "ä", &"x".repeat(65)] {
        assert!(matches!(Subjects::parse(bad), Err(SubjectError::Prefix { .. })), "{bad}");
    }
}

#[test]
fn each_group_has_exactly_one_token() {
    for other in ["a=61", "=c3=a4", "a=", "a=4", "a=+4", "a.b", "=C3", "", "=0A", "=ä"] {
        assert!(unescape_group(other).is_err(), "{other}");
    }
}

#[test]
fn questions_and_only_questions_want_replies() {
    let asking: Vec<_> =
        FactKind::ALL.iter().filter(|k| wants_reply(**k)).map(|k| k.as_str()).collect();
    let expected = [
        "candidacy",
        "proposal",
        "beat",
        "digest",
        "roster-ballot",
        "rejoin",
        "instruction",
        "status",
        "master-query",
    ];
    assert_eq!(asking, expected);
}

#[test]
fn every_fact_arrives_whole() {
    let mailbox = subjects().reply(&sender());
    for fact in all() {
        let subject = subjects().of(&fact).unwrap_or_else(|| mailbox.clone());
        let head = header(fact.kind());
        let got = receive(&subject, &map(&head), &encode(&fact).unwrap());
        assert_eq!(got, Ok((Some(head), fact)));
    }
}

#[test]
fn application_asks_for_a_master_by_subject_alone() {
    for group in [group(), odd_group()] {
        let subject = subjects().of(&MasterQuery { group: group.clone() }.into()).unwrap();
        let query = Ok((None, MasterQuery { group }.into()));
        assert_eq!(receive(&subject, &BTreeMap::new(), b""), query);
        let foreign = BTreeMap::from([(TRACEPARENT.into(), "whatever".into())]);
        assert_eq!(receive(&subject, &foreign, b"hello?"), query);
    }
}

#[test]
fn message_without_headers_is_refused_everywhere_else() {
    let missing = Err(DecodeError::Header(HeaderError::Missing { name: SCHEMA }));
    for subject in ["vedette.v1.ask.master.a.b", "vedette.v1.ask.master.*", "vedette.v1.beat.a"] {
        assert_eq!(receive(subject, &BTreeMap::new(), b""), missing, "{subject}");
    }
}

#[test]
fn fact_on_a_foreign_subject_is_misplaced() {
    let fact = sample(FactKind::SdownReport);
    let payload = encode(&fact).unwrap();
    let headers = map(&header(fact.kind()));
    let mailbox = subjects().reply(&sender());
    for subject in
        ["vedette.v1.sdown.mymaster.p2", "vedette.v1.beat.mymaster", "_INBOX.x", &mailbox]
    {
        let got = receive(subject, &headers, &payload).unwrap_err();
        assert_eq!(got, DecodeError::Misplaced { kind: fact.kind(), subject: subject.into() });
        assert_eq!(got.reason(), "misplaced");
    }
}

#[test]
fn answers_may_come_to_mailboxes_and_inboxes() {
    for kind in [FactKind::Heartbeat, FactKind::MasterRecord, FactKind::Ballot] {
        let fact = sample(kind);
        let payload = encode(&fact).unwrap();
        for subject in [subjects().reply(&sender()), "_INBOX.abc.1".into()] {
            assert!(receive(&subject, &map(&header(kind)), &payload).is_ok(), "{subject}");
        }
    }
    let ballot = sample(FactKind::Ballot);
    let got = receive(
        "vedette.v1.beat.mymaster",
        &map(&header(FactKind::Ballot)),
        &encode(&ballot).unwrap(),
    );
    assert!(matches!(got, Err(DecodeError::Misplaced { .. })));
}

#[test]
fn answers_go_to_mailboxes_and_inboxes_only() {
    for mailbox in [&subjects().reply(&sender())[..], "_INBOX.abc.1", "_R_.abc.1", "mine"] {
        assert!(subjects().is_mailbox(mailbox), "{mailbox}");
    }
    let ours = ["vedette.v1.master.orders", "vedette.v1.record.orders", "vedette.v2.reply.a.b.1"];
    let others = ["$KV.vedette-masters.orders", "$JS.API.STREAM.PURGE.a", "vedette.history.gap"];
    for subject in ours.into_iter().chain(others) {
        assert!(!subjects().is_mailbox(subject), "{subject}");
    }
}

#[test]
fn each_bad_header_has_its_error() {
    let fact = sample(FactKind::Beat);
    let payload = encode(&fact).unwrap();
    let subject = subjects().of(&fact).unwrap();
    let with = |name: &str, value: &str| {
        let mut headers = map(&header(FactKind::Beat));
        headers.insert(name.into(), value.into());
        receive(&subject, &headers, &payload).map_err(|e| e.reason())
    };
    assert_eq!(with(SCHEMA, "2"), Err("schema"));
    assert_eq!(with(SCHEMA, "01"), Err("schema"));
    assert_eq!(with(KIND, "gossip"), Err("kind"));
    assert_eq!(with(KIND, "candidacy"), Err("undecodable"));
    assert_eq!(with(SEQUENCE, "-1"), Err("header"));
    assert_eq!(with(SENT_AT, "yesterday"), Err("header"));
    for bad in ["", "voter/v1", "king/v1/00000000000000ab", "voter/v.1/00000000000000ab"] {
        assert_eq!(with(SENDER, bad), Err("header"), "{bad}");
    }
    for bad in ["voter/v1/ab", "voter/v1/00000000000000AB", "voter/v1/+0000000000000ab"] {
        assert_eq!(with(SENDER, bad), Err("header"), "{bad}");
    }
    for name in [SCHEMA, KIND, SENDER, SEQUENCE, SENT_AT] {
        let mut headers = map(&header(FactKind::Beat));
        headers.remove(name);
        let got = receive(&subject, &headers, &payload);
        assert_eq!(got, Err(DecodeError::Header(HeaderError::Missing { name })));
    }
}

#[test]
fn bad_traceparent_counts_as_absent() {
    let zero_span = format!("00-{}-{}-01", "1".repeat(32), "0".repeat(16));
    for bad in ["", "00-xyz", &zero_span, "00-1\r\nX: y"] {
        let head = Header { traceparent: Some(bad.into()), ..header(FactKind::Beat) };
        assert!(!map(&head).contains_key(TRACEPARENT), "{bad}");
        let mut headers = map(&head);
        headers.insert(TRACEPARENT.into(), bad.into());
        let read = Header::from_lookup(|name| headers.get(name).cloned()).unwrap();
        assert_eq!(read.traceparent, None);
    }
}

#[test]
fn trace_is_that_of_the_incident() {
    let traced: Vec<_> = FactKind::ALL
        .iter()
        .filter(|kind| samples::samples(**kind).iter().any(|fact| fact.trace().is_some()))
        .map(|kind| kind.as_str())
        .collect();
    assert_eq!(traced, ["proposal", "record", "failover", "master", "event"]);
    let commits = samples::samples(FactKind::RecordCommitted);
    let under_way: Vec<_> = commits.iter().map(|c| c.trace().is_some()).collect();
    assert_eq!(under_way, [false, true, false, false, false]);

    let trace = sample(FactKind::Event).trace().unwrap();
    let root = &trace.to_string()[16..];
    assert_eq!(trace.traceparent(true), format!("00-{trace}-{root}-01"));
    assert_eq!(trace.traceparent(false), format!("00-{trace}-{root}-00"));
}

#[test]
fn payloads_have_a_limit_both_ways() {
    let name = |n: usize| GroupName::parse(&format!("{n:0128}")).unwrap();
    let digest = |n| Fact::from(Digest { have: (0..n).map(|n| (name(n), Revision(1))).collect() });
    let fits = encode(&digest(7_900)).unwrap();
    assert!(fits.len() <= MESSAGE_LIMIT - HEADER_ROOM);
    let error = encode(&digest(8_000)).unwrap_err();
    assert!(matches!(error, EncodeError::TooLong { kind: FactKind::Digest, .. }), "{error}");

    let long = vec![0; MESSAGE_LIMIT + 1];
    let too_long = DecodeError::TooLong { len: long.len() };
    assert_eq!(decode(FactKind::Digest, &long), Err(too_long.clone()));
    assert_eq!(receive("vedette.v1.ask.master.a", &BTreeMap::new(), &long), Err(too_long));
}

#[test]
fn headers_fit_the_room_left_to_them() {
    let id = "x".repeat(64);
    for &kind in FactKind::ALL {
        let largest = Header {
            kind,
            sender: Sender::parse(Service::Orchestrator, &id, u64::MAX).unwrap(),
            sequence: u64::MAX,
            sent_at_ms: u64::MAX,
            traceparent: sample(FactKind::Event).trace().map(|t| t.traceparent(true)),
            tracestate: Some(tracestate(u64::MAX)),
        };
        let lines = largest.to_pairs().iter().map(|(k, v)| k.len() + v.len() + 4).sum::<usize>();
        assert!("NATS/1.0\r\n\r\n".len() + lines <= HEADER_ROOM);
    }
}

#[test]
fn public_record_of_another_version_is_named() {
    let Fact::MasterRecord(record) = sample(FactKind::MasterRecord) else { unreachable!() };
    let newer = encode(&MasterRecord { schema: 2, ..record.clone() }.into()).unwrap();
    let error = DecodeError::Schema { kind: FactKind::MasterRecord, given: 2 };
    assert_eq!(decode(FactKind::MasterRecord, &newer), Err(error.clone()));
    assert_eq!(decode(FactKind::MasterRecord, br#"{"schema":2,"master":{}}"#), Err(error));

    let torn = encode(&MasterRecord { port: 1, ..record }.into()).unwrap();
    assert!(matches!(decode(FactKind::MasterRecord, &torn), Err(DecodeError::Undecodable { .. })));
}

#[test]
fn what_types_do_not_promise_is_checked() {
    let undecodable = |kind, payload: &[u8]| {
        let got = decode(kind, payload);
        assert!(matches!(got, Err(DecodeError::Undecodable { .. })), "{got:?}");
    };
    let Fact::Heartbeat(beat) = sample(FactKind::Heartbeat) else { unreachable!() };
    for id in ["", "a.b", "x y"] {
        let forged = Heartbeat { id: id.into(), ..beat.clone() };
        undecodable(FactKind::Heartbeat, &encode(&forged.into()).unwrap());
    }

    // A roster cannot be empty, so an empty one has to be forged byte by byte.
    let voter = samples::samples(FactKind::Heartbeat).remove(1);
    let whole = encode(&voter).unwrap();
    let list = b"\xa6voters\x93\xa2v1\xa2v2\xa2v3";
    let at = whole.windows(list.len()).position(|w| w == list).unwrap();
    let forged = [&whole[..at], b"\xa6voters\x90", &whole[at + list.len()..]].concat();
    undecodable(FactKind::Heartbeat, &forged);

    let trailing = [encode(&sample(FactKind::Beat)).unwrap(), vec![0]].concat();
    undecodable(FactKind::Beat, &trailing);
}

#[test]
fn deep_nesting_is_an_error() {
    for &kind in FactKind::ALL {
        assert!(decode(kind, &vec![0x91; MESSAGE_LIMIT]).is_err());
        assert!(decode(kind, &vec![b'['; MESSAGE_LIMIT]).is_err());
        // Hidden in a field that is ignored.
        let hidden = [b"\x81\xa1x".to_vec(), vec![0x91; 100_000]].concat();
        assert!(decode(kind, &hidden).is_err());
    }
}

#[test]
fn errors_quote_no_more_than_a_line() {
    let text = "x".repeat(100_000);
    let event = format!(r#"{{"id":"","group":"a","name":"{text}"}}"#);
    let error = decode(FactKind::Event, event.as_bytes()).unwrap_err();
    assert!(error.to_string().len() < 400, "{error}");
    let Fact::Event(event) = sample(FactKind::Event) else { unreachable!() };
    let fine = Event { name: EventName::SwitchMaster, ..event };
    assert_eq!(decode(FactKind::Event, &encode(&fine.clone().into()).unwrap()), Ok(fine.into()));
}
