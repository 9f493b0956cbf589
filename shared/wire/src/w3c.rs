//! W3C Trace Context: which trace a message belongs to, and since when.

use crate::envelope::is_lower_hex;
use vedette_model::TraceId;

/// The member of `tracestate` that is ours.
const KEY: &str = "vedette=";

/// The trace that a [`TraceId::traceparent`] names, and whether its incident is under way.
pub fn read_traceparent(text: &str) -> Option<(TraceId, bool)> {
    let mut parts = text.split('-').skip(1);
    let trace = TraceId::try_from(parts.next()?.to_owned()).ok()?;
    let flags = u8::from_str_radix(parts.nth(1)?, 16).ok()?;
    Some((trace, flags & 1 == 1))
}

/// `tracestate` of an incident that began at this moment, in microseconds since 1970.
pub fn tracestate(began_us: u64) -> String {
    format!("{KEY}{began_us}")
}

/// When the incident began by a `tracestate`, which may hold what others put there.
pub fn read_tracestate(text: &str) -> Option<u64> {
    text.split(',').find_map(|member| member.trim().strip_prefix(KEY))?.parse().ok()
}

pub(crate) fn is_traceparent(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let [version, trace, span, flags] = parts.as_slice() else {
        return false;
    };
    let hex = |part: &str, len| part.len() == len && part.bytes().all(is_lower_hex);
    let zero = |part: &str| part.bytes().all(|b| b == b'0');
    *version == "00"
        && hex(trace, 32)
        && !zero(trace)
        && hex(span, 16)
        && !zero(span)
        && hex(flags, 2)
}

/// As long as W3C has everybody hand on, and of characters that a header may have.
pub(crate) fn is_tracestate(text: &str) -> bool {
    (1..=512).contains(&text.len()) && text.bytes().all(|b| (0x20..=0x7e).contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{Epoch, GroupName, NodeAddr};

    #[test]
    fn what_is_written_is_read() {
        let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
        let trace = TraceId::of(&GroupName::parse("g").unwrap(), Epoch(1), &master, None);
        for live in [true, false] {
            let text = trace.traceparent(live);
            assert!(is_traceparent(&text));
            assert_eq!(read_traceparent(&text), Some((trace, live)));
        }
        assert_eq!(read_tracestate(&tracestate(u64::MAX)), Some(u64::MAX));
        assert_eq!(read_tracestate("other=1, vedette=5"), Some(5));
        for text in ["", "vedette=", "vedette=-1", "vedette=1e3", "xvedette=1"] {
            assert_eq!(read_tracestate(text), None, "{text:?}");
        }
    }
}
