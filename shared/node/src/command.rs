//! An orchestrator's errand: one [`Command`], over a connection that nobody else uses meanwhile.

use crate::client_list::who_changed;
use crate::conn::{Conn, Stage};
use crate::dial::Lookups;
use crate::kept::{Kept, Line};
use crate::link::view;
use crate::reply::{ErrorCode, ErrorReply, Reply};
use crate::tls::Tls;
use std::sync::Arc;
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
    /// Where a connection may be left from the command before, and is left for the next one. None:
    /// it is opened and closed.
    pub kept: Option<&'a Kept>,
    /// How to speak TLS; absent: it is not spoken.
    pub tls: Option<&'a Arc<Tls>>,
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

/// Asks questions that change nothing, all of them in one write, and gives their answers in order.
///
/// # Errors
/// What kept the node from answering them all within the limit. An error that it answers to one of
/// them is an answer.
pub async fn ask(errand: Errand<'_>, questions: &[&[&str]]) -> Result<Vec<Reply>, NodeFault> {
    let mut stage = Stage::Resolving;
    let work = async {
        let mut conn = open(errand, &mut stage).await?;
        let all: Vec<u8> = questions.iter().flat_map(|words| pack(words)).collect();
        conn.send(&all);
        let mut answers = Vec::with_capacity(questions.len());
        for _ in questions {
            answers.push(conn.next().await?);
        }
        Ok(answers)
    };
    match tokio::time::timeout(errand.limit, work).await {
        Ok(answers) => answers,
        Err(_elapsed) => Err(stage.timed_out()),
    }
}

async fn attempt(
    errand: Errand<'_>,
    command: &Command,
    permitted: impl Fn() -> bool,
    stage: &mut Stage,
) -> Result<Answer, NodeFault> {
    let changes = *command != Command::Inspect;
    if changes && !permitted() {
        return Err(NodeFault::Expired);
    }
    let mut change = Change::of(command, errand.node);
    if let Some(change) = change.as_mut().filter(|change| change.ask_who) {
        // Before the change, which may close that client's connection.
        change.changed_by = who_changed(errand).await;
    }
    let kept = errand.kept.and_then(|kept| kept.take(errand.node, errand.credentials));
    if let Some(line) = kept {
        *stage = Stage::Talking;
        match over(line, errand, command, change.clone(), &permitted).await {
            // The process may have been restarted since: every command may be sent twice.
            Err(NodeFault::Broken(_)) => {}
            answer => return answer,
        }
    }
    let line = Line { conn: open(errand, stage).await?, run_id: None };
    over(line, errand, command, change, &permitted).await
}

/// Carries it out over this connection, which is kept if it was of use.
async fn over(
    mut line: Line,
    errand: Errand<'_>,
    command: &Command,
    change: Option<Change>,
    permitted: impl Fn() -> bool,
) -> Result<Answer, NodeFault> {
    let conn = &mut line.conn;
    if let Command::Promote { run_id: Some(wanted) } = command {
        // The connection ends with the process, so that it is this one that is promoted.
        if line.run_id.is_none() {
            conn.send(&pack(&["INFO"]));
            line.run_id = Some(view(conn.next().await?)?.run_id);
        }
        if line.run_id.as_ref() != Some(wanted) {
            return Err(NodeFault::Replaced);
        }
    }
    let answer = match change {
        None => keep_role(conn, command, permitted).await?,
        Some(change) => change.carry_out(conn, errand.node, permitted).await?,
    };
    if let (Some(kept), Answer::Done { view, .. }) = (errand.kept, &answer) {
        line.run_id = Some(view.run_id.clone());
        kept.put(errand.node, errand.credentials, line);
    }
    Ok(answer)
}

