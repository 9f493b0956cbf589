//! The header block of every message: whose it is, which fact, in what order.

use crate::w3c::{is_traceparent, is_tracestate};
use thiserror::Error;
use vedette_model::{FactKind, Sender, Service};

/// Header of the version of headers and payloads.
pub const SCHEMA: &str = "Vedette-Schema";
/// Header of the fact's kind, by [`FactKind::as_str`].
pub const KIND: &str = "Vedette-Kind";
/// Header of the sender, `service/id/incarnation`, the last in 16 hexadecimal digits.
pub const SENDER: &str = "Vedette-Sender";
/// Header of the sender's count of its messages.
pub const SEQUENCE: &str = "Vedette-Sequence";
/// Header of the sender's wall clock, in milliseconds since 1970. For people only.
pub const SENT_AT: &str = "Vedette-Sent-At";
/// W3C Trace Context's header.
pub const TRACEPARENT: &str = "traceparent";
/// W3C Trace Context's other header: when the incident began.
pub const TRACESTATE: &str = "tracestate";

/// The version this code speaks.
pub const SCHEMA_VERSION: u32 = 1;

/// How the reply subject of what a consumer hands over begins.
const CONSUMED: &str = "$JS.ACK.";
/// Header of what a stream is asked for directly, or says again elsewhere.
const STREAM: &str = "Nats-Stream";

/// Why a header block was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HeaderError {
    /// A header that every message of ours has.
    #[error("header {name} is missing")]
    Missing {
        /// Its name.
        name: &'static str,
    },
    /// Another version: the sender is newer or older than this process.
    #[error("schema version {given:?} is not the one understood here, {SCHEMA_VERSION}")]
    Schema {
        /// What was given, shortened.
        given: String,
    },
    /// A fact that this version does not have.
    #[error("fact kind {given:?} is unknown")]
    Kind {
        /// What was given, shortened.
        given: String,
    },
    /// A value not of its header's form.
    #[error("header {name} cannot be understood: {given:?}")]
    Malformed {
        /// The header's name.
        name: &'static str,
        /// What was given, shortened.
        given: String,
    },
}

/// What stands before a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Which fact the payload holds.
    pub kind: FactKind,
    /// Who sent it.
    pub sender: Sender,
    /// The sender's count of its messages in this life: higher is newer.
    pub sequence: u64,
    /// The sender's wall clock, in milliseconds since 1970. For people: nothing is decided by it.
    pub sent_at_ms: u64,
    /// W3C `traceparent` of the span that sent it.
    pub traceparent: Option<String>,
    /// W3C `tracestate`, see [`crate::tracestate`].
    pub tracestate: Option<String>,
}

impl Header {
    /// The headers' names and values. Trace headers that are not of W3C's form are left out.
    pub fn to_pairs(&self) -> Vec<(&'static str, String)> {
        let Sender { service, id, incarnation } = &self.sender;
        let mut pairs = vec![
            (SCHEMA, SCHEMA_VERSION.to_string()),
            (KIND, self.kind.as_str().into()),
            (SENDER, format!("{service}/{id}/{incarnation:016x}")),
            (SEQUENCE, self.sequence.to_string()),
            (SENT_AT, self.sent_at_ms.to_string()),
        ];
        if let Some(parent) = self.traceparent.as_ref().filter(|text| is_traceparent(text)) {
            pairs.push((TRACEPARENT, parent.clone()));
        }
        if let Some(state) = self.tracestate.as_ref().filter(|text| is_tracestate(text)) {
            pairs.push((TRACESTATE, state.clone()));
        }
        pairs
    }

    /// Reads the headers through a function that finds a header's value by its name. A
    /// `traceparent` that is not of W3C's form counts as absent, as W3C asks.
    ///
    /// # Errors
    /// [`HeaderError`]; another schema version is reported before anything else, since all the
    /// rest may be different there.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, HeaderError> {
        let want = |name| lookup(name).ok_or(HeaderError::Missing { name });
        let number = |name| {
            let text = want(name)?;
            text.parse().map_err(|_| HeaderError::Malformed { name, given: shortened(&text) })
        };

        let schema = want(SCHEMA)?;
        if schema != SCHEMA_VERSION.to_string() {
            return Err(HeaderError::Schema { given: shortened(&schema) });
        }
        let kind = want(KIND)?;
        let kind = FactKind::ALL
            .iter()
            .find(|known| known.as_str() == kind)
            .copied()
            .ok_or_else(|| HeaderError::Kind { given: shortened(&kind) })?;
        let sender = want(SENDER)?;
        let sender = parse_sender(&sender)
            .ok_or_else(|| HeaderError::Malformed { name: SENDER, given: shortened(&sender) })?;
        Ok(Self {
            kind,
            sender,
            sequence: number(SEQUENCE)?,
            sent_at_ms: number(SENT_AT)?,
            traceparent: lookup(TRACEPARENT).filter(|text| is_traceparent(text)),
            tracestate: lookup(TRACESTATE).filter(|text| is_tracestate(text)),
        })
    }
}

/// Whether JetStream says a message again that it kept. Whoever may ask it names the subject on
/// which it does, and would say there what he may not say himself: nobody is to believe it. `reply`
/// is the message's reply subject, `lookup` finds a header's value by its name.
pub fn is_handed_over(reply: Option<&str>, lookup: impl Fn(&str) -> Option<String>) -> bool {
    reply.is_some_and(|to| to.starts_with(CONSUMED)) || lookup(STREAM).is_some()
}

/// The start of a remote text: enough to recognise it in a log, too little to flood one.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(200).collect()
}

fn parse_sender(text: &str) -> Option<Sender> {
    let mut parts = text.splitn(3, '/');
    let (service, id, life) = (parts.next()?, parts.next()?, parts.next()?);
    if life.len() != 16 || !life.bytes().all(is_lower_hex) {
        return None;
    }
    let incarnation = u64::from_str_radix(life, 16).ok()?;
    Sender::parse(Service::parse(service).ok()?, id, incarnation).ok()
}

pub(crate) const fn is_lower_hex(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}
