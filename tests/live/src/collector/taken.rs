//! A span as it was taken.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// One span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// `service.name` of who recorded it.
    pub service: String,
    /// `service.instance.id` of who recorded it.
    pub instance: String,
    /// The trace id, 32 hexadecimal digits.
    pub trace: String,
    /// The span id, 16 hexadecimal digits.
    pub id: String,
    /// The parent's id; none for a root.
    pub parent: Option<String>,
    /// What it is.
    pub name: String,
    /// When it began, in nanoseconds since 1970.
    pub from: u64,
    /// When it ended, in nanoseconds since 1970.
    pub to: u64,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Its moments: when, in nanoseconds since 1970, what, and their attributes.
    pub events: Vec<(u64, String, BTreeMap<String, String>)>,
    /// Ids of the spans that it points to.
    pub links: Vec<String>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

impl Taken {
    /// An attribute's value, or nothing.
    pub fn attribute(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// The spans of a request.
pub(super) fn all(request: ExportTraceServiceRequest) -> Vec<Taken> {
    let mut all = Vec::new();
    for of_process in request.resource_spans {
        let resource = of_process.resource.map(|r| attributes(r.attributes)).unwrap_or_default();
        let key = |key: &str| resource.get(key).cloned().unwrap_or_default();
        let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
        all.extend(spans.map(|span| one(span, key("service.name"), key("service.instance.id"))));
    }
    all
}

fn one(span: Span, service: String, instance: String) -> Taken {
    let events = span.events.into_iter();
    Taken {
        service,
        instance,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: (!span.parent_span_id.is_empty()).then(|| hex(&span.parent_span_id)),
        name: span.name,
        from: span.start_time_unix_nano,
        to: span.end_time_unix_nano,
        attributes: attributes(span.attributes),
        events: events.map(|e| (e.time_unix_nano, e.name, attributes(e.attributes))).collect(),
        links: span.links.iter().map(|link| hex(&link.span_id)).collect(),
        // 2 is OpenTelemetry's code for an error.
        error: span.status.filter(|status| status.code == 2).map(|status| status.message),
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, pair.value.map(text).unwrap_or_default())).collect()
}

fn text(value: AnyValue) -> String {
    match value.value {
        Some(Value::StringValue(text)) => text,
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
