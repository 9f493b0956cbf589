//! NATS's own protocol, as far as one needs it to see each refusal in its place: whatever is sent
//! before a `PING` is answered before its `PONG`.

use anyhow::{Context as _, Result, bail, ensure};
use std::collections::BTreeSet;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;
use vedette_harness::{LIMIT, NatsServer};

/// A connection in a user's name, whose password is the name.
pub struct Wire {
    stream: BufReader<TcpStream>,
}

/// What came before the next `PONG`.
#[derive(Default)]
pub struct Came {
    /// Subjects that it was not allowed to publish to.
    pub unsaid: BTreeSet<String>,
    /// Subjects that it was not allowed to subscribe to.
    pub unheard: BTreeSet<String>,
    /// The subjects of messages, and the subscriptions that they came by.
    pub messages: Vec<(String, usize)>,
    /// Where the last of them wants its answer.
    pub reply_to: Option<String>,
}

impl Wire {
    /// Logs in.
    pub async fn connect(nats: &NatsServer, user: &str) -> Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", nats.port())).await?;
        let mut wire = Self { stream: BufReader::new(stream) };
        let login = format!(
            "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"echo\":false,\
             \"user\":\"{user}\",\"pass\":\"{user}\"}}\r\n"
        );
        wire.does(&login).await.with_context(|| format!("{user} logs in"))?;
        Ok(wire)
    }

    /// Sends these lines, and waits until the server has carried all of them out.
    pub async fn does(&mut self, lines: &str) -> Result<Came> {
        self.stream.get_mut().write_all(format!("{lines}PING\r\n").as_bytes()).await?;
        timeout(LIMIT, self.until_pong()).await.context("no PONG came")?
    }

    /// Publishes nothing to each of these subjects.
    pub async fn says(&mut self, subjects: &[String]) -> Result<Came> {
        let lines: String = subjects.iter().map(|to| format!("PUB {to} 0\r\n\r\n")).collect();
        self.does(&lines).await
    }

    /// Subscribes to each of these; a subscription's number is its place in the list.
    pub async fn hears(&mut self, subjects: &[String]) -> Result<Came> {
        let numbered = subjects.iter().enumerate();
        let lines: String = numbered.map(|(n, to)| format!("SUB {to} {n}\r\n")).collect();
        self.does(&lines).await
    }

    async fn until_pong(&mut self) -> Result<Came> {
        let mut came = Came::default();
        loop {
            let mut line = String::new();
            ensure!(self.stream.read_line(&mut line).await? > 0, "the server has hung up");
            let line = line.trim_end();
            if line == "PONG" {
                return Ok(came);
            }
            match line.split_once(' ').map_or((line, ""), |(verb, rest)| (verb, rest)) {
                ("INFO" | "+OK", _) => {}
                ("PING", _) => self.stream.get_mut().write_all(b"PONG\r\n").await?,
                ("-ERR", reason) => came.refused(reason)?,
                ("MSG" | "HMSG", rest) => {
                    let lengths = if line.starts_with('H') { 2 } else { 1 };
                    let words: Vec<&str> = rest.split(' ').collect();
                    came.reply_to = words
                        .get(2)
                        .filter(|_| words.len() > 2 + lengths)
                        .map(|to| (*to).to_string());
                    came.messages.push(self.message(&words).await?);
                }
                _ => bail!("what is {line:?}?"),
            }
        }
    }

    /// `<subject> <number> [reply-to] [bytes of headers] <bytes>`, and those bytes.
    async fn message(&mut self, words: &[&str]) -> Result<(String, usize)> {
        let [subject, number, .., bytes] = words else { bail!("what is {words:?}?") };
        let mut payload = vec![0; bytes.parse::<usize>()? + b"\r\n".len()];
        self.stream.read_exact(&mut payload).await?;
        Ok(((*subject).to_string(), number.parse()?))
    }
}

impl Came {
    /// `'Permissions Violation for Publish to "subject"'`
    fn refused(&mut self, reason: &str) -> Result<()> {
        let mut parts = reason.split('"');
        let (Some(what), Some(subject)) = (parts.next(), parts.next()) else {
            bail!("the server says {reason}");
        };
        let fresh = match what {
            "'Permissions Violation for Publish to " => &mut self.unsaid,
            "'Permissions Violation for Subscription to " => &mut self.unheard,
            _ => bail!("the server says {reason}"),
        };
        fresh.insert(subject.to_string());
        Ok(())
    }
}
