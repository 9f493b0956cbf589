//! The trace that all of one incident belongs to.

use crate::{Epoch, Fact, GroupName, NodeAddr, RunId};
use alloc::format;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// A W3C trace id: 32 lower-case hexadecimal digits, not all zero.
///
/// It is computed, not drawn: everybody who sees the same master of the same epoch fail comes to
/// the same id, so that several probers, voters and orchestrators write one trace without a word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId(u128);

impl TraceId {
    /// The trace of the incident that ends this master's reign in this epoch.
    pub fn of(group: &GroupName, epoch: Epoch, master: &NodeAddr, run_id: Option<&RunId>) -> Self {
        // FNV-1a, 128 bits: names a trace, protects nothing.
        let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
        let mut eat = |bytes: &[u8]| {
            for byte in bytes.iter().chain(&[0xff]) {
                hash = (hash ^ u128::from(*byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
            }
        };
        eat(group.as_str().as_bytes());
        eat(&epoch.0.to_be_bytes());
        eat(master.host().as_bytes());
        eat(&master.port().to_be_bytes());
        eat(run_id.map_or("", RunId::as_str).as_bytes());
        Self(hash.max(1))
    }

    /// The id of the incident's own span, for W3C's `traceparent`: the last 16 digits.
    pub fn root_span(self) -> u64 {
        u64::try_from(self.0 & u128::from(u64::MAX)).unwrap_or(1).max(1)
    }

    /// W3C's `traceparent` of the incident's own span. It says *sampled* while the incident is under
    /// way: then whoever hears of it records spans.
    pub fn traceparent(self, live: bool) -> String {
        format!("00-{self}-{:016x}-{:02x}", self.root_span(), u8::from(live))
    }

    /// The id as a number, as OpenTelemetry's crates take it.
    pub const fn as_u128(self) -> u128 {
        self.0
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        alloc::format!("{id}")
    }
}

impl TryFrom<String> for TraceId {
    type Error = crate::NameError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match u128::from_str_radix(&text, 16) {
            Ok(id) if id != 0 && text.len() == 32 && digits => Ok(Self(id)),
            _ => Err(crate::NameError::Form { what: "a trace id", given: text }),
        }
    }
}

impl Fact {
    /// The trace of its incident, where the fact itself carries one. A record belongs to the
    /// failover under way in it; the trace of its last switch is history.
    pub fn trace(&self) -> Option<TraceId> {
        match self {
            Self::FailoverStep(step) => Some(step.trace_id),
            Self::MasterRecord(master) => Some(master.trace_id),
            Self::Event(event) => Some(event.trace_id),
            Self::Proposal(proposal) => proposal.record.failover.as_ref().map(|f| f.trace_id),
            Self::RecordCommitted(commit) => commit.record.failover.as_ref().map(|f| f.trace_id),
            Self::SdownReport(_)
            | Self::NodeReport(_)
            | Self::OdownVerdict(_)
            | Self::Candidacy(_)
            | Self::Ballot(_)
            | Self::ProposalReply(_)
            | Self::Beat(_)
            | Self::BeatReply(_)
            | Self::Digest(_)
            | Self::DigestReply(_)
            | Self::Heartbeat(_)
            | Self::RosterBallot(_)
            | Self::RosterAnswer(_)
            | Self::Rejoin(_)
            | Self::RejoinAnswer(_)
            | Self::Instruction(_)
            | Self::InstructionReply(_)
            | Self::StatusQuery(_)
            | Self::MasterQuery(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn of(group: &str, epoch: u64, master: &str, run_id: Option<&str>) -> TraceId {
        let run_id = run_id.map(|text| RunId::parse(text).unwrap());
        let master = NodeAddr::parse(master).unwrap();
        TraceId::of(&GroupName::parse(group).unwrap(), Epoch(epoch), &master, run_id.as_ref())
    }

    fn parse(text: &str) -> Option<TraceId> {
        TraceId::try_from(text.to_string()).ok()
    }

    #[test]
    fn everybody_comes_to_the_same_id() {
        let run = "a".repeat(40);
        let id = of("g", 1, "10.0.0.1:6379", Some(&run));
        assert_eq!(id, of("g", 1, "10.0.0.1:6379", Some(&run)));
        // Services of two versions meet on one bus: the number itself is part of the protocol.
        assert_eq!(
            of("g", 1, "10.0.0.1:6379", None).to_string(),
            "fd5f0d9c04bb77ae3cd503445a8bfb99"
        );
    }

    #[test]
    fn another_incident_has_another_id() {
        let run = "a".repeat(40);
        let ids = [
            of("g", 1, "10.0.0.1:6379", None),
            of("h", 1, "10.0.0.1:6379", None),
            of("g", 2, "10.0.0.1:6379", None),
            of("g", 1, "10.0.0.2:6379", None),
            of("g", 1, "10.0.0.1:6380", None),
            of("g", 1, "10.0.0.1:6379", Some(&run)),
        ];
        let distinct: alloc::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }

    #[test]
    fn an_id_is_32_lower_case_hexadecimal_digits() {
        let id = of("g", 1, "10.0.0.1:6379", None);
        let text = String::from(id);
        assert_eq!(text.len(), 32);
        assert_eq!(parse(&text), Some(id));
        assert_eq!(parse("00000000000000000000000000000001").map(TraceId::as_u128), Some(1));
    }

    #[test]
    fn what_is_no_trace_id_is_refused() {
        for text in [
            "",
            "1",
            "00000000000000000000000000000000",
            "0000000000000000000000000000001",
            "000000000000000000000000000000001",
            "+0000000000000000000000000000001",
            "0000000000000000000000000000000A",
            "0000000000000000000000000000000g",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
