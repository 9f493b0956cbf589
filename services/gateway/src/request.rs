//! Requests: lists of bulk strings, or lines of words.
//!
//! Strict and flat on purpose: what a client sends is read here and not by a general decoder, whose
//! lists may hold lists without an end.

use bytes::{Buf, Bytes, BytesMut};
use std::fmt;

/// Words of one request.
const WORDS_LIMIT: usize = 1_024;
/// Bytes of a line of words, and of a length.
const LINE_LIMIT: usize = 65_536;

/// How large a request may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    bytes: usize,
    login: bool,
}

/// Words and bytes of a word before the login, as in Redis.
const WORDS_BEFORE_LOGIN: usize = 10;
const WORD_BEFORE_LOGIN: usize = 16_384;

impl Limits {
    /// So many bytes.
    pub const fn new(bytes: usize) -> Self {
        Self { bytes, login: true }
    }

    /// Enough to log in, and little more.
    #[must_use]
    pub const fn before_login(self) -> Self {
        Self { login: false, ..self }
    }
}

/// What is wrong with a request. The connection cannot go on: where the next one begins is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Protocol error: {}", self.0)
    }
}

fn malformed(what: impl Into<String>) -> Malformed {
    Malformed(what.into())
}

/// Takes the next request out of the buffer; none if it is not all there. An empty one is to be
/// passed over, as Redis does.
///
/// # Errors
/// What is wrong, in Redis's words.
pub fn next(buffer: &mut BytesMut, limits: &Limits) -> Result<Option<Vec<Bytes>>, Malformed> {
    let parsed = match buffer.first() {
        None => return Ok(None),
        Some(b'*') => list(buffer, limits)?,
        Some(_) => return line(buffer, limits.bytes),
    };
    if parsed.is_none() && buffer.len() > limits.bytes {
        return Err(malformed("too big request"));
    }
    let Some((ranges, end)) = parsed else { return Ok(None) };
    let whole = buffer.split_to(end).freeze();
    Ok(Some(ranges.into_iter().map(|(from, to)| whole.slice(from..to)).collect()))
}

type Ranges = Vec<(usize, usize)>;

/// Where the words lie, and where the request ends.
fn list(buffer: &[u8], limits: &Limits) -> Result<Option<(Ranges, usize)>, Malformed> {
    let Some((count, mut at)) = number(buffer, 1, "invalid multibulk length")? else {
        return Ok(None);
    };
    // Redis takes a negative number for an empty request.
    let count = usize::try_from(count).unwrap_or(0);
    if count > WORDS_LIMIT {
        return Err(malformed("invalid multibulk length"));
    }
    if count > WORDS_BEFORE_LOGIN && !limits.login {
        return Err(malformed("unauthenticated multibulk length"));
    }
    let mut ranges = Vec::with_capacity(count.min(16));
    for _ in 0..count {
        match buffer.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(other) => {
                return Err(malformed(format!("expected '$', got '{}'", char::from(*other))));
            }
        }
        let Some((length, begin)) = number(buffer, at + 1, "invalid bulk length")? else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| malformed("invalid bulk length"))?;
        if length > limits.bytes {
            return Err(malformed("invalid bulk length"));
        }
        if length > WORD_BEFORE_LOGIN && !limits.login {
            return Err(malformed("unauthenticated bulk length"));
        }
        let end = begin + length;
        if buffer.len() < end + 2 {
            return Ok(None);
        }
        ranges.push((begin, end));
        at = end + 2;
    }
    Ok(Some((ranges, at)))
}

/// The number at this place, and what comes after its line.
fn number(buffer: &[u8], at: usize, wrong: &str) -> Result<Option<(i64, usize)>, Malformed> {
    let rest = &buffer[at.min(buffer.len())..];
    let Some(length) = rest.iter().position(|byte| *byte == b'\r') else {
        return if rest.len() > 32 { Err(malformed(wrong)) } else { Ok(None) };
    };
    if rest.len() < length + 2 {
        return Ok(None);
    }
    let text = std::str::from_utf8(&rest[..length]).map_err(|_| malformed(wrong))?;
    let number = text.parse().map_err(|_| malformed(wrong))?;
    Ok(Some((number, at + length + 2)))
}

/// A line of words, as people and HAProxy send them.
fn line(buffer: &mut BytesMut, limit: usize) -> Result<Option<Vec<Bytes>>, Malformed> {
    let Some(length) = buffer.iter().position(|byte| *byte == b'\n') else {
        if buffer.len() > limit.min(LINE_LIMIT) {
            return Err(malformed("too big inline request"));
        }
        return Ok(None);
    };
    let whole = buffer.split_to(length).freeze();
    buffer.advance(1);
    let text = whole.strip_suffix(b"\r").unwrap_or(&whole);
    words(text).map(Some).ok_or_else(|| malformed("unbalanced quotes in request"))
}

/// Splits as Redis does: words may stand in quotes, with escapes in double ones.
fn words(text: &[u8]) -> Option<Vec<Bytes>> {
    let mut words = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_ascii_start();
        let Some(first) = rest.first() else { return Some(words) };
        let mut word = Vec::new();
        match first {
            b'"' | b'\'' => {
                let quote = *first;
                rest = quoted(&rest[1..], quote, &mut word)?;
                // A closing quote must be followed by a space or the end.
                if rest.first().is_some_and(|byte| !byte.is_ascii_whitespace()) {
                    return None;
                }
            }
            _ => {
                let end = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
                word.extend_from_slice(&rest[..end]);
                rest = &rest[end..];
            }
        }
        words.push(Bytes::from(word));
        if words.len() > WORDS_LIMIT {
            return None;
        }
    }
}

