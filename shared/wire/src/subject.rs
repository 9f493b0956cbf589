//! Where each fact is published. Subjects are built here and nowhere else.

use std::fmt::Write as _;
use thiserror::Error;
use vedette_model::{Fact, FactKind, GroupName, Sender};

/// Why a prefix or an escaped group name was refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SubjectError {
    /// The prefix is not one plain word.
    #[error("the subject prefix must be 1 to 64 of [A-Za-z0-9_-] without dots, not {given:?}")]
    Prefix {
        /// What was given.
        given: String,
    },
    /// Not what [`escape_group`] makes of any group name.
    #[error("{given:?} is not an escaped group name")]
    Escape {
        /// What was given.
        given: String,
    },
}

/// The subjects under one prefix, `<prefix>.v1.…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
}

impl Subjects {
    /// Subjects under a prefix of 1 to 64 of `[A-Za-z0-9_-]`. No dots: the prefix also names the
    /// bucket of [`Subjects::masters_bucket`], and buckets must not have any.
    ///
    /// # Errors
    /// [`SubjectError::Prefix`] for anything else.
    pub fn parse(prefix: &str) -> Result<Self, SubjectError> {
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(is_plain) {
            return Err(SubjectError::Prefix { given: prefix.chars().take(64).collect() });
        }
        Ok(Self { prefix: prefix.into() })
    }

    /// Where a fact is published; absent for facts that are only ever replies.
    pub fn of(&self, fact: &Fact) -> Option<String> {
        let tail = match fact {
            Fact::SdownReport(f) => format!("sdown.{}.{}", escape_group(&f.group), f.prober),
            Fact::NodeReport(f) => format!("node.{}.{}", escape_group(&f.group), f.prober),
            Fact::OdownVerdict(f) => format!("odown.{}.{}", escape_group(&f.group), f.voter),
            Fact::Candidacy(f) => format!("candidacy.{}", escape_group(&f.group)),
            Fact::Proposal(f) => format!("proposal.{}", escape_group(&f.record.group)),
            Fact::Beat(f) => format!("beat.{}", escape_group(&f.group)),
            Fact::RecordCommitted(f) => format!("record.{}", escape_group(&f.record.group)),
            Fact::FailoverStep(f) => format!("failover.{}", escape_group(&f.group)),
            Fact::Digest(_) => "digest".into(),
            Fact::Heartbeat(f) => format!("alive.{}.{}", f.service, escape(&f.id)),
            Fact::RosterBallot(_) => "roster".into(),
            Fact::Rejoin(_) => "rejoin".into(),
            // No escaped group name reads like that.
            Fact::Instruction(f) => format!(
                "instruction.{}",
                f.group.as_ref().map_or_else(|| "=roster".into(), escape_group)
            ),
            Fact::StatusQuery(_) => "status".into(),
            Fact::MasterQuery(f) => return Some(self.ask_master(&f.group)),
            Fact::MasterRecord(f) => return Some(self.master(&f.group)),
            Fact::Event(f) => format!("event.{}.{}", escape_group(&f.group), f.name),
            Fact::Ballot(_)
            | Fact::ProposalReply(_)
            | Fact::BeatReply(_)
            | Fact::RosterAnswer(_)
            | Fact::RejoinAnswer(_)
            | Fact::InstructionReply(_)
            | Fact::DigestReply(_) => return None,
        };
        Some(self.under(&tail))
    }

    /// The subscription that receives every fact of a kind; absent for kinds that are only ever
    /// replies, which come to [`Subjects::reply`].
    pub fn pattern(&self, kind: FactKind) -> Option<String> {
        let tail = match kind {
            FactKind::SdownReport => "sdown.*.*",
            FactKind::NodeReport => "node.*.*",
            FactKind::OdownVerdict => "odown.*.*",
            FactKind::Candidacy => "candidacy.*",
            FactKind::Proposal => "proposal.*",
            FactKind::Beat => "beat.*",
            FactKind::RecordCommitted => "record.*",
            FactKind::FailoverStep => "failover.*",
            FactKind::Digest => "digest",
            FactKind::Heartbeat => "alive.*.*",
            FactKind::RosterBallot => "roster",
            FactKind::Rejoin => "rejoin",
            FactKind::Instruction => "instruction.*",
            FactKind::StatusQuery => "status",
            FactKind::MasterQuery => "ask.master.*",
            FactKind::MasterRecord => "master.*",
            FactKind::Event => "event.*.*",
            FactKind::Ballot
            | FactKind::ProposalReply
            | FactKind::BeatReply
            | FactKind::RosterAnswer
            | FactKind::RejoinAnswer
            | FactKind::InstructionReply
            | FactKind::DigestReply => return None,
        };
        Some(self.under(tail))
    }

