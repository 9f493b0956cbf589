//! Facts as bytes: MessagePack with named fields inside, JSON for what applications read.

use crate::envelope::{Header, HeaderError, KIND, SCHEMA_VERSION, shortened};
use crate::subject::Subjects;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Serialize};
use std::io::Cursor;
use thiserror::Error;
use vedette_model::{Fact, FactKind, MasterQuery, MasterRecord, Roster, Sender};

/// The largest message of a NATS server with its default settings, in bytes, headers included.
pub const MESSAGE_LIMIT: usize = 1024 * 1024;

/// Bytes of [`MESSAGE_LIMIT`] that [`encode`] leaves to the headers.
pub const HEADER_ROOM: usize = 1024;

/// How deep a payload may be nested. The deepest fact has less than half of that; without a limit
/// a hostile one could use up the stack.
const DEPTH_LIMIT: usize = 32;

/// Why a fact was not encoded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// Too long for one message.
    #[error("{} is {len} bytes long, more than the {limit} of one message", kind.as_str())]
    TooLong {
        /// Which fact.
        kind: FactKind,
        /// Its bytes.
        len: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// The encoder refused it.
    #[error("{} cannot be encoded: {why}", kind.as_str())]
    Failed {
        /// Which fact.
        kind: FactKind,
        /// The encoder's words.
        why: String,
    },
}

/// Why a message was not understood. Callers count and drop it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Longer than [`MESSAGE_LIMIT`].
    #[error("payload of {len} bytes is longer than {MESSAGE_LIMIT}")]
    TooLong {
        /// Its bytes.
        len: usize,
    },
    /// The header block cannot be understood.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A public fact of another version.
    #[error("{} has version {given}, not {SCHEMA_VERSION}", kind.as_str())]
    Schema {
        /// Which fact.
        kind: FactKind,
        /// The version in it.
        given: u32,
    },
    /// The payload is not a fact of its kind.
    #[error("payload is not a {}: {why}", kind.as_str())]
    Undecodable {
        /// What it should have been.
        kind: FactKind,
        /// What is wrong, shortened.
        why: String,
    },
    /// A fact on a subject that is not its own: permissions are given by subject, so it would
    /// come round them.
    #[error("a {} does not belong on subject {subject:?}", kind.as_str())]
    Misplaced {
        /// Which fact.
        kind: FactKind,
        /// Where it came, shortened.
        subject: String,
    },
}

impl DecodeError {
    /// One word for counting: `too-long`, `header`, `schema`, `kind`, `undecodable`, `misplaced`.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::TooLong { .. } => "too-long",
            Self::Header(HeaderError::Missing { .. } | HeaderError::Malformed { .. }) => "header",
            Self::Schema { .. } | Self::Header(HeaderError::Schema { .. }) => "schema",
            Self::Header(HeaderError::Kind { .. }) => "kind",
            Self::Undecodable { .. } => "undecodable",
            Self::Misplaced { .. } => "misplaced",
        }
    }
}

/// A fact's payload.
///
/// # Errors
/// [`EncodeError::TooLong`] if the payload and its headers might not fit into one message.
pub fn encode(fact: &Fact) -> Result<Vec<u8>, EncodeError> {
    let kind = fact.kind();
    let limit = MESSAGE_LIMIT - HEADER_ROOM;
    let payload = match fact {
        Fact::SdownReport(f) => pack(f),
        Fact::NodeReport(f) => pack(f),
        Fact::OdownVerdict(f) => pack(f),
        Fact::Candidacy(f) => pack(f),
        Fact::Ballot(f) => pack(f),
        Fact::Proposal(f) => pack(f),
        Fact::ProposalReply(f) => pack(f),
        Fact::Beat(f) => pack(f),
        Fact::BeatReply(f) => pack(f),
        Fact::RecordCommitted(f) => pack(f),
        Fact::FailoverStep(f) => pack(f),
        Fact::Digest(f) => pack(f),
        Fact::DigestReply(f) => pack(f),
        Fact::Heartbeat(f) => pack(f),
        Fact::RosterBallot(f) => pack(f),
        Fact::RosterAnswer(f) => pack(f),
        Fact::Rejoin(f) => pack(f),
        Fact::RejoinAnswer(f) => pack(f),
        Fact::Instruction(f) => pack(f),
        Fact::InstructionReply(f) => pack(f),
        Fact::StatusQuery(f) => pack(f),
        Fact::MasterQuery(f) => pack(f),
        Fact::MasterRecord(f) => serde_json::to_vec(f).map_err(|e| e.to_string()),
        Fact::Event(f) => serde_json::to_vec(f).map_err(|e| e.to_string()),
    }
    .map_err(|why| EncodeError::Failed { kind, why })?;
    if payload.len() > limit {
        return Err(EncodeError::TooLong { kind, len: payload.len(), limit });
    }
    Ok(payload)
}

