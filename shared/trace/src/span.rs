//! A span, and how its id is computed.

use crate::names;
use vedette_model::{NodeAddr, TraceId};
use vedette_protocol::hash::mixed;

/// A piece of an incident, complete. Times are the wall clock's, in microseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// Which incident.
    pub trace: TraceId,
    /// Its id.
    pub id: u64,
    /// Its parent's id; none for the root.
    pub parent: Option<u64>,
    /// One of [`names::SPANS`].
    pub name: &'static str,
    /// Which way it points.
    pub kind: Kind,
    /// When it began.
    pub from_us: u64,
    /// When it ended, not before it began.
    pub to_us: u64,
    /// Keys of [`names::ATTRIBUTES`] with values.
    pub attributes: Vec<(&'static str, Value)>,
    /// Moments in it.
    pub marks: Vec<Mark>,
    /// Ids of other spans of the trace that led to it.
    pub links: Vec<u64>,
    /// Why it failed, if it did.
    pub error: Option<String>,
}

/// OpenTelemetry's span kinds, as far as they fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Inside of one process.
    Internal,
    /// Asks a node.
    Client,
    /// Tells the bus.
    Producer,
    /// Answers what came by the bus.
    Consumer,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Words.
    Text(String),
    /// A number.
    Count(u64),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<u64> for Value {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

/// A moment in a span.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// When, in microseconds since 1970.
    pub at_us: u64,
    /// What: the name of an event, or who answered.
    pub name: String,
    /// Keys of [`names::ATTRIBUTES`] with values.
    pub attributes: Vec<(&'static str, Value)>,
}

impl Mark {
    /// A moment.
    pub fn new(at_us: u64, name: impl Into<String>) -> Self {
        Self { at_us, name: name.into(), attributes: Vec::new() }
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((key, value.into()));
        self
    }
}

/// The id of another span of the trace: `who` tells those of one name apart.
pub fn id(trace: TraceId, name: &str, who: &str) -> u64 {
    let trace = trace.as_u128().to_be_bytes().into_iter();
    mixed(trace.chain(name.bytes()).chain([0xff]).chain(who.bytes())).max(1)
}

impl Span {
    /// A child of the root.
    pub fn new(trace: TraceId, name: &'static str, who: &str, from_us: u64, to_us: u64) -> Self {
        Self {
            trace,
            id: id(trace, name, who),
            parent: Some(trace.root_span()),
            name,
            kind: Kind::Internal,
            from_us,
            to_us: to_us.max(from_us),
            attributes: Vec::new(),
            marks: Vec::new(),
            links: Vec::new(),
            error: None,
        }
    }

    /// With an attribute.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push((key, value.into()));
        self
    }

    /// With an attribute, if there is a value.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// As a command to a node of Redis.
    #[must_use]
    pub fn to_node(self, node: &NodeAddr, operation: &str) -> Self {
        Self { kind: Kind::Client, ..self }
            .with(names::DB_SYSTEM, "redis")
            .with(names::DB_OPERATION, operation)
            .with(names::SERVER_ADDRESS, node.host())
            .with(names::SERVER_PORT, u64::from(node.port()))
            .with(names::NODE, node.to_string())
    }

    /// As failed, if it did.
    #[must_use]
    pub fn failed(self, why: Option<String>) -> Self {
        Self { error: why, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{Epoch, GroupName};

    fn trace() -> TraceId {
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        TraceId::of(&GroupName::parse("g").unwrap(), Epoch(1), &master, None)
    }

    #[test]
    fn spans_of_one_trace_have_ids_of_their_own_that_everybody_comes_to() {
        let ids = [
            trace().root_span(),
            id(trace(), names::DETECT, "p1"),
            id(trace(), names::DETECT, "p2"),
            id(trace(), names::VERDICT, "p1"),
        ];
        let distinct: std::collections::BTreeSet<_> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
        // Services of two versions meet in one trace: the number is part of the protocol.
        assert_eq!(format!("{:016x}", id(trace(), "detect", "p1")), "1d1cdafe78ebd30a");
    }

    #[test]
    fn a_span_does_not_end_before_it_began_when_the_clock_was_set_back() {
        let span = Span::new(trace(), names::DETECT, "p1", 7, 5);
        assert_eq!((span.from_us, span.to_us), (7, 7));
    }
}