    /// Where a process receives its replies: `reply.<service>.<id>.<incarnation>`, the last in 16
    /// hexadecimal digits. One for each life, so that no life reads another's mail.
    pub fn reply(&self, to: &Sender) -> String {
        self.under(&format!("reply.{}.{}.{:016x}", to.service, escape(&to.id), to.incarnation))
    }

    /// The subscription that receives everything under the prefix.
    pub fn everything(&self) -> String {
        self.under(">")
    }

    /// The group a subject is about; absent for subjects without a group and foreign ones.
    pub fn group_of(&self, subject: &str) -> Option<GroupName> {
        let tokens: Vec<&str> = self.tail(subject)?.split('.').collect();
        let group = match tokens.as_slice() {
            ["sdown" | "node" | "odown" | "event", group, _]
            | [
                "candidacy" | "proposal" | "beat" | "record" | "failover" | "master"
                | "instruction",
                group,
            ]
            | ["ask", "master", group] => group,
            _ => return None,
        };
        unescape_group(group).ok()
    }

    /// The group whose master a subject asks for: `ask.master.<group>`.
    pub(crate) fn asked_master(&self, subject: &str) -> Option<GroupName> {
        unescape_group(self.tail(subject)?.strip_prefix("ask.master.")?).ok()
    }

    /// Whether answers may go there: a mailbox of ours, or an inbox of NATS. Whoever asks names the
    /// subject, and we would publish there with our own rights.
    pub fn is_mailbox(&self, subject: &str) -> bool {
        if subject.starts_with('$') {
            return false;
        }
        match subject.strip_prefix(&self.prefix).and_then(|rest| rest.strip_prefix('.')) {
            Some(ours) => ours.starts_with("v1.reply."),
            None => true,
        }
    }

    /// Whether a fact may come on this subject: its own, or, where it may be an answer, a reply
    /// subject or an inbox of NATS.
    pub(crate) fn allows(&self, subject: &str, fact: &Fact) -> bool {
        if self.is_mailbox(subject) {
            return may_answer(fact.kind());
        }
        self.of(fact).as_deref() == Some(subject)
    }

    /// Where a group's masters are announced.
    pub fn master(&self, group: &GroupName) -> String {
        self.under(&format!("master.{}", escape_group(group)))
    }

    /// Where applications ask who is master of a group.
    pub fn ask_master(&self, group: &GroupName) -> String {
        self.under(&format!("ask.master.{}", escape_group(group)))
    }

    /// The key-value bucket that retains each group's newest `MasterRecord`.
    pub fn masters_bucket(&self) -> String {
        format!("{}-masters", self.prefix)
    }

    /// A group's key in that bucket.
    pub fn masters_key(&self, group: &GroupName) -> String {
        escape_group(group)
    }

    /// The key-value bucket in which processes that are not told who votes agree on who began.
    pub fn founding_bucket(&self) -> String {
        format!("{}-founding", self.prefix)
    }

    /// The stream that keeps what led to each decision.
    pub fn history_stream(&self) -> String {
        format!("{}-history", self.prefix)
    }

    /// What that stream keeps: what is said once for each happening and holds no secret. Not what
    /// is repeated as long as it holds, which would wash the rest out.
    pub fn history(&self) -> Vec<String> {
        [FactKind::Event, FactKind::FailoverStep, FactKind::MasterRecord]
            .into_iter()
            .filter_map(|kind| self.pattern(kind))
            .chain([self.history_gap()])
            .collect()
    }

    /// The part of it that is about one group, with the gaps.
    pub fn history_of(&self, group: &GroupName) -> Vec<String> {
        let group = escape_group(group);
        let tails = ["event.{}.*", "failover.{}", "master.{}"];
        let about = tails.iter().map(|tail| self.under(&tail.replace("{}", &group)));
        about.chain([self.history_gap()]).collect()
    }

