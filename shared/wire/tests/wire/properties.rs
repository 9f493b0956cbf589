//! What holds for any input.

use crate::samples;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use vedette_model::{Fact, FactKind, GroupName, Sender, Service, TraceId};
use vedette_wire::*;

fn kinds() -> impl Strategy<Value = FactKind> {
    select(FactKind::ALL)
}

fn facts() -> impl Strategy<Value = Fact> {
    select(samples::all())
}

fn group_names() -> impl Strategy<Value = GroupName> {
    prop_oneof![".{1,32}", "[a-z.=*> $/]{1,32}", "[A-Za-z0-9_-]{1,128}"]
        .prop_filter_map("not a group name", |text| GroupName::parse(&text).ok())
}

fn senders() -> impl Strategy<Value = Sender> {
    let services = select(vec![
        Service::Prober,
        Service::Voter,
        Service::Orchestrator,
        Service::Notifier,
        Service::Client,
    ]);
    (services, "[A-Za-z0-9_-]{1,64}", any::<u64>())
        .prop_map(|(service, id, life)| Sender::parse(service, &id, life).unwrap())
}

fn headers() -> impl Strategy<Value = Header> {
    let traces = (1..=u128::MAX).prop_map(|n| TraceId::try_from(format!("{n:032x}")).unwrap());
    let parents = (traces, any::<bool>()).prop_map(|(trace, live)| trace.traceparent(live));
    (kinds(), senders(), any::<u64>(), any::<u64>(), proptest::option::of(parents)).prop_map(
        |(kind, sender, sequence, sent_at_ms, traceparent)| Header {
            kind,
            sender,
            sequence,
            sent_at_ms,
            traceparent,
            tracestate: Some(tracestate(sequence)),
        },
    )
}

/// Adds a field to every object that stands for a struct; an object of one lower-case key may be
/// an enum's variant, which has no room for another.
fn add_fields(value: &mut Value, name: &str, extra: &Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| add_fields(item, name, extra)),
        Value::Object(fields) => {
            fields.values_mut().for_each(|field| add_fields(field, name, extra));
            if fields.len() > 1 {
                fields.insert(name.into(), extra.clone());
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn extras() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,16}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,4}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn escape_is_reversible_and_one_plain_token(group in group_names()) {
        let token = escape_group(&group);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_=-".contains(&b);
        prop_assert!(!token.is_empty() && token.bytes().all(allowed), "{}", token);
        prop_assert_eq!(unescape_group(&token).unwrap(), group);
    }

    #[test]
    fn whatever_unescapes_is_the_only_token_of_its_group(token in "[A-Fa-z0-9=_.-]{0,24}") {
        if let Ok(group) = unescape_group(&token) {
            prop_assert_eq!(escape_group(&group), token);
        }
    }

    #[test]
    fn any_bytes_and_any_text_decode_without_panic(
        kind in kinds(),
        bytes in proptest::collection::vec(any::<u8>(), 0..512),
        text in ".{0,64}",
    ) {
        let _ = decode(kind, &bytes);
        let subjects = Subjects::parse("vedette").unwrap();
        let subject = format!("vedette.v1.{text}");
        let _ = decode_message(&subjects, &subject, |_| Some(text.clone()), &bytes);
        let _ = subjects.group_of(&subject);
        let _ = unescape_group(&text);
    }

    #[test]
    fn damaged_facts_decode_without_panic(
        fact in facts(),
        cut in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let mut payload = encode(&fact).unwrap();
        for (at, byte) in flips {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        let _ = decode(fact.kind(), &payload);
        let _ = decode(fact.kind(), &payload[..cut.index(payload.len())]);
    }

    #[test]
    fn a_cut_fact_is_never_taken_for_a_whole_one(
        fact in facts(),
        cut in any::<prop::sample::Index>(),
    ) {
        let payload = encode(&fact).unwrap();
        prop_assert!(decode(fact.kind(), &payload[..cut.index(payload.len())]).is_err());
    }

    #[test]
    fn unknown_fields_are_ignored(
        fact in facts(),
        name in "new_[a-z]{1,8}",
        extra in extras(),
    ) {
        let payload = encode(&fact).unwrap();
        let json = matches!(fact.kind(), FactKind::MasterRecord | FactKind::Event);
        let mut value: Value = if json {
            serde_json::from_slice(&payload).unwrap()
        } else {
            rmp_serde::from_slice(&payload).unwrap()
        };
        add_fields(&mut value, &name, &extra);
        if let Value::Object(fields) = &mut value {
            fields.insert(name, extra);
        }
        let payload = if json {
            serde_json::to_vec(&value).unwrap()
        } else {
            rmp_serde::to_vec_named(&value).unwrap()
        };
        prop_assert_eq!(decode(fact.kind(), &payload), Ok(fact));
    }

    #[test]
    fn headers_survive_the_way(header in headers()) {
        let pairs: BTreeMap<_, _> = header.to_pairs().into_iter().collect();
        let read = Header::from_lookup(|name| pairs.get(name).cloned());
        prop_assert_eq!(read, Ok(header));
    }

    #[test]
    fn any_headers_are_read_without_panic(values in proptest::collection::vec(".{0,40}", 6)) {
        let names = [SCHEMA, KIND, SENDER, SEQUENCE, SENT_AT, TRACEPARENT];
        let pairs: BTreeMap<_, _> = names.into_iter().zip(values).collect();
        let lookup = |name: &str| match name {
            SCHEMA => Some("1".into()),
            KIND => Some("beat".into()),
            _ => pairs.get(name).cloned(),
        };
        let _ = Header::from_lookup(lookup);
    }
}
