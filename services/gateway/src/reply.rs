//! Replies, and how they are written in RESP2 and RESP3.

use bytes::{BufMut, Bytes, BytesMut};
use redis_protocol::error::RedisProtocolError;
use redis_protocol::resp2::encode::extend_encode as encode2;
use redis_protocol::resp2::types::BytesFrame as Frame2;
use redis_protocol::resp3::encode::complete::extend_encode as encode3;
use redis_protocol::resp3::types::{BytesFrame as Frame3, FrameMap, VerbatimStringFormat};

/// The protocol's version that a client asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proto {
    /// RESP2: what every client begins with.
    Two,
    /// RESP3: after `HELLO 3`.
    Three,
}

impl Proto {
    /// The number in `HELLO`.
    pub const fn number(self) -> i64 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }
}

/// What a client is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `+text`, which is written as one line.
    Simple(String),
    /// `-CODE text`, the code included, which is written as one line.
    Error(String),
    /// `:number`.
    Integer(i64),
    /// `$bytes`.
    Bulk(Bytes),
    /// A text for people: a bulk string in RESP2.
    Text(String),
    /// No value: `$-1`, or `_`.
    Null,
    /// No list, by itself only: `*-1`, or `_`.
    NullArray,
    /// A list.
    Array(Vec<Self>),
    /// Names and values: a list of twice the length in RESP2.
    Map(Vec<(Self, Self)>),
    /// A message that answers nothing: a list in RESP2.
    Push(Vec<Self>),
}

impl Reply {
    /// `+OK`.
    pub fn ok() -> Self {
        Self::Simple("OK".into())
    }

    /// A bulk string.
    pub fn bulk(text: impl Into<String>) -> Self {
        Self::Bulk(Bytes::from(text.into()))
    }

    /// An error; `ERR ` is put before a text that brings no code of its own.
    pub fn err(text: impl Into<String>) -> Self {
        Self::Error(format!("ERR {}", text.into()))
    }

    /// A list of bulk strings.
    pub fn bulks<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Array(texts.into_iter().map(Self::bulk).collect())
    }

    /// Writes it.
    pub fn write(self, proto: Proto, out: &mut BytesMut) {
        let written = match (proto, self) {
            // The codec knows one null of RESP2 only.
            (Proto::Two, Self::NullArray) => {
                out.put_slice(b"*-1\r\n");
                return;
            }
            (Proto::Two, reply) => encode2(out, &reply.two(), false),
            (Proto::Three, reply) => reply.three().and_then(|frame| encode3(out, &frame, false)),
        };
        if let Err(error) = written {
            // The buffer grows as needed, and maps are made of distinct names here.
            tracing::error!(%error, "a reply could not be written");
        }
    }

    fn two(self) -> Frame2 {
        match self {
            Self::Simple(text) => Frame2::SimpleString(one_line(text).into()),
            Self::Error(text) => Frame2::Error(one_line(text).into()),
            Self::Integer(number) => Frame2::Integer(number),
            Self::Bulk(bytes) => Frame2::BulkString(bytes),
            Self::Text(text) => Frame2::BulkString(text.into()),
            Self::Null | Self::NullArray => Frame2::Null,
            Self::Array(items) | Self::Push(items) => {
                Frame2::Array(items.into_iter().map(Self::two).collect())
            }
            Self::Map(pairs) => {
                let flat = pairs.into_iter().flat_map(|(name, value)| [name.two(), value.two()]);
                Frame2::Array(flat.collect())
            }
        }
    }

    fn three(self) -> Result<Frame3, RedisProtocolError> {
        let all = |items: Vec<Self>| items.into_iter().map(Self::three).collect::<Result<_, _>>();
        let attributes = None;
        Ok(match self {
            Self::Simple(text) => Frame3::SimpleString { data: one_line(text).into(), attributes },
            Self::Error(text) => Frame3::SimpleError { data: one_line(text).into(), attributes },
            Self::Integer(data) => Frame3::Number { data, attributes },
            Self::Bulk(data) => Frame3::BlobString { data, attributes },
            Self::Text(text) => Frame3::VerbatimString {
                data: text.into(),
                format: VerbatimStringFormat::Text,
                attributes,
            },
            Self::Null | Self::NullArray => Frame3::Null,
            Self::Array(items) => Frame3::Array { data: all(items)?, attributes },
            Self::Push(items) => Frame3::Push { data: all(items)?, attributes },
            Self::Map(pairs) => {
                let mut data = FrameMap::with_capacity(pairs.len());
                for (name, value) in pairs {
                    data.insert(name.three()?, value.three()?);
                }
                Frame3::Map { data, attributes }
            }
        })
    }
}

/// What a client sent may stand in an error: with line ends in it, it would be read as more replies.
fn one_line(mut text: String) -> String {
    if text.contains(['\r', '\n']) {
        text = text.replace(['\r', '\n'], " ");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: Reply, proto: Proto) -> String {
        let mut out = BytesMut::new();
        reply.write(proto, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[track_caller]
    fn is_written(reply: &Reply, two: &str, three: &str) {
        assert_eq!(written(reply.clone(), Proto::Two), two);
        assert_eq!(written(reply.clone(), Proto::Three), three);
    }

    #[test]
    fn each_kind_has_its_form_in_both_versions() {
        is_written(&Reply::ok(), "+OK\r\n", "+OK\r\n");
        is_written(&Reply::err("no"), "-ERR no\r\n", "-ERR no\r\n");
        is_written(&Reply::Integer(-7), ":-7\r\n", ":-7\r\n");
        is_written(&Reply::bulk("a b"), "$3\r\na b\r\n", "$3\r\na b\r\n");
        is_written(&Reply::bulk(""), "$0\r\n\r\n", "$0\r\n\r\n");
        is_written(&Reply::Text("a\n".into()), "$2\r\na\n\r\n", "=6\r\ntxt:a\n\r\n");
        is_written(&Reply::Null, "$-1\r\n", "_\r\n");
        is_written(&Reply::NullArray, "*-1\r\n", "_\r\n");
        is_written(&Reply::Array(vec![]), "*0\r\n", "*0\r\n");
        is_written(&Reply::Push(vec![Reply::bulk("x")]), "*1\r\n$1\r\nx\r\n", ">1\r\n$1\r\nx\r\n");
    }

    #[test]
    fn an_error_is_one_line_whatever_stands_in_it() {
        let error = Reply::err("unknown 'a\r\n+OK\r\n'");
        is_written(&error, "-ERR unknown 'a  +OK  '\r\n", "-ERR unknown 'a  +OK  '\r\n");
    }

    #[test]
    fn a_map_keeps_its_order() {
        let names = ["name", "ip", "port", "runid", "flags", "a", "z", "b"];
        let pairs = names.map(|name| (Reply::bulk(name), Reply::bulk("1")));
        let map = Reply::Map(pairs.to_vec());
        let body: String =
            names.iter().map(|n| format!("${}\r\n{n}\r\n$1\r\n1\r\n", n.len())).collect();
        is_written(&map, &format!("*16\r\n{body}"), &format!("%8\r\n{body}"));
    }
}
