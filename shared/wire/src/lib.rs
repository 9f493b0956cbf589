//! Subjects, envelope and bytes: MessagePack inside, JSON toward applications.
//!
//! ```text
//!   Fact ──► Subjects::of ──► where      subject ─┐
//!        ──► Header::to_pairs ► who      headers ─┼─► decode_message ──► Header, Fact
//!        ──► encode ────────► what       payload ─┘                  └─► DecodeError: count, drop
//! ```
//!
//! No sockets and no clocks here: the bus belongs to `runtime`, and the simulation passes its
//! messages through the same functions.

mod codec;
mod envelope;
mod subject;
mod w3c;

pub use codec::{
    DecodeError, EncodeError, HEADER_ROOM, MESSAGE_LIMIT, decode, decode_message, encode,
};
pub use envelope::{
    Header, HeaderError, KIND, SCHEMA, SCHEMA_VERSION, SENDER, SENT_AT, SEQUENCE, TRACEPARENT,
    TRACESTATE, is_handed_over,
};
pub use subject::{SubjectError, Subjects, escape_group, unescape_group, wants_reply};
pub use w3c::{read_traceparent, read_tracestate, tracestate};
