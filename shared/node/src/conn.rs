//! One connection: bytes out without waiting, answers in as they come.
//!
//! The socket is ours, only the parser is the redis crate's. That crate's own connection keeps a
//! task and a queue of its own per node, cannot send while its queue is full, and tells a lost
//! connection by its push channel alone, which needs RESP3; a prober with thousands of nodes
//! wants neither. Here whoever waits for the next answer also hears at once that the link broke.

use crate::dial::{Lookups, broken, connect, connect_fault};
use crate::reply::Reply;
use crate::tls::{Wire, complaint};
use std::io::{self, Read};
use tokio::io::Interest;
use vedette_model::{Credentials, NodeAddr, NodeFault, Secret};

/// Bytes that one answer may have. A default `INFO` has about 6 KB.
const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// Bytes that may wait for a peer that reads nothing, beyond what the kernel buffers.
const OUTBOX_LIMIT: usize = 64 * 1024;

/// A connection whose sending never waits.
pub(crate) struct Conn {
    wire: Wire,
    parser: redis::Parser,
    /// Whether the parser may hold the beginning of an answer.
    begun: bool,
    /// Bytes of the answer being received.
    received: usize,
    outbox: Vec<u8>,
    /// Why sending failed; told when the other half ends too, which follows at once.
    send_error: Option<io::Error>,
}

impl std::fmt::Debug for Conn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Conn").field("wire", &self.wire).finish_non_exhaustive()
    }
}

/// How far opening a connection came, to say where its time went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Resolving,
    Talking,
}

impl Stage {
    /// The fault if time ran out at this stage.
    pub(crate) fn timed_out(self) -> NodeFault {
        match self {
            Self::Resolving => NodeFault::Unresolved("no answer from the resolver in time".into()),
            Self::Talking => NodeFault::TimedOut,
        }
    }
}

impl Conn {
    /// Connects and logs in. The caller limits the time; `stage` tells it where the time went.
    pub(crate) async fn open(
        addr: &NodeAddr,
        lookups: &Lookups,
        credentials: Option<&Credentials>,
        name: &str,
        stage: &mut Stage,
    ) -> Result<Self, NodeFault> {
        let addresses = lookups.resolve(addr).await?;
        *stage = Stage::Talking;
        let stream = connect(&addresses).await?;
        // Without it the second small write of a round waits for the acknowledgement of the first.
        stream.set_nodelay(true).map_err(|error| connect_fault(&error))?;
        let mut conn = Self {
            wire: Wire::new(stream, addr, lookups.tls())?,
            parser: redis::Parser::new(),
            begun: false,
            received: 0,
            outbox: Vec::new(),
            send_error: None,
        };
        conn.log_in(addr, credentials, name).await?;
        Ok(conn)
    }

