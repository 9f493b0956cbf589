//! A prober's connection to one node: questions go out without waiting for earlier answers, and
//! answers come back in order.

use crate::conn::{Conn, Stage};
use crate::dial::Lookups;
use crate::info;
use crate::reply::Reply;
use std::collections::VecDeque;
use std::time::Duration;
use vedette_model::{Credentials, NodeAddr, NodeFault, NodeView};

/// Questions that may wait for their answers. At the fastest pinging, every 50 ms, that is 50 s of
/// a stopped server's silence; what is asked beyond it could tell nothing new.
pub const UNANSWERED_LIMIT: usize = 1024;

/// Where Sentinels greet each other.
const GREETINGS: &str = "__sentinel__:hello";

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// `PING`.
    Ping,
    /// `INFO`.
    Info,
    /// `ROLE`.
    Role,
}

/// What an answer is owed for.
#[derive(Debug, Clone, Copy)]
enum Owed {
    Asked(Ask),
    Greeting,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// To `PING`: any reply, errors included.
    Pong(Reply),
    /// To `INFO`.
    Info(Result<NodeView, NodeFault>),
    /// To `ROLE`: any reply, errors included.
    Role(Reply),
    /// To a greeting: the error, if it was refused.
    Greeted(Option<String>),
}

/// An established connection to a node, logged in. It never reconnects by itself; dropping it
/// closes it.
pub struct Link {
    conn: Conn,
    awaiting: VecDeque<Owed>,
}

impl Link {
    /// Connects (TCP without delay) and logs in, within `limit` for everything. If the node's
    /// name does not resolve, the address that `lookups` knows is taken. `name` is what
    /// `CLIENT LIST` shows on the node; no spaces.
    ///
    /// # Errors
    /// Any [`NodeFault`] but `Expired`: `Refused`, `TimedOut` and `Broken` are the node's,
    /// `Unresolved` and `Denied` are the monitoring's.
    pub async fn open(
        addr: &NodeAddr,
        lookups: &Lookups,
        credentials: Option<&Credentials>,
        name: &str,
        limit: Duration,
    ) -> Result<Self, NodeFault> {
        let mut stage = Stage::Resolving;
        let opening = Conn::open(addr, lookups, credentials, name, &mut stage);
        match tokio::time::timeout(limit, opening).await {
            Ok(conn) => Ok(Self { conn: conn?, awaiting: VecDeque::new() }),
            Err(_elapsed) => Err(stage.timed_out()),
        }
    }

    /// Takes a question; never waits. [`Link::next`] sends all that were taken at once. Returns
    /// false, having taken nothing, if [`UNANSWERED_LIMIT`] questions or too many bytes wait
    /// already.
    pub fn ask(&mut self, ask: Ask) -> bool {
        let bytes: &[u8] = match ask {
            Ask::Ping => b"*1\r\n$4\r\nPING\r\n",
            Ask::Info => b"*1\r\n$4\r\nINFO\r\n",
            Ask::Role => b"*1\r\n$4\r\nROLE\r\n",
        };
        self.send(bytes, Owed::Asked(ask))
    }

    /// Publishes a text on the channel on which Sentinels greet each other; as [`Link::ask`].
    pub fn greet(&mut self, text: &str) -> bool {
        let command = redis::cmd("PUBLISH").arg(GREETINGS).arg(text).get_packed_command();
        self.send(&command, Owed::Greeting)
    }

    fn send(&mut self, bytes: &[u8], owed: Owed) -> bool {
        if self.awaiting.len() >= UNANSWERED_LIMIT || !self.conn.send(bytes) {
            return false;
        }
        self.awaiting.push_back(owed);
        true
    }

    /// Sends what is to be asked, and waits for the next answer or for the end of the connection,
    /// which is heard at once also while nothing is being asked. Safe to drop and call again.
    ///
    /// # Errors
    /// [`NodeFault::Broken`]: the connection is of no more use.
    pub async fn next(&mut self) -> Result<Heard, NodeFault> {
        let reply = self.conn.next().await?;
        let owed = self.awaiting.pop_front();
        if self.awaiting.is_empty() {
            self.conn.rest();
        }
        match owed {
            Some(Owed::Asked(Ask::Ping)) => Ok(Heard::Pong(reply)),
            Some(Owed::Asked(Ask::Info)) => Ok(Heard::Info(view(reply))),
            Some(Owed::Asked(Ask::Role)) => Ok(Heard::Role(reply)),
            Some(Owed::Greeting) => {
                let Reply::Error(error) = reply else { return Ok(Heard::Greeted(None)) };
                Ok(Heard::Greeted(Some(error.text)))
            }
            None => Err(NodeFault::Broken(format!("an answer that nobody asked for: {reply}"))),
        }
    }
}

/// The answer to `INFO` as a view.
pub(crate) fn view(reply: Reply) -> Result<NodeView, NodeFault> {
    match reply {
        Reply::Text(text) => info::parse(&text).map_err(|e| NodeFault::Error(e.to_string())),
        Reply::Error(error) => Err(error.into()),
        other @ (Reply::Integer(_) | Reply::Array(_) | Reply::Nil | Reply::Unexpected(_)) => {
            Err(NodeFault::Error(format!("INFO was answered by {other}")))
        }
    }
}