fn quoted<'a>(text: &'a [u8], quote: u8, word: &mut Vec<u8>) -> Option<&'a [u8]> {
    let mut at = 0;
    loop {
        match (*text.get(at)?, text.get(at + 1)) {
            (byte, _) if byte == quote => return Some(&text[at + 1..]),
            (b'\\', Some(b'\'')) if quote == b'\'' => {
                word.push(b'\'');
                at += 2;
            }
            (b'\\', Some(b'x')) if quote == b'"' && hex(text.get(at + 2..at + 4)).is_some() => {
                word.extend(hex(text.get(at + 2..at + 4)));
                at += 4;
            }
            (b'\\', Some(next)) if quote == b'"' => {
                word.push(match next {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    other => *other,
                });
                at += 2;
            }
            (byte, _) => {
                word.push(byte);
                at += 1;
            }
        }
    }
}

/// The byte that two hexadecimal digits are.
fn hex(digits: Option<&[u8]>) -> Option<u8> {
    let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))?;
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8]) -> (Result<Option<Vec<Bytes>>, Malformed>, usize) {
        let mut buffer = BytesMut::from(text);
        let parsed = next(&mut buffer, &Limits::new(1_024));
        (parsed, buffer.len())
    }

    #[track_caller]
    fn is_read(text: &str, words: &[&str]) {
        let (parsed, left) = read(text.as_bytes());
        let words: Vec<_> = words.iter().map(|w| Bytes::copy_from_slice(w.as_bytes())).collect();
        assert_eq!((parsed, left), (Ok(Some(words)), 0), "{text:?}");
    }

    #[track_caller]
    fn is_refused(text: &[u8], why: &str) {
        let error = read(text).0.expect_err("it is malformed");
        assert_eq!(error.to_string(), format!("Protocol error: {why}"));
    }

    #[test]
    fn lists_and_lines_are_read() {
        is_read("*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n", &["PING", "hi"]);
        is_read("*1\r\n$0\r\n\r\n", &[""]);
        is_read("*0\r\n", &[]);
        is_read("*-1\r\n", &[]);
        is_read("PING\r\n", &["PING"]);
        is_read("  sentinel   masters \n", &["sentinel", "masters"]);
        is_read("ping \"\\x41\\x4g\\x\\b\"\r\n", &["ping", "Ax4gx\u{8}"]);
        is_read("set \"a b\" 'c d' \"x\\n\\\"y\"\r\n", &["set", "a b", "c d", "x\n\"y"]);
        is_read("\r\n", &[]);
    }

    #[test]
    fn what_is_not_all_there_is_waited_for_and_nothing_is_taken() {
        let whole = b"*2\r\n$4\r\nPING\r\n$2\r\nhi\r\n";
        for end in 0..whole.len() {
            assert_eq!(read(&whole[..end]), (Ok(None), end), "{end}");
        }
        assert_eq!(read(b"PING"), (Ok(None), 4));
    }

    #[test]
    fn one_request_is_taken_at_a_time() {
        let mut buffer = BytesMut::from(&b"PING\r\n*1\r\n$4\r\nPING\r\nQ"[..]);
        for left in [15, 1, 1] {
            let _ = next(&mut buffer, &Limits::new(1_024));
            assert_eq!(buffer.len(), left);
        }
    }

    #[test]
    fn what_cannot_be_read_is_refused_in_rediss_words() {
        is_refused(b"*x\r\n", "invalid multibulk length");
        is_refused(b"*100000\r\n", "invalid multibulk length");
        is_refused(b"*1\r\n*1\r\n", "expected '$', got '*'");
        is_refused(b"*1\r\n$x\r\n", "invalid bulk length");
        is_refused(b"*1\r\n$-1\r\n", "invalid bulk length");
        is_refused(b"*1\r\n$99999999999\r\n", "invalid bulk length");
        is_refused(b"*111111111111111111111111111111111111111", "invalid multibulk length");
        is_refused(b"set 'a\r\n", "unbalanced quotes in request");
        is_refused(b"set \"a\"b\r\n", "unbalanced quotes in request");
        is_refused(&[b'x'; 2_000], "too big inline request");
        let words = [b"$1000\r\n".to_vec(), vec![b'x'; 1_000], b"\r\n".to_vec()].concat();
        let more = [b'x'; 20];
        is_refused(&[b"*3\r\n", &*words, b"$1000\r\n", &more].concat(), "too big request");
    }

    #[test]
    fn before_the_login_a_request_may_be_a_login_and_no_more() {
        let limits = Limits::new(65_536).before_login();
        for (text, why) in [
            ("*11\r\n", "unauthenticated multibulk length"),
            ("*2\r\n$4\r\nAUTH\r\n$16385\r\n", "unauthenticated bulk length"),
        ] {
            let error = next(&mut BytesMut::from(text), &limits).expect_err("it is too long");
            assert_eq!(error.to_string(), format!("Protocol error: {why}"));
        }
        let login = "*3\r\n$4\r\nAUTH\r\n$1\r\na\r\n$1\r\nb\r\n";
        assert_eq!(next(&mut BytesMut::from(login), &limits).unwrap().unwrap().len(), 3);
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_taken_is_gone(text in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = BytesMut::from(&text[..]);
            for _ in 0..text.len() {
                let before = buffer.len();
                match next(&mut buffer, &Limits::new(1_024)) {
                    Ok(Some(_)) => prop_assert!(buffer.len() < before),
                    Ok(None) => { prop_assert_eq!(buffer.len(), before); break }
                    Err(_) => break,
                }
            }
        }

        #[test]
        fn what_looks_like_a_list_never_panics(text in "[*$0-9a\r\n-]{0,80}") {
            let mut buffer = BytesMut::from(text.as_bytes());
            let _ = next(&mut buffer, &Limits::new(64));
        }
    }
}