    /// Where whoever could not reach the stream says so. No fact: only the stream takes it.
    pub fn history_gap(&self) -> String {
        format!("{}.history.gap", self.prefix)
    }

    /// Where an event is told again to one sink. No fact: the stream of [`Subjects::history`] takes
    /// it, for the one who serves the sink. `sink` is its name, or `*` for all.
    pub fn again(&self, sink: &str) -> String {
        format!("{}.history.again.{sink}", self.prefix)
    }

    /// The key-value bucket that says which notifier serves which sink.
    pub fn notifiers_bucket(&self) -> String {
        format!("{}-notifiers", self.prefix)
    }

    /// The stream of what sinks did not take.
    pub fn dead_stream(&self) -> String {
        format!("{}-dead", self.prefix)
    }

    /// Where such an event is put, of one sink or of all (`*`).
    pub fn dead(&self, sink: &str) -> String {
        format!("{}.dead.{sink}", self.prefix)
    }

    fn under(&self, tail: &str) -> String {
        format!("{}.v1.{tail}", self.prefix)
    }

    fn tail<'a>(&self, subject: &'a str) -> Option<&'a str> {
        subject.strip_prefix(&self.prefix)?.strip_prefix(".v1.")
    }
}

/// Whether facts of this kind are published with the sender's own reply subject as reply-to. An
/// application that asks for a master puts an inbox of its own there.
pub const fn wants_reply(kind: FactKind) -> bool {
    match kind {
        FactKind::Candidacy
        | FactKind::Proposal
        | FactKind::Beat
        | FactKind::Digest
        | FactKind::RosterBallot
        | FactKind::Rejoin
        | FactKind::Instruction
        | FactKind::StatusQuery
        | FactKind::MasterQuery => true,
        FactKind::SdownReport
        | FactKind::NodeReport
        | FactKind::OdownVerdict
        | FactKind::Ballot
        | FactKind::ProposalReply
        | FactKind::BeatReply
        | FactKind::RecordCommitted
        | FactKind::FailoverStep
        | FactKind::DigestReply
        | FactKind::RosterAnswer
        | FactKind::RejoinAnswer
        | FactKind::InstructionReply
        | FactKind::Heartbeat
        | FactKind::MasterRecord
        | FactKind::Event => false,
    }
}

/// Whether facts of this kind answer others.
const fn may_answer(kind: FactKind) -> bool {
    match kind {
        FactKind::Ballot
        | FactKind::ProposalReply
        | FactKind::BeatReply
        | FactKind::DigestReply
        | FactKind::RosterAnswer
        | FactKind::RejoinAnswer
        | FactKind::InstructionReply
        | FactKind::Heartbeat
        | FactKind::MasterRecord => true,
        FactKind::SdownReport
        | FactKind::NodeReport
        | FactKind::OdownVerdict
        | FactKind::Candidacy
        | FactKind::Proposal
        | FactKind::Beat
        | FactKind::RecordCommitted
        | FactKind::FailoverStep
        | FactKind::Digest
        | FactKind::RosterBallot
        | FactKind::Rejoin
        | FactKind::Instruction
        | FactKind::StatusQuery
        | FactKind::MasterQuery
        | FactKind::Event => false,
    }
}

/// A group's name as one token of a subject and as a key: `[A-Za-z0-9_-]` stay, every other byte
/// becomes `=HH`.
pub fn escape_group(group: &GroupName) -> String {
    escape(group.as_str())
}

/// Takes [`escape_group`] back.
///
/// # Errors
/// [`SubjectError::Escape`] for a text that [`escape_group`] never writes: each group has exactly
/// one subject.
pub fn unescape_group(token: &str) -> Result<GroupName, SubjectError> {
    let refused = || SubjectError::Escape { given: token.chars().take(64).collect() };
    let mut parts = token.split('=');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).ok_or_else(refused)?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| refused())?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    let text = String::from_utf8(bytes).map_err(|_| refused())?;
    let group = GroupName::parse(&text).map_err(|_| refused())?;
    if escape_group(&group) != token {
        return Err(refused());
    }
    Ok(group)
}

const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_plain(byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "={byte:02X}").expect("writing to a string cannot fail");
        }
    }
    out
}
