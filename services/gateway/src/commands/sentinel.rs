//! `SENTINEL …`.

use super::{Answers, Outcome, arity, is, lower, text, unknown_subcommand};
use crate::reply::Reply;
use bytes::Bytes;
use vedette_model::{GroupRecord, Instant, NodeAddr};
use vedette_protocol::gateway::Gateway;

pub(super) const NO_SUCH_MASTER: &str = "No such master with that name";

/// A subcommand, how many words it has at least with `SENTINEL`, and whether it may have more.
/// Valkey's names for a subcommand follow its first one.
struct Subcommand {
    names: &'static [&'static str],
    words: usize,
    more: bool,
}

const fn exactly(names: &'static [&'static str], words: usize) -> Subcommand {
    Subcommand { names, words, more: false }
}

const fn at_least(names: &'static [&'static str], words: usize) -> Subcommand {
    Subcommand { names, words, more: true }
}

const SUBCOMMANDS: [Subcommand; 20] = [
    exactly(&["masters", "primaries"], 2),
    exactly(&["master", "primary"], 3),
    exactly(&["replicas", "slaves"], 3),
    exactly(&["sentinels"], 3),
    exactly(&["get-master-addr-by-name", "get-primary-addr-by-name"], 3),
    exactly(&["is-master-down-by-addr", "is-primary-down-by-addr"], 6),
    exactly(&["ckquorum"], 3),
    exactly(&["myid"], 2),
    exactly(&["help"], 2),
    exactly(&["flushconfig"], 2),
    exactly(&["pending-scripts"], 2),
    at_least(&["info-cache"], 3),
    at_least(&["config"], 4),
    at_least(&["debug"], 2),
    at_least(&["simulate-failure"], 3),
    at_least(&["failover"], 3),
    exactly(&["reset"], 3),
    exactly(&["monitor"], 6),
    exactly(&["remove"], 3),
    at_least(&["set"], 5),
];

/// The name under which a subcommand is counted.
pub(super) fn counted_as(given: &Bytes) -> &'static str {
    let known = SUBCOMMANDS.iter().find(|known| known.names.iter().any(|name| is(given, name)));
    known.map_or("sentinel", |known| known.names[0])
}

const HELP: [&str; 37] = [
    "SENTINEL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
    "CKQUORUM <master-name>",
    "    Check if a failover can be authorized and carried out.",
    "CONFIG SET <param> <value> [<param> <value> ...]",
    "    Change nothing: say where a global parameter is configured.",
    "CONFIG GET <param> [<param> <param> ...]",
    "    Get global parameters.",
    "DEBUG [<param> <value> ...]",
    "    Show timers.",
    "FLUSHCONFIG",
    "    Do nothing: what is told is on the voters' disks already.",
    "FAILOVER <master-name> [COORDINATED]",
    "    Have another node become master.",
    "GET-MASTER-ADDR-BY-NAME <master-name>",
    "    Return the ip and port number of the master with that name.",
    "INFO-CACHE <master-name>",
    "    Return when each of the group's nodes was seen last.",
    "MASTER <master-name>",
    "    Show the state and info of the specified master.",
    "MASTERS",
    "    Show a list of monitored masters and their state.",
    "MONITOR <master-name> <ip> <port> <quorum>",
    "    Start monitoring a new master, at every gateway.",
    "MYID",
    "    Return the ID of this gateway.",
    "REMOVE <master-name>",
    "    Remove a master, at every gateway.",
    "REPLICAS <master-name>",
    "    Show a list of replicas for this master and their state.",
    "RESET <pattern>",
    "    Forget replicas that nobody sees of the masters that fit.",
    "SENTINELS <master-name>",
    "    Show a list of the other gateways.",
    "SET <master-name> <option> <value> [<option> <value> ...]",
    "    Change settings of a master, at every gateway.",
    "HELP",
    "    Print this help.",
];

impl Answers {
    pub(super) fn sentinel(&self, words: &[Bytes]) -> Outcome {
        let Some((given, rest)) = words.split_first() else { return arity("sentinel").into() };
        let verb = lower(given);
        let Some(known) = SUBCOMMANDS.iter().find(|s| s.names.contains(&&*verb)) else {
            return unknown_subcommand(given, "SENTINEL").into();
        };
        let count = words.len() + 1;
        if count < known.words || (!known.more && count > known.words) {
            return arity(&format!("sentinel|{verb}")).into();
        }
        match (known.names[0], rest) {
            ("set", [name, options @ ..]) => self.set(name, options),
            ("monitor", words) => Self::monitor(words),
            ("remove", [name]) => self.remove(name),
            ("failover", [name, options @ ..]) => self.failover(name, options),
            ("reset", [pattern]) => self.reset(pattern),
            (verb, rest) => self.asked(verb, rest).into(),
        }
    }

