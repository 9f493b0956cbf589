//! What a `sentinel.conf` says, understood.
//!
//! ```text
//!  lines ─► servers' directives ─┐
//!        ─► sentinel: of all ────┼─► Conf, or every line that is refused
//!        ─► sentinel monitor ────┤
//!        ─► sentinel: of one ────┘
//! ```
//!
//! As in Sentinel the order of the lines does not matter.

use super::group::Group;
use super::known::nearest;
use super::lines::{At, Line, Lines, Refused};
use super::own::Own;
use super::server::Server;
use std::collections::BTreeSet;
use vedette_model::{GroupName, NodeAddr, Settings};

pub const UNRECOGNIZED: &str = "Unrecognized sentinel configuration statement.";
/// What the reference knows, and what is Vedette's own.
const DIRECTIVES: [&str; 31] = [
    "announce-hostnames",
    "announce-ip",
    "announce-port",
    "auth-pass",
    "auth-user",
    "client-reconfig-script",
    "config-epoch",
    "crash-grace-milliseconds",
    "current-epoch",
    "deny-scripts-reconfig",
    "down-after-milliseconds",
    "failover-timeout",
    "known-replica",
    "known-sentinel",
    "known-slave",
    "leader-epoch",
    "loglevel",
    "master-reboot-down-after-period",
    "monitor",
    "myid",
    "nats-prefix",
    "nats-url",
    "notification-script",
    "parallel-syncs",
    "primary-reboot-down-after-period",
    "rename-command",
    "resolve-hostnames",
    "sentinel-pass",
    "sentinel-user",
    "voters",
    "quorum",
];

/// What came of a line that can be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is done as it says.
    Done,
    /// It is done otherwise, or not needed; this says how.
    Note(String),
    /// It is a data node's, or says what is so anyway.
    MeansNothing,
    /// It is not this one's.
    Unknown,
}

/// A line that is understood and done otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The line.
    pub at: At,
    /// How it is done, or why it is not needed.
    pub text: String,
}

/// A whole configuration.
#[derive(Debug, Clone, Default)]
pub struct Conf {
    /// What every server has.
    pub server: Server,
    /// What is this Sentinel's own.
    pub own: Own,
    /// The masters, in the file's order.
    pub groups: Vec<Group>,
    /// What is done otherwise.
    pub notes: Vec<Note>,
}

impl Conf {
    /// Understands the lines.
    ///
    /// # Errors
    /// Every line that is refused, in the order of the lines.
    pub fn parse(lines: Lines) -> Result<Self, Vec<Refused>> {
        let mut conf = Self::default();
        let mut refused = lines.refused;
        let (sentinel, server): (Vec<_>, Vec<_>) =
            lines.said.iter().partition(|line| line.words[0] == "sentinel");
        for line in &server {
            let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
            let outcome = conf.server.take(&words);
            conf.note(line, outcome, &mut refused);
        }
        if let Some(line) = server.last()
            && let Err(why) = conf.server.check()
        {
            refused.push(Refused { at: line.at.clone(), why });
        }
        // What is of all masters, then the masters, then what is of one of them.
        let mut rest = Vec::new();
        for line in sentinel {
            let words: Vec<&str> = line.words.iter().skip(1).map(String::as_str).collect();
            match conf.own.take(&words) {
                Ok(Taken::Unknown) => rest.push((line, words)),
                outcome => conf.note(line, outcome, &mut refused),
            }
        }
        let monitor =
            |words: &[&str]| words.first().is_some_and(|w| w.eq_ignore_ascii_case("monitor"));
        let (monitors, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|(_, w)| monitor(w));
        for (line, words) in monitors {
            let outcome = conf.monitor(line, &words);
            conf.note(line, outcome, &mut refused);
        }
        for (line, words) in others {
            let outcome = conf.of_one(&words);
            conf.note(line, outcome, &mut refused);
        }
        for group in &conf.groups {
            if let Err(why) = group.check() {
                refused.push(Refused { at: group.at.clone(), why });
            }
        }
        let order = |at: &At| lines.said.iter().position(|line| line.at == *at).unwrap_or(at.line);
        conf.notes.sort_by_key(|note| order(&note.at));
        refused.sort_by_key(|refused| order(&refused.at));
        if refused.is_empty() { Ok(conf) } else { Err(refused) }
    }

    fn note(&mut self, line: &Line, outcome: Result<Taken, String>, refused: &mut Vec<Refused>) {
        match outcome {
            Ok(Taken::Done | Taken::MeansNothing) => {}
            Ok(Taken::Note(text)) => self.notes.push(Note { at: line.at.clone(), text }),
            Ok(Taken::Unknown) => {
                let name = line.words.get(1).map_or("", String::as_str);
                let why = match nearest(name, DIRECTIVES) {
                    Some(near) if !near.eq_ignore_ascii_case(name) => {
                        format!("{UNRECOGNIZED} Did you mean '{near}'?")
                    }
                    Some(_) => format!("{UNRECOGNIZED} '{name}' has another number of arguments."),
                    None => UNRECOGNIZED.into(),
                };
                refused.push(Refused { at: line.at.clone(), why });
            }
            Err(why) => refused.push(Refused { at: line.at.clone(), why }),
        }
    }

    fn monitor(&mut self, line: &Line, words: &[&str]) -> Result<Taken, String> {
        let group = Group::monitor(line.at.clone(), words)?;
        if let Some(group) = group {
            if self.groups.iter().any(|known| known.name == group.name) {
                return Err("Duplicate master name.".into());
            }
            self.groups.push(group);
            return Ok(Taken::Done);
        }
        Ok(Taken::Unknown)
    }

    fn of_one(&mut self, words: &[&str]) -> Result<Taken, String> {
        let [directive, name, values @ ..] = words else { return Ok(Taken::Unknown) };
        let directive = directive.to_ascii_lowercase();
        if !Group::knows(&directive, values.len()) {
            return Ok(Taken::Unknown);
        }
        let group = self.groups.iter_mut().find(|group| group.name.as_str() == *name);
        let group = group.ok_or("No such master with specified name.")?;
        if directive == "known-sentinel" {
            return Ok(self.own.known_sentinel(values));
        }
        group.take(&directive, values)
    }

    /// Every id that this file knows of, its own among them.
    pub fn known_ids(&self) -> BTreeSet<String> {
        self.own.known.iter().chain(&self.own.id).cloned().collect()
    }

    /// The groups as an orchestrator seeds them.
    pub fn seeds(&self) -> Vec<(GroupName, NodeAddr, Settings)> {
        let seed = |group: &Group| (group.name.clone(), group.master.clone(), group.settings());
        self.groups.iter().map(seed).collect()
    }

    /// Whether a password stands in the file, of nodes or of clients.
    pub fn holds_password(&self) -> bool {
        let of_clients = self.server.users.known.values().any(|user| user.password.is_some());
        let of_nodes = self.groups.iter().any(|group| group.settings().credentials.is_some());
        self.server.password.is_some() || of_clients || of_nodes
    }
}
