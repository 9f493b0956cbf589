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

pub use codec::{
    DecodeError, EncodeError, HEADER_ROOM, MESSAGE_LIMIT, decode, decode_message, encode,
};
pub use envelope::{
    Header, HeaderError, KIND, SCHEMA, SCHEMA_VERSION, SENDER, SENT_AT, SEQUENCE, TRACEPARENT,
    trace_of, traceparent,
};
pub use subject::{SubjectError, Subjects, escape_group, unescape_group, wants_reply};