/// What changes no role: one command at most, and `INFO` after it.
async fn keep_role(
    conn: &mut Conn,
    command: &Command,
    permitted: impl Fn() -> bool,
) -> Result<Answer, NodeFault> {
    let first = match command {
        Command::PauseWrites { for_ms } => pack(&["CLIENT", "PAUSE", &for_ms.to_string(), "WRITE"]),
        Command::Unpause => pack(&["CLIENT", "UNPAUSE"]),
        Command::Save => pack(&["CONFIG", "REWRITE"]),
        Command::Inspect | Command::Promote { .. } | Command::Freeze | Command::Follow { .. } => {
            Vec::new()
        }
    };
    let alone = first.is_empty();
    if !alone && !permitted() {
        return Err(NodeFault::Expired);
    }
    // The answer of INFO is of the moment after the command: no write came between.
    conn.send(&[first, pack(&["INFO"])].concat());
    let mut rewrite_error = None;
    if !alone && let Reply::Error(error) = conn.next().await? {
        if *command != Command::Save {
            return Err(error.into());
        }
        rewrite_error = Some(error.text);
    }
    let view = view(conn.next().await?)?;
    Ok(Answer::Done { view, rewrite_error, changed_by: None })
}

async fn open(errand: Errand<'_>, stage: &mut Stage) -> Result<Conn, NodeFault> {
    let lookups = Lookups::over(errand.tls.cloned());
    Conn::open(errand.node, &lookups, errand.credentials, errand.name, stage).await
}

/// One command of the transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    ReplicaOf,
    Rewrite,
    KillNormal,
    KillPubsub,
    /// Writes that a switchover made wait: a replica would not take its master's either.
    Unpause,
}

/// A change of role as a transaction: all of it reaches the server in one write, and no client's
/// command comes between its parts.
#[derive(Debug, Clone)]
struct Change {
    /// `REPLICAOF`, or `SLAVEOF` where that is unknown: before Redis 5, or renamed.
    verb: &'static str,
    /// Its arguments.
    target: [String; 2],
    wanted: Role,
    parts: Vec<Part>,
    /// Whether `MULTI` and `EXEC` are around the parts.
    transaction: bool,
    rewrite_error: Option<String>,
    ask_who: bool,
    changed_by: Option<String>,
}

/// What one round of the transaction came to.
enum Round {
    /// The role changed; this is the node now.
    Changed(NodeView),
    /// What was refused made the server drop all of it, or the role has to be changed by its older
    /// name: repeat without what was refused.
    Again,
}

impl Change {
    fn of(command: &Command, node: &NodeAddr) -> Option<Self> {
        let at = |node: &NodeAddr| [node.host().to_string(), node.port().to_string()];
        let mut parts = vec![Part::ReplicaOf];
        let (target, wanted, ask_who) = match command {
            Command::Inspect | Command::PauseWrites { .. } | Command::Unpause | Command::Save => {
                return None;
            }
            Command::Promote { .. } => {
                parts.extend([Part::KillNormal, Part::KillPubsub]);
                (["NO".into(), "ONE".into()], Role::Master, false)
            }
            Command::Freeze => (at(node), Role::Replica, false),
            Command::Follow { master, cut_clients, ask_who } => {
                parts.push(Part::Rewrite);
                if *cut_clients {
                    parts.extend([Part::KillNormal, Part::KillPubsub, Part::Unpause]);
                }
                (at(master), Role::Replica, *ask_who)
            }
        };
        Some(Self {
            verb: "REPLICAOF",
            target,
            wanted,
            parts,
            transaction: true,
            rewrite_error: None,
            ask_who,
            changed_by: None,
        })
    }

    async fn carry_out(
        mut self,
        conn: &mut Conn,
        node: &NodeAddr,
        permitted: impl Fn() -> bool,
    ) -> Result<Answer, NodeFault> {
        // Each repetition leaves out a part or the transaction, or uses the older verb.
        loop {
            if !permitted() {
                return Err(NodeFault::Expired);
            }
            conn.send(&self.request());
            match self.read(conn, node).await? {
                Round::Changed(view) => {
                    let Self { rewrite_error, changed_by, .. } = self;
                    return Ok(Answer::Done { view, rewrite_error, changed_by });
                }
                Round::Again => {}
            }
        }
    }

