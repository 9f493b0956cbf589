//! The gateway beside a real Sentinel that watches the same nodes: what differs, byte for byte.
//!
//! Of each reply its form is compared: types, counts, names and their order, errors and simple
//! strings to the letter. Values that belong to one process (ids, ages, addresses of others) are
//! compared by their type only.

use anyhow::{Context, Result, bail, ensure};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Process, System, binary, ports, within};
use vedette_model::NodeAddr;

const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// A redis-sentinel that watches the system's master.
pub struct Sentinel {
    _process: Process,
    /// Where it answers.
    pub at: SocketAddr,
}

impl Sentinel {
    /// Starts one in the folder, and waits until it knows the replicas.
    ///
    /// # Errors
    /// If it cannot be started or does not see what is there.
    pub async fn watching(system: &System, folder: &Path) -> Result<Self> {
        let at = SocketAddr::from(([127, 0, 0, 1], ports::free()?));
        let (group, master) = (system.group(), system.master());
        let text = format!(
            "port {}\nbind 127.0.0.1\nsentinel monitor {group} {} {} 2\n\
             sentinel down-after-milliseconds {group} 60000\n",
            at.port(),
            master.host(),
            master.port()
        );
        let file = folder.join("sentinel.conf");
        std::fs::write(&file, text)?;
        let arguments = vec![file.to_string_lossy().into_owned(), "--sentinel".into()];
        let process = Process::spawn("sentinel", binary::redis()?, arguments, folder)?;
        let this = Self { _process: process, at };
        let replicas = system.nodes.len() - 1;
        within(LIMIT, "the sentinel knows the replicas", async || {
            let mut asked = Asked::connect(at).await.ok()?;
            let entries = asked.ask(&["SENTINEL", "REPLICAS", group.as_str()]).await.ok()?;
            matches!(entries, Form::Array(all) if all.len() == replicas).then_some(())
        })
        .await?;
        Ok(this)
    }
}

/// The form of a reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    /// `+` and its text.
    Simple(String),
    /// `-` and its text.
    Error(String),
    /// `:`.
    Integer,
    /// `$` and its text.
    Bulk(String),
    /// `$-1`, `*-1` or `_`, as it was sent.
    Null(String),
    /// `*`.
    Array(Vec<Self>),
    /// `%`.
    Map(Vec<Self>),
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

    /// In one line; bulk strings by their text where `names` says so, otherwise as `$`.
    fn line(&self, names: bool) -> String {
        let all = |items: &[Self], names: bool| {
            let each: Vec<_> = items.iter().map(|item| item.line(names)).collect();
            each.join(" ")
        };
        match self {
            Self::Simple(text) => format!("+{text}"),
            Self::Error(text) => format!("-{text}"),
            Self::Integer => ":".into(),
            Self::Bulk(text) if names => format!("${text}"),
            Self::Bulk(_) => "$".into(),
            Self::Null(text) => text.clone(),
            Self::Array(items) => format!("*{}[{}]", items.len(), pairs(items, names)),
            Self::Map(items) => format!("%{}[{}]", items.len() / 2, pairs(items, names)),
            Self::Push(items) => format!(">{}[{}]", items.len(), all(items, names)),
        }
    }
}

