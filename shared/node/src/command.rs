//! An orchestrator's errand: one [`Command`] over a connection of its own.

use crate::conn::{Conn, Stage};
use crate::link::view;
use crate::reply::{ErrorCode, ErrorReply, Reply};
use std::time::Duration;
use vedette_model::{Answer, Command, Credentials, NodeAddr, NodeFault, NodeView, Role};

/// To whom, how and until when.
#[derive(Debug, Clone, Copy)]
pub struct Errand<'a> {
    /// The node.
    pub node: &'a NodeAddr,
    /// How to log in.
    pub credentials: Option<&'a Credentials>,
    /// What `CLIENT LIST` shows on the node; no spaces.
    pub name: &'a str,
    /// For connecting, sending and all answers together.
    pub limit: Duration,
}

/// Carries out a command and always answers within the limit.
///
/// `permitted` is asked before anything is done and again right before each write that changes the
/// node, after connecting and logging in; once it says no, nothing more is sent. It is not asked
/// for [`Command::Inspect`].
pub async fn carry_out(
    errand: Errand<'_>,
    command: &Command,
    permitted: impl Fn() -> bool + Send,
) -> Answer {
    let mut stage = Stage::Resolving;
    let work = attempt(errand, command, permitted, &mut stage);
    match tokio::time::timeout(errand.limit, work).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(fault)) => Answer::Failed(fault),
        Err(_elapsed) => Answer::Failed(stage.timed_out()),
    }
}

async fn attempt(
    errand: Errand<'_>,
    command: &Command,
    permitted: impl Fn() -> bool,
    stage: &mut Stage,
) -> Result<Answer, NodeFault> {
    let Some(change) = Change::of(command) else {
        let mut conn = Conn::open(errand.node, errand.credentials, errand.name, stage).await?;
        conn.send(&pack(&["INFO"]));
        let view = view(conn.next().await?)?;
        return Ok(Answer::Done { view, rewrite_error: None });
    };
    if !permitted() {
        return Err(NodeFault::Expired);
    }
    let mut conn = Conn::open(errand.node, errand.credentials, errand.name, stage).await?;
    change.carry_out(&mut conn, errand.node, permitted).await
}

/// One command of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    ReplicaOf,
    Rewrite,
    KillNormal,
    KillPubsub,
}

/// A change of role as a transaction: all of it reaches the server in one write, and no client's
/// command comes between its parts.
struct Change {
    /// Arguments of `REPLICAOF`.
    target: [String; 2],
    wanted: Role,
    parts: Vec<Part>,
    rewrite_error: Option<String>,
}

/// What one round of the transaction came to.
enum Round {
    /// The role changed; this is the node now.
    Changed(NodeView),
    /// Parts that were refused made the server drop all of it: leave them out and repeat.
    Aborted,
}

impl Change {
    fn of(command: &Command) -> Option<Self> {
        let (target, wanted, cut_clients) = match command {
            Command::Inspect => return None,
            Command::Promote => (["NO".into(), "ONE".into()], Role::Master, true),
            Command::Follow { master, cut_clients } => {
                let target = [master.host().to_string(), master.port().to_string()];
                (target, Role::Replica, *cut_clients)
            }
        };
        let mut parts = vec![Part::ReplicaOf, Part::Rewrite];
        if cut_clients {
            parts.extend([Part::KillNormal, Part::KillPubsub]);
        }
        Some(Self { target, wanted, parts, rewrite_error: None })
    }

    async fn carry_out(
        mut self,
        conn: &mut Conn,
        node: &NodeAddr,
        permitted: impl Fn() -> bool,
    ) -> Result<Answer, NodeFault> {
        // Each repetition leaves out at least one part, so there are few.
        loop {
            if !permitted() {
                return Err(NodeFault::Expired);
            }
            conn.send(&self.request());
            match self.read(conn, node).await? {
                Round::Changed(view) => {
                    return Ok(Answer::Done { view, rewrite_error: self.rewrite_error });
                }
                Round::Aborted => {}
            }
        }
    }