    /// `MULTI`, the parts, `EXEC`, and in the same write `ROLE` and `INFO`, which see its result.
    fn request(&self) -> Vec<u8> {
        let parts = self.parts.iter().flat_map(|part| match part {
            Part::ReplicaOf => pack(&[self.verb, &self.target[0], &self.target[1]]),
            Part::Rewrite => pack(&["CONFIG", "REWRITE"]),
            Part::KillNormal => pack(&["CLIENT", "KILL", "TYPE", "normal"]),
            Part::KillPubsub => pack(&["CLIENT", "KILL", "TYPE", "pubsub"]),
            Part::Unpause => pack(&["CLIENT", "UNPAUSE"]),
        });
        let mut bytes = if self.transaction { pack(&["MULTI"]) } else { Vec::new() };
        bytes.extend(parts);
        if self.transaction {
            bytes.extend(pack(&["EXEC"]));
        }
        bytes.extend(pack(&["ROLE"]));
        bytes.extend(pack(&["INFO"]));
        bytes
    }

    async fn read(&mut self, conn: &mut Conn, node: &NodeAddr) -> Result<Round, NodeFault> {
        let multi = if self.transaction { Some(conn.next().await?) } else { None };
        let mut replies = Vec::with_capacity(self.parts.len());
        for _ in &self.parts {
            replies.push(conn.next().await?);
        }
        let exec = if self.transaction { Some(conn.next().await?) } else { None };
        let role = conn.next().await?;
        let info = conn.next().await?;

        let aborted = match (multi, exec) {
            // Refused, it opened no transaction: each part was carried out by itself.
            (Some(Reply::Error(error)), _) => {
                no_transaction(node, &error);
                None
            }
            (_, None) => None,
            (_, Some(Reply::Array(results))) => {
                replies = results;
                None
            }
            (_, Some(Reply::Error(error))) if error.code == ErrorCode::ExecAbort => Some(error),
            (_, Some(Reply::Error(error))) => return Err(error.into()),
            (
                _,
                Some(
                    other
                    @ (Reply::Text(_) | Reply::Integer(_) | Reply::Nil | Reply::Unexpected(_)),
                ),
            ) => return Err(unexpected("EXEC", &other)),
        };
        if replies.len() != self.parts.len() {
            return Err(NodeFault::Error("EXEC gave another number of results".into()));
        }
        let parts = std::mem::take(&mut self.parts);
        let before = (parts.len(), self.verb);
        for (part, reply) in parts.into_iter().zip(replies) {
            if self.keep(part, reply, node)? {
                self.parts.push(part);
            }
        }
        let renamed = self.verb != before.1;
        match aborted {
            None if !renamed => return self.confirm(role, info).map(Round::Changed),
            // Every part was taken, so it is EXEC itself that was refused.
            Some(error) if (self.parts.len(), self.verb) == before => {
                no_transaction(node, &error);
                self.transaction = false;
            }
            Some(_) | None => {}
        }
        Ok(Round::Again)
    }

    /// Whether the part was taken. A refused one that is not essential is noted and survived.
    fn keep(&mut self, part: Part, reply: Reply, node: &NodeAddr) -> Result<bool, NodeFault> {
        let Reply::Error(error) = reply else { return Ok(true) };
        match part {
            Part::ReplicaOf if error.says_unknown() && self.verb == "REPLICAOF" => {
                self.verb = "SLAVEOF";
                return Ok(true);
            }
            Part::ReplicaOf => return Err(error.into()),
            Part::Rewrite => self.rewrite_error = Some(error.text),
            Part::KillNormal | Part::KillPubsub => refused_kill(node, &error),
            // Unknown before Redis 6.2, where nothing made them wait; a pause ends by itself.
            Part::Unpause => tracing::debug!(%node, %error, "CLIENT UNPAUSE refused"),
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
            let words =
                format!("it still says {said} after {} {}", self.verb, self.target.join(" "));
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

fn no_transaction(node: &NodeAddr, error: &ErrorReply) {
    tracing::warn!(%node, %error, "no transaction: grant +multi and +exec to the user");
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