/// Names and values in turn, where the list looks so: the names are told, of values the type.
fn pairs(items: &[Form], names: bool) -> String {
    let named = |item: &Form| matches!(item, Form::Bulk(text) if is_name(text));
    let is_entry =
        items.len() >= 6 && items.len().is_multiple_of(2) && items.iter().step_by(2).all(named);
    let each =
        items.iter().enumerate().map(|(n, item)| item.line(names || (is_entry && n % 2 == 0)));
    each.collect::<Vec<_>>().join(" ")
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

/// Starts a gateway and waits until it lets clients in. Where it does.
///
/// # Errors
/// If it cannot be started, or lets nobody in.
pub async fn gateway(system: &mut System, id: &str) -> Result<SocketAddr> {
    let at = system.start_gateway(id, &[])?;
    within(LIMIT, &format!("{id} lets clients in"), async || {
        TcpStream::connect(at).await.ok().map(drop)
    })
    .await?;
    Ok(at)
}

/// Who is master, as a gateway or Sentinel says.
///
/// # Errors
/// If it does not.
pub async fn master(at: SocketAddr, group: &str) -> Result<NodeAddr> {
    let mut asked = Asked::connect(at).await?;
    let form = asked.ask(&["SENTINEL", "GET-MASTER-ADDR-BY-NAME", group]).await?;
    let Form::Array(two) = &form else { bail!("no address: {form:?}") };
    Ok(NodeAddr::new(two[0].text(), two[1].text().parse()?)?)
}

/// Which replicas a gateway or Sentinel lists.
///
/// # Errors
/// If it lists none.
pub async fn replicas(at: SocketAddr, group: &str) -> Result<BTreeSet<NodeAddr>> {
    let mut asked = Asked::connect(at).await?;
    let form = asked.ask(&["SENTINEL", "REPLICAS", group]).await?;
    let Form::Array(all) = &form else { bail!("no list: {form:?}") };
    let addr = |entry: BTreeMap<String, String>| {
        let field = |name: &str| entry.get(name).context("a field is missing");
        Ok(NodeAddr::new(field("ip")?, field("port")?.parse()?)?)
    };
    all.iter().map(|form| addr(form.entry())).collect()
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
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            request.extend(format!("${}\r\n{word}\r\n", word.len()).bytes());
        }
        self.send(&request).await?;
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
            let count = read.await.context("no reply in time")??;
            ensure!(count > 0, "the connection was closed");
            self.input.extend_from_slice(&more[..count]);
        }
    }
}

fn parse(input: &[u8]) -> Result<Option<(Form, usize)>> {
    let Some(end) = input.windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
    let head = std::str::from_utf8(&input[..end])?;
    let (kind, text) = head.split_at_checked(1).context("an empty line is no reply")?;
    let next = end + 2;
    let whole = match kind {
        "+" => Form::Simple(text.into()),
        "-" => Form::Error(text.into()),
        ":" => Form::Integer,
        "_" => Form::Null("_".into()),
        "$" | "*" if text == "-1" => Form::Null(head.into()),
        "$" => {
            let length: usize = text.parse()?;
            let Some(bytes) = input.get(next..next + length + 2) else { return Ok(None) };
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            return Ok(Some((Form::Bulk(text), next + length + 2)));
        }
        "*" | "%" | ">" => {
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
                _ => Form::Push(items),
            };
            return Ok(Some((list, at)));
        }
        _ => bail!("no reply: {head:?}"),
    };
    Ok(Some((whole, next)))
}

/// One command that both were asked, and what came if it was not alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// The protocol's version and the command.
    pub asked: String,
    /// Sentinel's answer.
    pub sentinel: String,
    /// The gateway's.
    pub gateway: String,
}

/// Asks both the same and gives what differs, and how many were asked.
///
/// # Errors
/// If one of them does not answer.
pub async fn differences(
    sentinel: SocketAddr,
    gateway: SocketAddr,
    commands: &[Vec<&str>],
) -> Result<(Vec<Difference>, usize)> {
    let mut found = Vec::new();
    let mut count = 0;
    for proto in ["2", "3"] {
        for words in commands {
            count += 1;
            let one = answer(sentinel, proto, words).await?;
            let other = answer(gateway, proto, words).await?;
            if one != other {
                let asked = format!("RESP{proto} {}", words.join(" "));
                found.push(Difference { asked, sentinel: one, gateway: other });
            }
        }
    }
    Ok((found, count))
}

