//! What a RESP server sends, as it was sent.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

const SILENT: &str = "no reply in time";

/// The form of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `+` and its text.
    Simple(String),
    /// `-` and its text.
    Error(String),
    /// `:` and the number.
    Integer(i64),
    /// `$` and its text.
    Bulk(String),
    /// `$-1`, `*-1` or `_`, as it was sent.
    Null(String),
    /// `=` and its text.
    Verbatim(String),
    /// `*`.
    Array(Vec<Self>),
    /// `%`.
    Map(Vec<Self>),
    /// `~`.
    Set(Vec<Self>),
    /// `>`.
    Push(Vec<Self>),
}

impl Form {
    /// A bulk string's text; empty of all else.
    pub fn text(&self) -> &str {
        if let Self::Bulk(text) = self { text } else { "" }
    }

    /// A list of names and values; empty of all else.
    pub fn entry(&self) -> BTreeMap<String, String> {
        let (Self::Array(items) | Self::Map(items)) = self else { return BTreeMap::new() };
        items.chunks_exact(2).map(|two| (two[0].text().into(), two[1].text().into())).collect()
    }
}

/// A connection that asks.
pub struct Asked {
    stream: TcpStream,
    input: Vec<u8>,
}

impl Asked {
    /// Connects.
    ///
    /// # Errors
    /// If nobody answers there.
    pub async fn connect(at: SocketAddr) -> Result<Self> {
        let stream = tokio::time::timeout(ANSWER_LIMIT, TcpStream::connect(at)).await??;
        Ok(Self { stream, input: Vec::new() })
    }

    /// Asks, and waits for one reply.
    ///
    /// # Errors
    /// If there is none in time, or it is no reply.
    pub async fn ask(&mut self, words: &[&str]) -> Result<Form> {
        self.send(&request(words)).await?;
        self.reply().await
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// If the connection broke.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes).await?)
    }

    /// Waits for one reply.
    ///
    /// # Errors
    /// If there is none in time, or it is no reply.
    pub async fn reply(&mut self) -> Result<Form> {
        loop {
            if let Some((form, used)) = parse(&self.input)? {
                self.input.drain(..used);
                return Ok(form);
            }
            let mut more = vec![0; 65_536];
            let read = tokio::time::timeout(ANSWER_LIMIT, self.stream.read(&mut more));
            let count = read.await.context(SILENT)??;
            ensure!(count > 0, "the connection was closed");
            self.input.extend_from_slice(&more[..count]);
        }
    }
}

/// In a word, why there was no reply. A connection that was reset was closed too.
pub fn lost(error: &anyhow::Error) -> &'static str {
    if error.to_string() == SILENT { "silent" } else { "closed" }
}

/// A request in RESP.
pub fn request(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        request.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
    }
    request
}

fn parse(input: &[u8]) -> Result<Option<(Form, usize)>> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&input[..end])?;
    let (kind, text) = head.split_at_checked(1).context("an empty line is no reply")?;
    let next = end + 2;
    let whole = match kind {
        "+" => Form::Simple(text.into()),
        "-" => Form::Error(text.into()),
        ":" => Form::Integer(text.parse()?),
        "_" => Form::Null("_".into()),
        "$" | "*" if text == "-1" => Form::Null(head.into()),
        "$" | "=" => {
            let length: usize = text.parse()?;
            let Some(bytes) = input.get(next..next + length + 2) else { return Ok(None) };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            let form = if kind == "=" { Form::Verbatim(text) } else { Form::Bulk(text) };
            return Ok(Some((form, next + length + 2)));
        }
        "*" | "%" | "~" | ">" => {
            let count: usize = text.parse()?;
            let count = if kind == "%" { 2 * count } else { count };
            let (mut items, mut at) = (Vec::new(), next);
            for _ in 0..count {
                let Some((item, used)) = parse(&input[at..])? else { return Ok(None) };
                items.push(item);
                at += used;
            }
            let list = match kind {
                "*" => Form::Array(items),
                "%" => Form::Map(items),
                "~" => Form::Set(items),
                _ => Form::Push(items),
            };
            return Ok(Some((list, at)));
        }
        _ => bail!("no reply: {head:?}"),
    };
    Ok(Some((whole, next)))
}