    /// `MULTI`, the parts, `EXEC`, and in the same write `ROLE` and `INFO`, which see its result.
    fn request(&self) -> Vec<u8> {
        let mut bytes = pack(&["MULTI"]);
        for part in &self.parts {
            bytes.extend(match part {
                Part::ReplicaOf => pack(&["REPLICAOF", &self.target[0], &self.target[1]]),
                Part::Rewrite => pack(&["CONFIG", "REWRITE"]),
                Part::KillNormal => pack(&["CLIENT", "KILL", "TYPE", "normal"]),
                Part::KillPubsub => pack(&["CLIENT", "KILL", "TYPE", "pubsub"]),
            });
        }
        bytes.extend(pack(&["EXEC"]));
        bytes.extend(pack(&["ROLE"]));
        bytes.extend(pack(&["INFO"]));
        bytes
    }

    async fn read(&mut self, conn: &mut Conn, node: &NodeAddr) -> Result<Round, NodeFault> {
        let multi = conn.next().await?;
        let mut replies = Vec::with_capacity(self.parts.len());
        for _ in &self.parts {
            replies.push(conn.next().await?);
        }
        let exec = conn.next().await?;
        let role = conn.next().await?;
        let info = conn.next().await?;

        let aborted = match (multi, exec) {
            // Refused, it opened no transaction: each part was carried out by itself.
            (Reply::Error(error), _) => {
                tracing::warn!(%node, %error, "no transaction: grant +multi and +exec to the user");
                false
            }
            (_, Reply::Array(results)) => {
                replies = results;
                false
            }
            (_, Reply::Error(error)) if error.code == ErrorCode::ExecAbort => true,
            (_, Reply::Error(error)) => return Err(error.into()),
            (
                _,
                other @ (Reply::Text(_) | Reply::Integer(_) | Reply::Nil | Reply::Unexpected(_)),
            ) => return Err(unexpected("EXEC", &other)),
        };
        if replies.len() != self.parts.len() {
            return Err(NodeFault::Error("EXEC gave another number of results".into()));
        }
        let parts = std::mem::take(&mut self.parts);
        let before = parts.len();
        for (part, reply) in parts.into_iter().zip(replies) {
            if self.keep(part, reply, node)? {
                self.parts.push(part);
            }
        }
        if !aborted {
            return self.confirm(role, info).map(Round::Changed);
        }
        if self.parts.len() == before {
            return Err(NodeFault::Error(
                "the transaction was dropped for no visible reason".into(),
            ));
        }
        Ok(Round::Aborted)
    }

    /// Whether the part was taken. A refused one that is not essential is noted and survived.
    fn keep(&mut self, part: Part, reply: Reply, node: &NodeAddr) -> Result<bool, NodeFault> {
        let Reply::Error(error) = reply else { return Ok(true) };
        match part {
            Part::ReplicaOf => return Err(error.into()),
            Part::Rewrite => self.rewrite_error = Some(error.text),
            Part::KillNormal | Part::KillPubsub => refused_kill(node, &error),
        }
        Ok(false)
    }

    /// Believes the change only when the node says it.
    fn confirm(&self, role: Reply, info: Reply) -> Result<NodeView, NodeFault> {
        let view = view(info)?;
        let said = match role {
            Reply::Array(items) => said(items.first())?,
            // Not allowed to ask: INFO, written a moment later, says the same.
            Reply::Error(_) => view.role,
            other @ (Reply::Text(_) | Reply::Integer(_) | Reply::Nil | Reply::Unexpected(_)) => {
                return Err(unexpected("ROLE", &other));
            }
        };
        if said != self.wanted || view.role != self.wanted {
            let words = format!("it still says {said} after REPLICAOF {}", self.target.join(" "));
            return Err(NodeFault::Error(words));
        }
        Ok(view)
    }
}

/// The role that the first word of `ROLE` names.
fn said(word: Option<&Reply>) -> Result<Role, NodeFault> {
    let word = word.unwrap_or(&Reply::Nil);
    if *word == Reply::Text("master".into()) {
        Ok(Role::Master)
    } else if *word == Reply::Text("slave".into()) {
        Ok(Role::Replica)
    } else {
        Err(unexpected("ROLE", word))
    }
}

fn refused_kill(node: &NodeAddr, error: &ErrorReply) {
    tracing::warn!(
        %node,
        %error,
        "the node's clients were not closed and may go on as if its role had not changed: \
         grant +client|kill to the user"
    );
}

fn unexpected(command: &str, reply: &Reply) -> NodeFault {
    NodeFault::Error(format!("{command} was answered by {reply}"))
}

fn pack(words: &[&str]) -> Vec<u8> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.get_packed_command()
}
