//! What a server answers, told apart as far as anybody decides by it.

use std::fmt;
use vedette_model::NodeFault;

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A status or a bulk string; bytes that are not UTF-8 are replaced.
    Text(String),
    /// An error.
    Error(ErrorReply),
    /// A number.
    Integer(i64),
    /// Several answers in one, as `EXEC` and `ROLE` give.
    Array(Vec<Self>),
    /// Nothing.
    Nil,
    /// A form that the commands used here never give, as the parser prints it.
    Unexpected(String),
}

impl Reply {
    pub(crate) fn from_value(value: redis::Value) -> Self {
        match value {
            redis::Value::Nil => Self::Nil,
            redis::Value::Int(number) => Self::Integer(number),
            redis::Value::BulkString(bytes) => Self::Text(text(bytes)),
            redis::Value::SimpleString(text) => Self::Text(text),
            redis::Value::Okay => Self::Text("OK".into()),
            redis::Value::Array(items) => {
                Self::Array(items.into_iter().map(Self::from_value).collect())
            }
            redis::Value::ServerError(error) => {
                Self::Error(ErrorReply::new(error.code(), error.details()))
            }
            // RESP3 forms: never asked for, so never given by a server that keeps to the protocol.
            redis::Value::Map(_)
            | redis::Value::Attribute { .. }
            | redis::Value::Set(_)
            | redis::Value::Double(_)
            | redis::Value::Boolean(_)
            | redis::Value::VerbatimString { .. }
            | redis::Value::BigNumber(_)
            | redis::Value::Push { .. }
            | _ => Self::Unexpected(short(&format!("{value:?}"))),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&short(text)),
            Self::Error(error) => write!(f, "-{error}"),
            Self::Integer(number) => number.fmt(f),
            Self::Array(items) => write!(f, "an array of {}", items.len()),
            Self::Nil => f.write_str("nothing"),
            Self::Unexpected(text) => f.write_str(text),
        }
    }
}

/// An error in the server's own words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErrorReply {
    /// Its first word, told apart.
    pub code: ErrorCode,
    /// The whole of it without the leading `-`, shortened to 512 characters.
    pub text: String,
}

/// The first word of an error, as far as anybody decides by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCode {
    /// `LOADING`: reading its data set into memory.
    Loading,
    /// `MASTERDOWN`: a replica that may not serve stale data.
    MasterDown,
    /// `BUSY`: running a script.
    Busy,
    /// `MISCONF`: cannot write its disk.
    Misconf,
    /// `NOAUTH`, `WRONGPASS`, `NOPERM`, `DENIED` (protected mode) or an older server's words for
    /// them: we are not allowed to.
    Denied,
    /// `EXECABORT`: a transaction was given up because a command in it was refused.
    ExecAbort,
    /// Any other.
    Other,
}

impl ErrorReply {
    fn new(code: &str, detail: Option<&str>) -> Self {
        let text = match detail {
            Some(detail) => short(&format!("{code} {detail}")),
            None => short(code),
        };
        let code = match code {
            "LOADING" => ErrorCode::Loading,
            "MASTERDOWN" => ErrorCode::MasterDown,
            "BUSY" => ErrorCode::Busy,
            "MISCONF" => ErrorCode::Misconf,
            "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => ErrorCode::Denied,
            // Redis 5 and older.
            "ERR" if detail == Some("invalid password") => ErrorCode::Denied,
            "EXECABORT" => ErrorCode::ExecAbort,
            _ => ErrorCode::Other,
        };
        Self { code, text }
    }

    /// Whether the server does not know the command: it is older, or the command was renamed.
    pub fn says_unknown(&self) -> bool {
        self.text.starts_with("ERR unknown command")
    }

    /// Whether a password was given to a server that has none: nothing is locked, so nothing is
    /// denied. The words of Redis 6 and newer, and of Redis 5 and older.
    pub(crate) fn says_no_password_is_set(&self) -> bool {
        self.text.contains("without any password configured")
            || self.text.contains("but no password is set")
    }
}

impl fmt::Display for ErrorReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ErrorReply> for NodeFault {
    fn from(error: ErrorReply) -> Self {
        match error.code {
            ErrorCode::Denied => Self::Denied(error.text),
            ErrorCode::Loading
            | ErrorCode::MasterDown
            | ErrorCode::Busy
            | ErrorCode::Misconf
            | ErrorCode::ExecAbort
            | ErrorCode::Other => Self::Error(error.text),
        }
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn short(text: &str) -> String {
    text.chars().take(512).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Reply {
        Reply::from_value(redis::parse_redis_value(line.as_bytes()).unwrap())
    }

    fn code(line: &str) -> ErrorCode {
        let Reply::Error(error) = reply(&format!("{line}\r\n")) else { panic!("no error") };
        assert_eq!(format!("-{}", error.text), line, "the server's own words are kept");
        error.code
    }

    #[test]
    fn errors_are_told_apart_and_keep_their_words() {
        assert_eq!(code("-LOADING Redis is loading the dataset in memory"), ErrorCode::Loading);
        assert_eq!(code("-MASTERDOWN Link with MASTER is down"), ErrorCode::MasterDown);
        assert_eq!(code("-BUSY Redis is busy running a script."), ErrorCode::Busy);
        assert_eq!(code("-MISCONF Redis is configured to save RDB snapshots"), ErrorCode::Misconf);
        assert_eq!(code("-NOAUTH Authentication required."), ErrorCode::Denied);
        assert_eq!(code("-WRONGPASS invalid username-password pair"), ErrorCode::Denied);
        assert_eq!(code("-NOPERM this user has no permissions to run 'ping'"), ErrorCode::Denied);
        assert_eq!(code("-DENIED Redis is running in protected mode"), ErrorCode::Denied);
        assert_eq!(code("-ERR invalid password"), ErrorCode::Denied);
        assert_eq!(code("-EXECABORT Transaction discarded"), ErrorCode::ExecAbort);
        assert_eq!(code("-ERR max number of clients reached"), ErrorCode::Other);
        assert_eq!(code("-ODD"), ErrorCode::Other);
    }

    #[test]
    fn statuses_and_bulk_strings_are_texts() {
        assert_eq!(reply("+PONG\r\n"), Reply::Text("PONG".into()));
        assert_eq!(reply("+OK\r\n"), Reply::Text("OK".into()));
        assert_eq!(reply("$4\r\nPONG\r\n"), Reply::Text("PONG".into()));
        assert_eq!(reply("$-1\r\n"), Reply::Nil);
    }

    #[test]
    fn forms_never_asked_for_are_no_panic() {
        assert!(matches!(reply("%1\r\n+a\r\n:1\r\n"), Reply::Unexpected(_)));
    }

    #[test]
    fn a_server_without_password_is_recognised_by_its_words() {
        let words = "ERR AUTH <password> called without any password configured for the default \
                     user. Are you sure your configuration is correct?";
        let Reply::Error(error) = reply(&format!("-{words}\r\n")) else { panic!() };
        assert!(error.says_no_password_is_set());
    }
}