    /// What changes nothing.
    fn asked(&self, verb: &str, rest: &[Bytes]) -> Reply {
        match (verb, rest) {
            ("masters", _) => self.masters(),
            ("get-master-addr-by-name", [name]) => self.address(name),
            ("master", [name]) => self.of(name, |view, record, now| self.master(view, record, now)),
            ("replicas", [name]) => {
                self.of(name, |view, record, now| self.replicas(view, record, now))
            }
            ("sentinels", [name]) => {
                self.of(name, |view, record, now| self.sentinels(view, record, now))
            }
            ("ckquorum", [name]) => self.of(name, check_quorum),
            ("is-master-down-by-addr", [ip, port, epoch, _]) => self.is_down(ip, port, epoch),
            ("myid", _) => Reply::bulk(&*self.id),
            ("help", _) => {
                Reply::Array(HELP.iter().map(|line| Reply::Simple((*line).into())).collect())
            }
            // The records are always on the voters' disks.
            ("flushconfig", _) => Reply::ok(),
            ("pending-scripts", _) => Reply::Array(Vec::new()),
            ("info-cache", names) => self.info_cache(names),
            (verb @ ("config" | "debug" | "simulate-failure"), rest) => self.global(verb, rest),
            (verb, _) => Reply::err(format!(
                "SENTINEL {} is not built yet; what vedette can do stands in vedette --help",
                verb.to_ascii_uppercase()
            )),
        }
    }

    fn masters(&self) -> Reply {
        let (view, now) = (self.view(), self.clock.now());
        Reply::Array(view.records().map(|record| self.master(&view, record, now)).collect())
    }

    fn of(
        &self,
        name: &Bytes,
        tell: impl FnOnce(&Gateway, &GroupRecord, Instant) -> Reply,
    ) -> Reply {
        let view = self.view();
        let record = std::str::from_utf8(name).ok().and_then(|name| view.record(name));
        record.map_or_else(
            || Reply::err(NO_SUCH_MASTER),
            |record| tell(&view, record, self.clock.now()),
        )
    }

    fn address(&self, name: &Bytes) -> Reply {
        let view = self.view();
        let record = std::str::from_utf8(name).ok().and_then(|name| view.record(name));
        record.map_or(Reply::NullArray, |record| {
            Reply::bulks([record.master.host().to_string(), record.master.port().to_string()])
        })
    }

    /// Asked by address, as one Sentinel asks another; no vote is given here.
    fn is_down(&self, ip: &Bytes, port: &Bytes, epoch: &Bytes) -> Reply {
        let (Ok(port), Ok(_)) = (text(port).parse::<i64>(), text(epoch).parse::<i64>()) else {
            return Reply::err("value is not an integer or out of range");
        };
        let (view, now) = (self.view(), self.clock.now());
        let at = u16::try_from(port).ok().and_then(|port| NodeAddr::new(&text(ip), port).ok());
        let record = view.records().find(|record| Some(&record.master) == at.as_ref());
        let down = record.is_some_and(|r| view.look(r, &r.master, now).down.is_some());
        Reply::Array(vec![Reply::Integer(down.into()), Reply::bulk("*"), Reply::Integer(0)])
    }

    fn info_cache(&self, names: &[Bytes]) -> Reply {
        let (view, now) = (self.view(), self.clock.now());
        let mut groups = Vec::new();
        for name in names {
            let record = std::str::from_utf8(name).ok().and_then(|name| view.record(name));
            let Some(record) = record else { continue };
            let others = record.members.iter().map(|m| &m.addr).filter(|a| **a != record.master);
            let ages = [&record.master].into_iter().chain(others).map(|addr| {
                let seen = view.look(record, addr, now).view.map(|(_, at)| now.since(at));
                let age = seen.map_or(0, |age| i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
                // What it said is known in parts only, not as its text.
                Reply::Array(vec![Reply::Integer(age), Reply::Null])
            });
            groups.push(Reply::bulk(record.group.as_str()));
            groups.push(Reply::Array(ages.collect()));
        }
        Reply::Array(groups)
    }
}

/// Whether enough probers and voters live to agree and to act.
fn check_quorum(view: &Gateway, record: &GroupRecord, now: Instant) -> Reply {
    let usable = view.probers(now);
    let quorum = usize::try_from(record.settings.quorum.get()).unwrap_or(usize::MAX);
    let (answering, majority, _) = view.voters(now);
    let mut missing = Vec::new();
    if usable < quorum {
        missing
            .push("Not enough available Sentinels to reach the specified quorum for this master");
    }
    if answering < majority {
        missing
            .push("Not enough available Sentinels to reach the majority and authorize a failover");
    }
    if missing.is_empty() {
        return Reply::Simple(format!(
            "OK {usable} usable Sentinels. Quorum and failover authorization can be reached"
        ));
    }
    Reply::Error(format!("NOQUORUM {usable} usable Sentinels. {}", missing.join(". ")))
}