    /// Takes what [`Conn::next`] is to send before it waits. Returns false, having taken nothing,
    /// if too much waits already.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> bool {
        if !self.outbox.is_empty() && self.outbox.len() + bytes.len() > OUTBOX_LIMIT {
            return false;
        }
        self.outbox.extend_from_slice(bytes);
        true
    }

    /// Sends as much as the kernel takes, keeps the rest for later, and waits for the next answer.
    /// Safe to drop at any time: nothing is lost.
    pub(crate) async fn next(&mut self) -> Result<Reply, NodeFault> {
        loop {
            self.flush();
            if let Some(reply) = self.parse()? {
                return Ok(reply);
            }
            if !self.begun {
                // Its buffer has 8 KiB, and a prober thousands of connections that wait.
                self.parser = redis::Parser::new();
            }
            // A socket that failed stays writable for ever: to wait for that would never wait.
            let interest = if self.send_error.is_none() && self.wire.waits_to_write(&self.outbox) {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            self.wire.stream().ready(interest).await.map_err(|error| broken(&error))?;
        }
    }

    /// No answer is owed any more. What has come all the same, [`Conn::next`] gives if it is a
    /// whole one.
    pub(crate) fn rest(&mut self) {
        self.begun = false;
    }

    async fn log_in(
        &mut self,
        addr: &NodeAddr,
        credentials: Option<&Credentials>,
        name: &str,
    ) -> Result<(), NodeFault> {
        let set_name = redis::cmd("CLIENT").arg("SETNAME").arg(name).get_packed_command();
        if let Some(Credentials { user, password, other_password }) = credentials {
            let auth = |password: &Secret| {
                let mut auth = redis::cmd("AUTH");
                if let Some(user) = user {
                    auth.arg(user);
                }
                [auth.arg(password.expose()).get_packed_command(), set_name.clone()].concat()
            };
            self.send(&auth(password));
            let mut logged_in = self.logged_in(addr).await;
            if let (Err(NodeFault::Denied(_)), Some(other)) = (&logged_in, other_password) {
                // What the name was answered without a login.
                self.next().await?;
                self.send(&auth(other));
                logged_in = self.logged_in(addr).await;
            }
            logged_in?;
        } else {
            self.send(&set_name);
        }
        match self.next().await? {
            // A name is a courtesy: only a server that lets us do nothing at all refuses us.
            Reply::Error(error)
                if ["NOAUTH", "DENIED"].iter().any(|w| error.text.starts_with(w)) =>
            {
                Err(error.into())
            }
            Reply::Error(error) if error.text.starts_with("ERR max number of clients") => {
                Err(error.into())
            }
            Reply::Error(_)
            | Reply::Text(_)
            | Reply::Integer(_)
            | Reply::Array(_)
            | Reply::Nil
            | Reply::Unexpected(_) => Ok(()),
        }
    }

    /// What `AUTH` is answered.
    async fn logged_in(&mut self, addr: &NodeAddr) -> Result<(), NodeFault> {
        match self.next().await? {
            Reply::Error(error) if error.says_no_password_is_set() => {
                tracing::warn!(
                    node = %addr,
                    "the node has no password but its group has one: protect the node with \
                     requirepass and masterauth, or remove the password from the group"
                );
                Ok(())
            }
            Reply::Error(error) => Err(error.into()),
            Reply::Text(_) => Ok(()),
            other @ (Reply::Integer(_) | Reply::Array(_) | Reply::Nil | Reply::Unexpected(_)) => {
                Err(NodeFault::Error(format!("AUTH was answered by {other}")))
            }
        }
    }

    fn flush(&mut self) {
        if self.send_error.is_none() {
            self.send_error = self.try_flush().err();
        }
        if self.send_error.is_some() {
            self.outbox.clear();
        }
    }

    fn try_flush(&mut self) -> io::Result<()> {
        self.wire.push()?;
        while !self.outbox.is_empty() {
            match self.wire.try_write(&self.outbox) {
                Ok(written) => drop(self.outbox.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next answer if all of it has arrived.
    fn parse(&mut self) -> Result<Option<Reply>, NodeFault> {
        let mut source = Source { wire: &mut self.wire, received: &mut self.received, end: None };
        let parsed = self.parser.parse_value(&mut source);
        let end = source.end;
        self.begun |= self.received > 0;
        match (parsed, end) {
            (Ok(value), _) => {
                self.received = 0;
                Ok(Some(Reply::from_value(value)))
            }
            (Err(_), Some(End::Pending)) => Ok(None),
            (Err(_), Some(End::Closed)) => Err(match self.send_error.take() {
                Some(error) => broken(&error),
                None => NodeFault::Broken("the node closed the connection".into()),
            }),
            (Err(_), Some(End::Failed(error))) => {
                Err(complaint(&error).unwrap_or_else(|| broken(&error)))
            }
            (Err(_), Some(End::TooLong)) => {
                Err(NodeFault::Broken(format!("an answer of more than {ANSWER_LIMIT} bytes")))
            }
            (Err(error), None) => {
                let words = error.to_string().replace('\n', " ");
                Err(NodeFault::Broken(format!("not a Redis or Valkey server: {words}")))
            }
        }
    }
}

/// Feeds the parser from the socket and remembers why it had to stop.
struct Source<'a> {
    wire: &'a mut Wire,
    received: &'a mut usize,
    end: Option<End>,
}

enum End {
    Pending,
    Closed,
    Failed(io::Error),
    TooLong,
}

impl Read for Source<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if *self.received > ANSWER_LIMIT {
            self.end = Some(End::TooLong);
            return Err(io::ErrorKind::InvalidData.into());
        }
        match self.wire.try_read(buffer) {
            Ok(0) => {
                self.end = Some(End::Closed);
                Ok(0)
            }
            Ok(count) => {
                *self.received += count;
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                self.end = Some(if kind == io::ErrorKind::WouldBlock {
                    End::Pending
                } else {
                    End::Failed(error)
                });
                Err(kind.into())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::time::Duration;
    use vedette_harness::papers::Papers;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A connection whose node dies before anything was sent, and before the runtime could hear
    /// of it.
    async fn reset(folder: &std::path::Path) -> Conn {
        let papers = Papers::issue(folder, &["127.0.0.1"]).unwrap();
        let tls = crate::Tls::configured(Some(papers.authority), None, None).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        let stream = tokio::net::TcpStream::connect(at).await.unwrap();
        let (node, _) = listener.accept().unwrap();
        node.set_nonblocking(true).unwrap();
        let node = tokio::net::TcpStream::from_std(node).unwrap();
        node.set_zero_linger().unwrap();
        drop(node);
        let addr = NodeAddr::new("127.0.0.1", at.port()).unwrap();
        Conn {
            wire: Wire::new(stream, &addr, tls.as_deref()).unwrap(),
            parser: redis::Parser::new(),
            begun: false,
            received: 0,
            outbox: Vec::new(),
            send_error: None,
        }
    }

    #[test]
    fn a_node_that_dies_before_the_handshake_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let (done, wait) = std::sync::mpsc::channel();
        // In a thread of its own: a loop that never gives way cannot be timed out from within.
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let heard = runtime.unwrap().block_on(async {
                let mut conn = reset(folder.path()).await;
                conn.send(b"PING\r\n");
                conn.next().await
            });
            done.send(heard).unwrap();
        });
        let heard = wait.recv_timeout(LIMIT).expect("it hears of the end");
        assert!(matches!(heard, Err(NodeFault::Broken(_))), "{heard:?}");
        thread.join().unwrap();
    }
}