async fn answer(at: SocketAddr, proto: &str, words: &[&str]) -> Result<String> {
    let mut asked = Asked::connect(at).await?;
    if proto == "3" {
        asked.ask(&["HELLO", "3"]).await?;
    }
    let form = asked.ask(words).await.with_context(|| format!("{at}: {words:?}"))?;
    Ok(form.line(false))
}

/// What a Sentinel's clients and operators ask, right and wrong.
pub fn commands(group: &str) -> Vec<Vec<&str>> {
    let sentinel = |rest: &[&'static str]| [&["SENTINEL"][..], rest].concat();
    let named = |verb: &'static str| vec!["SENTINEL", verb, group];
    let mut all = vec![
        vec!["PING"],
        vec!["PING", "hi"],
        vec!["PING", "a", "b"],
        vec!["HELLO"],
        vec!["HELLO", "2"],
        vec!["HELLO", "3"],
        vec!["HELLO", "4"],
        vec!["HELLO", "x"],
        vec!["HELLO", "3", "SETNAME", "me"],
        vec!["HELLO", "3", "AUTH", "default", "x"],
        vec!["HELLO", "3", "NONSENSE"],
        vec!["AUTH", "x"],
        vec!["AUTH", "default", "x"],
        vec!["AUTH", "nobody", "x"],
        vec!["AUTH"],
        vec!["ROLE"],
        vec!["ROLE", "x"],
        vec!["COMMAND", "COUNT"],
        vec!["CLIENT", "ID"],
        vec!["CLIENT", "GETNAME"],
        vec!["CLIENT", "SETNAME", "a"],
        vec!["CLIENT", "SETNAME", "a b"],
        vec!["CLIENT", "SETINFO", "LIB-NAME", "x"],
        vec!["CLIENT", "NONSENSE"],
        vec!["CLIENT"],
        vec!["CLIENT", "MAINT_NOTIFICATIONS", "ON"],
        vec!["ACL", "WHOAMI"],
        vec!["GET", "x"],
        vec!["SET", "a", "b"],
        vec!["SELECT", "0"],
        vec!["CONFIG", "GET", "*"],
        vec!["QUIT"],
        vec!["PUBLISH", "x", "y"],
        vec!["SUBSCRIBE", "+switch-master"],
        vec!["PSUBSCRIBE", "*"],
        vec!["UNSUBSCRIBE"],
        vec!["UNSUBSCRIBE", "x"],
        vec!["PUNSUBSCRIBE"],
        vec!["SUBSCRIBE"],
        vec!["SENTINEL"],
        sentinel(&["NONSENSE"]),
        sentinel(&["MASTERS"]),
        sentinel(&["masters"]),
        sentinel(&["MASTERS", "x"]),
        sentinel(&["MASTER"]),
        sentinel(&["MASTER", "nobody"]),
        sentinel(&["REPLICAS", "nobody"]),
        sentinel(&["SLAVES", "nobody"]),
        sentinel(&["SENTINELS", "nobody"]),
        sentinel(&["GET-MASTER-ADDR-BY-NAME"]),
        sentinel(&["GET-MASTER-ADDR-BY-NAME", "nobody"]),
        sentinel(&["CKQUORUM", "nobody"]),
        sentinel(&["CKQUORUM"]),
        sentinel(&["MYID"]),
        sentinel(&["HELP", "x"]),
        sentinel(&["FLUSHCONFIG"]),
        sentinel(&["PENDING-SCRIPTS"]),
        sentinel(&["INFO-CACHE", "nobody"]),
        sentinel(&["IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", "1", "0", "*"]),
        sentinel(&["IS-MASTER-DOWN-BY-ADDR", "127.0.0.1", "x", "0", "*"]),
        sentinel(&["RESET"]),
        sentinel(&["MONITOR", "a"]),
        sentinel(&["SET", "a"]),
    ];
    all.extend(["MASTER", "REPLICAS", "SLAVES", "SENTINELS", "GET-MASTER-ADDR-BY-NAME"].map(named));
    all
}