/// Reads a payload of a known kind. Fields it does not know are ignored.
///
/// # Errors
/// [`DecodeError`]; it never panics, whatever the bytes.
pub fn decode(kind: FactKind, payload: &[u8]) -> Result<Fact, DecodeError> {
    if payload.len() > MESSAGE_LIMIT {
        return Err(DecodeError::TooLong { len: payload.len() });
    }
    let fact = match kind {
        FactKind::SdownReport => unpack(payload).map(Fact::SdownReport),
        FactKind::NodeReport => unpack(payload).map(Fact::NodeReport),
        FactKind::OdownVerdict => unpack(payload).map(Fact::OdownVerdict),
        FactKind::Candidacy => unpack(payload).map(Fact::Candidacy),
        FactKind::Ballot => unpack(payload).map(Fact::Ballot),
        FactKind::Proposal => unpack(payload).map(Fact::Proposal),
        FactKind::ProposalReply => unpack(payload).map(Fact::ProposalReply),
        FactKind::Beat => unpack(payload).map(Fact::Beat),
        FactKind::BeatReply => unpack(payload).map(Fact::BeatReply),
        FactKind::RecordCommitted => unpack(payload).map(Fact::RecordCommitted),
        FactKind::FailoverStep => unpack(payload).map(Fact::FailoverStep),
        FactKind::Digest => unpack(payload).map(Fact::Digest),
        FactKind::DigestReply => unpack(payload).map(Fact::DigestReply),
        FactKind::Heartbeat => unpack(payload).map(Fact::Heartbeat),
        FactKind::RosterBallot => unpack(payload).map(Fact::RosterBallot),
        FactKind::RosterAnswer => unpack(payload).map(Fact::RosterAnswer),
        FactKind::Rejoin => unpack(payload).map(Fact::Rejoin),
        FactKind::RejoinAnswer => unpack(payload).map(Fact::RejoinAnswer),
        FactKind::Instruction => unpack(payload).map(Fact::Instruction),
        FactKind::InstructionReply => unpack(payload).map(Fact::InstructionReply),
        FactKind::StatusQuery => unpack(payload).map(Fact::StatusQuery),
        FactKind::MasterQuery => unpack(payload).map(Fact::MasterQuery),
        FactKind::MasterRecord => return decode_master(payload),
        FactKind::Event => {
            serde_json::from_slice(payload).map(Fact::Event).map_err(|e| e.to_string())
        }
    };
    fact.and_then(checked).map_err(|why| DecodeError::Undecodable { kind, why: shortened(&why) })
}

/// Understands a whole message: its subject, its headers through a function that finds a header's
/// value by its name, and its payload.
///
/// A query for a master may come from an application without our headers: then its subject says
/// all, its payload is not looked at, and there is no [`Header`].
///
/// # Errors
/// [`DecodeError`], also for a fact whose contents do not fit its subject.
pub fn decode_message(
    subjects: &Subjects,
    subject: &str,
    header: impl Fn(&str) -> Option<String>,
    payload: &[u8],
) -> Result<(Option<Header>, Fact), DecodeError> {
    if payload.len() > MESSAGE_LIMIT {
        return Err(DecodeError::TooLong { len: payload.len() });
    }
    if let Some(group) = subjects.asked_master(subject)
        && header(KIND).is_none()
    {
        return Ok((None, MasterQuery { group }.into()));
    }
    let header = Header::from_lookup(header)?;
    let fact = decode(header.kind, payload)?;
    if !subjects.allows(subject, &fact) {
        let subject = shortened(subject);
        return Err(DecodeError::Misplaced { kind: header.kind, subject });
    }
    Ok((Some(header), fact))
}

fn pack<T: Serialize>(fact: &T) -> Result<Vec<u8>, String> {
    rmp_serde::to_vec_named(fact).map_err(|e| e.to_string())
}

fn unpack<T: DeserializeOwned>(payload: &[u8]) -> Result<T, String> {
    let mut reader = rmp_serde::Deserializer::new(Cursor::new(payload));
    reader.set_max_depth(DEPTH_LIMIT);
    let fact = T::deserialize(&mut reader).map_err(|e| e.to_string())?;
    if usize::try_from(reader.position()) != Ok(payload.len()) {
        return Err(format!("it ends at byte {} of {}", reader.position(), payload.len()));
    }
    Ok(fact)
}

/// The version first: a record of another one need not look like ours in anything else.
fn decode_master(payload: &[u8]) -> Result<Fact, DecodeError> {
    #[derive(Deserialize)]
    struct Version {
        schema: u32,
    }

    let kind = FactKind::MasterRecord;
    let bad =
        |e: serde_json::Error| DecodeError::Undecodable { kind, why: shortened(&e.to_string()) };
    let Version { schema } = serde_json::from_slice(payload).map_err(bad)?;
    if schema != SCHEMA_VERSION {
        return Err(DecodeError::Schema { kind, given: schema });
    }
    let record: MasterRecord = serde_json::from_slice(payload).map_err(bad)?;
    if record.master.host() != record.host || record.master.port() != record.port {
        return Err(bad(serde_json::Error::custom("host and port are not those of master")));
    }
    Ok(record.into())
}

/// What the types alone do not promise of a decoded fact.
fn checked(fact: Fact) -> Result<Fact, String> {
    let Fact::Heartbeat(beat) = &fact else {
        return Ok(fact);
    };
    Sender::parse(beat.service, &beat.id, beat.incarnation).map_err(|e| e.to_string())?;
    if let Some(roster) = &beat.roster {
        Roster::parse(roster.version, roster.voters().to_vec()).map_err(|e| e.to_string())?;
    }
    Ok(fact)
}
