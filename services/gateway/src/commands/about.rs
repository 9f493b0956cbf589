//! What this is, and who is here: `INFO`, `COMMAND`, `ACL`.

use super::{Answers, COMMANDS, Client, VERSION, arity, idle, lower, unknown_subcommand};
use crate::reply::Reply;
use bytes::Bytes;
use std::fmt::Write as _;
use vedette_protocol::gateway::replicas;

const SECTIONS: [&str; 5] = ["server", "clients", "cpu", "stats", "sentinel"];

impl Answers {
    pub(super) fn info(&self, rest: &[Bytes]) -> Reply {
        let wanted: Vec<_> = rest.iter().map(lower).collect();
        let all = wanted.is_empty()
            || wanted.iter().any(|w| ["all", "default", "everything"].contains(&&**w));
        let sections = SECTIONS.iter().filter(|s| all || wanted.iter().any(|w| w == *s));
        let texts: Vec<_> = sections.map(|section| self.section(section)).collect();
        Reply::bulk(texts.join("\r\n"))
    }

    pub(super) fn acl(&self, client: &Client, rest: &[Bytes]) -> Reply {
        let Some((verb, rest)) = rest.split_first() else { return arity("acl") };
        match (&*lower(verb), rest) {
            ("whoami", []) => Reply::bulk(client.user().map_or("", |user| &user.name)),
            ("users", []) => Reply::bulks(self.users.names()),
            ("help", []) => idle::help("acl"),
            ("whoami" | "users" | "help", _) => arity(&format!("acl|{}", lower(verb))),
            _ => unknown_subcommand(verb, "ACL"),
        }
    }

    fn section(&self, section: &str) -> String {
        let now = self.clock.now();
        match section {
            "server" => {
                let uptime = now.since(self.started).as_secs();
                format!(
                    "# Server\r\nredis_version:{VERSION}\r\nvedette_version:{}\r\n\
                     redis_mode:sentinel\r\nos:{}\r\narch_bits:{}\r\nprocess_id:{}\r\nrun_id:{}\r\n\
                     tcp_port:{}\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{}\r\n",
                    env!("CARGO_PKG_VERSION"),
                    std::env::consts::OS,
                    usize::BITS,
                    std::process::id(),
                    self.run_id,
                    self.listening.port(),
                    uptime / 86_400,
                )
            }
            "clients" => format!(
                "# Clients\r\nconnected_clients:{}\r\nmaxclients:{}\r\n",
                self.registry.len(),
                self.config.max_clients
            ),
            "cpu" => {
                let (user, system) = cpu_seconds();
                format!("# CPU\r\nused_cpu_sys:{system:.6}\r\nused_cpu_user:{user:.6}\r\n")
            }
            "stats" => format!(
                "# Stats\r\ntotal_commands_processed:{}\r\n",
                self.metrics.commands_so_far()
            ),
            _ => self.sentinel_section(),
        }
    }

    fn sentinel_section(&self) -> String {
        let (view, now) = (self.view(), self.clock.now());
        let mut text = format!(
            "# Sentinel\r\nsentinel_masters:{}\r\nsentinel_tilt:0\r\n\
             sentinel_tilt_since_seconds:-1\r\nsentinel_running_scripts:0\r\n\
             sentinel_scripts_queue_length:0\r\nsentinel_simulate_failure_flags:0\r\n",
            view.records().count()
        );
        let sentinels = view.peers(now).count() + 1;
        for (n, record) in view.records().enumerate() {
            let status = if view.odown(record, now).is_some() {
                "odown"
            } else if view.look(record, &record.master, now).down.is_some() {
                "sdown"
            } else {
                "ok"
            };
            let slaves = replicas(record).count();
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "master{n}:name={},status={status},address={}:{},slaves={slaves},\
                 sentinels={sentinels}\r\n",
                record.group,
                record.master.host(),
                record.master.port(),
            );
        }
        text
    }
}

/// Seconds of processor time in user and system mode; zero where the system does not tell.
fn cpu_seconds() -> (f64, f64) {
    let read = || -> Option<(f64, f64)> {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        // The name in brackets may hold spaces.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |n: usize| fields.get(n)?.parse::<f64>().ok();
        Some((ticks(11)? / 100.0, ticks(12)? / 100.0))
    };
    read().unwrap_or((0.0, 0.0))
}

fn described(name: &str, least: usize, more: bool) -> Reply {
    let least = i64::try_from(least).unwrap_or(1);
    let sentinel = [Reply::Simple("sentinel".into())];
    let mut fields = vec![Reply::bulk(name), Reply::Integer(if more { -least } else { least })];
    fields.push(Reply::Array(sentinel.to_vec()));
    fields.extend([Reply::Integer(0), Reply::Integer(0), Reply::Integer(0)]);
    fields.extend([vec![], vec![], vec![], vec![]].map(Reply::Array));
    Reply::Array(fields)
}

/// `COMMAND`.
pub(super) fn command(rest: &[Bytes]) -> Reply {
    let of = |c: &super::Arity| described(c.0, c.1, c.2);
    let Some((verb, rest)) = rest.split_first() else {
        return Reply::Array(COMMANDS.iter().map(of).collect());
    };
    match (&*lower(verb), rest) {
        ("count", []) => Reply::Integer(i64::try_from(COMMANDS.len()).unwrap_or(0)),
        ("list", _) => Reply::bulks(COMMANDS.iter().map(|c| c.0)),
        ("docs", _) => Reply::Map(Vec::new()),
        ("help", []) => idle::help("command"),
        ("info", []) => Reply::Array(COMMANDS.iter().map(of).collect()),
        ("info", names) => {
            let found = |name: &Bytes| {
                let name = lower(name);
                COMMANDS.iter().find(|c| c.0 == name).map_or(Reply::Null, of)
            };
            Reply::Array(names.iter().map(found).collect())
        }
        (verb @ ("count" | "help"), _) => arity(&format!("command|{verb}")),
        _ => unknown_subcommand(verb, "COMMAND"),
    }
}
