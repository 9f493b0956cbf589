//! The directives that a Sentinel has in common with every server: where it listens, logs, keeps
//! its data.

use super::conf::Taken;
use super::known::{OF_DATA_NODES, nearest};
use super::tls::Tls;
use super::users::Users;
use std::path::PathBuf;
use vedette_model::Secret;

pub const WRONG: &str = "Bad directive or wrong number of arguments";
/// Names that are taken below.
const TAKEN: &[&str] = &[
    "acllog-max-len",
    "aclfile",
    "bind",
    "daemonize",
    "dir",
    "include",
    "logfile",
    "loadmodule",
    "loglevel",
    "maxclients",
    "pidfile",
    "port",
    "protected-mode",
    "rename-command",
    "requirepass",
    "sentinel",
    "supervised",
    "syslog-enabled",
    "syslog-facility",
    "syslog-ident",
    "tcp-keepalive",
    "timeout",
    "unixsocket",
    "unixsocketperm",
    "user",
];
const NO_ACL_FILE: &str = "users stand in this file: write its lines here";

/// What stands in the file of every server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// For Sentinel clients; 0: TLS only.
    pub port: u16,
    /// Addresses to listen on; empty means all.
    pub bind: Vec<String>,
    /// Whether only this machine is let in as long as there is no password and no address.
    pub protected: bool,
    /// Where the voter keeps its promises.
    pub dir: PathBuf,
    /// Absent: standard error.
    pub logfile: Option<PathBuf>,
    /// As Vedette names it.
    pub loglevel: &'static str,
    /// Whether systemd is told when the process is ready.
    pub supervised: bool,
    /// Where the process id is written.
    pub pidfile: Option<PathBuf>,
    /// The default user's password.
    pub password: Option<Secret>,
    /// Clients at the same time.
    pub max_clients: usize,
    /// Seconds after which an idle client is closed; 0 means never.
    pub idle_seconds: u64,
    /// Other users, and the default user's rights.
    pub users: Users,
    /// TLS for clients.
    pub tls: Tls,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            port: 26_379,
            bind: Vec::new(),
            protected: false,
            dir: PathBuf::from("."),
            logfile: None,
            loglevel: "info",
            supervised: false,
            pidfile: None,
            password: None,
            max_clients: 10_000,
            idle_seconds: 0,
            users: Users::default(),
            tls: Tls::default(),
        }
    }
}

impl Server {
    /// Takes a line.
    ///
    /// # Errors
    /// Why it cannot be followed.
    pub fn take(&mut self, words: &[&str]) -> Result<Taken, String> {
        let Some((name, values)) = words.split_first() else { return Err(WRONG.into()) };
        match (*name, values) {
            ("bind", [_, ..]) => self.bind = values.iter().map(|v| (*v).to_owned()).collect(),
            ("user", [_, ..]) => return self.users.take(values),
            (name, [value]) if name.starts_with("tls-") => return self.tls.take(name, value),
            ("rename-command", [_, _]) => {
                return Err("the gateway's commands keep their names: leave the line out, and \
                            restrict who may connect"
                    .into());
            }
            ("loadmodule", [_, ..]) => {
                return Err("modules cannot be loaded: leave the line out".into());
            }
            (_, [value]) if TAKEN.contains(name) => {
                return self.take_one(name, value);
            }
            (name, _) if OF_DATA_NODES.binary_search(&name).is_ok() => {
                return Ok(Taken::MeansNothing);
            }
            (name, _) if TAKEN.contains(&name) || name.starts_with("tls-") => {
                return Err(WRONG.into());
            }
            (name, _) => return Err(unknown(name)),
        }
        Ok(Taken::Done)
    }

    fn take_one(&mut self, name: &str, value: &str) -> Result<Taken, String> {
        let path = || Some(PathBuf::from(value)).filter(|path| !path.as_os_str().is_empty());
        match name {
            "port" if value == "0" => self.port = 0,
            "port" => self.port = port(value)?,
            "protected-mode" => self.protected = yes(value)?,
            "dir" => self.dir = path().ok_or(WRONG)?,
            "logfile" => self.logfile = path(),
            "loglevel" => self.loglevel = level(value)?,
            "pidfile" => self.pidfile = path(),
            "requirepass" => {
                self.password = Some(Secret::new(value.into())).filter(|_| !value.is_empty());
            }
            "maxclients" => {
                self.max_clients = number(value, 1, 100_000)
                    .and_then(|n| usize::try_from(n).map_err(|error| error.to_string()))?;
            }
            "timeout" => self.idle_seconds = number(value, 0, 86_400)?,
            "daemonize" if yes(value)? => {
                return note("it stays in the foreground: a service manager keeps it running");
            }
            "supervised" if matches!(value, "systemd" | "auto") => self.supervised = true,
            "supervised" if value != "no" => {
                return note("only systemd is told when it is ready");
            }
            "syslog-enabled" if yes(value)? => {
                return note("the log goes to standard error or to logfile, never to syslog");
            }
            "tcp-keepalive" => return note("the operating system's times count"),
            "acllog-max-len" | "unixsocketperm" | "syslog-facility" | "syslog-ident" => {
                return Ok(Taken::MeansNothing);
            }
            "aclfile" if !value.is_empty() => return Err(NO_ACL_FILE.into()),
            "unixsocket" if !value.is_empty() => {
                return Err("clients are served over TCP only: leave the line out".into());
            }
            // What stands at `no`, or empty.
            _ => {}
        }
        Ok(Taken::Done)
    }

    /// The port that clients are sent to.
    pub fn first_port(&self) -> u16 {
        if self.port == 0 { self.tls.port.unwrap_or(0) } else { self.port }
    }

    /// What the lines together ask for.
    ///
    /// # Errors
    /// What is missing.
    pub fn check(&self) -> Result<(), String> {
        if self.users.hashed && self.password.is_none() {
            return Err("the default user has a password of which only the hash stands in the \
                        file: set requirepass too"
                .into());
        }
        if self.password.is_some() && self.users.known.contains_key("default") {
            return Err(
                "requirepass and `user default` both say what the default user's password \
                        is: remove one of them"
                    .into(),
            );
        }
        if self.port == 0 && self.tls.port.is_none() {
            return Err("port 0 leaves no port at all: set tls-port, or another port".into());
        }
        self.tls.check()?;
        Ok(())
    }
}

fn note(text: &str) -> Result<Taken, String> {
    Ok(Taken::Note(text.into()))
}

fn unknown(name: &str) -> String {
    let known = TAKEN.iter().chain(OF_DATA_NODES).copied();
    match nearest(name, known) {
        Some(near) => format!("{WRONG}. Did you mean '{near}'?"),
        None => WRONG.into(),
    }
}

/// A port that can be listened on.
///
/// # Errors
/// What it must be.
pub fn port(value: &str) -> Result<u16, String> {
    let port = value.parse::<u16>().map_err(|_| "Invalid port number.".to_owned())?;
    if port == 0 {
        return Err("there is no other port than this one: it must be 1 to 65535".into());
    }
    Ok(port)
}

/// A switch.
///
/// # Errors
/// What it must be.
pub fn yes(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err("argument must be 'yes' or 'no'".into()),
    }
}

fn number(value: &str, least: u64, most: u64) -> Result<u64, String> {
    let given = value.parse::<u64>().ok().filter(|given| (least..=most).contains(given));
    given.ok_or_else(|| format!("argument must be {least} to {most}"))
}

fn level(value: &str) -> Result<&'static str, String> {
    match value.to_ascii_lowercase().as_str() {
        "debug" | "verbose" => Ok("debug"),
        "notice" => Ok("info"),
        "warning" => Ok("warn"),
        "nothing" => Ok("off"),
        _ => Err("argument must be one of: debug, verbose, notice, warning, nothing".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(lines: &[&str]) -> Result<Server, String> {
        let mut server = Server::default();
        for line in lines {
            server.take(&line.split(' ').collect::<Vec<_>>())?;
        }
        server.check().map(|()| server)
    }

    #[test]
    fn what_is_known_is_taken() {
        let server = take(&[
            "port 5000",
            "bind 127.0.0.1 -::1",
            "protected-mode yes",
            "loglevel verbose",
            "requirepass x",
            "maxclients 7",
            "timeout 60",
            "tls-port 0",
            "dir /d",
        ]);
        let server = server.unwrap();
        assert_eq!((server.port, server.max_clients, server.idle_seconds), (5000, 7, 60));
        assert_eq!(server.bind, ["127.0.0.1", "-::1"]);
        assert!(server.protected && server.password.is_some());
        assert_eq!((server.loglevel, server.dir), ("debug", PathBuf::from("/d")));
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_reason() {
        for (line, expected) in [
            ("port 0", "no port at all"),
            ("port x", "Invalid port"),
            ("port", "wrong number"),
            ("prot 5", "Did you mean 'port'?"),
            ("nonsense-here 5", "Bad directive"),
            ("tls-port 5", "tls-cert-file"),
            ("tls-replication yes", "tls-ca-cert-file"),
            ("tls-ca-cert-dir d", "one file"),
            ("tls-nonsense d", "Bad directive"),
            ("user app on >x", "no command"),
            ("aclfile /a", "users stand in this file"),
            ("rename-command A B", "keep their names"),
            ("loadmodule m", "modules"),
            ("unixsocket /s", "TCP only"),
            ("loglevel loud", "one of"),
            ("timeout -1", "0 to 86400"),
            ("user default on #ab ~* +@all", "requirepass"),
        ] {
            let error = take(&[line]).unwrap_err();
            assert!(error.contains(expected), "{line}: {error}");
        }
    }

    #[test]
    fn tls_may_be_all_there_is() {
        let tls = ["port 0", "tls-port 5", "tls-cert-file c", "tls-key-file k"];
        let server = take(&[&tls[..], &["tls-auth-clients no"]].concat()).unwrap();
        assert_eq!((server.first_port(), server.tls.client_ca()), (5, None));
        assert!(take(&tls).unwrap_err().contains("tls-ca-cert-file"));
        let server = take(&[&tls[..], &["tls-ca-cert-file a"]].concat()).unwrap();
        assert_eq!(server.tls.client_ca(), Some(PathBuf::from("a")));
    }

    #[test]
    fn what_a_running_sentinel_writes_is_taken() {
        for lines in [
            vec!["user default on nopass ~* &* +@all"],
            vec!["user default on nopass sanitize-payload ~* &* +@all"],
            vec!["user default on #72 ~* &* +@all", "requirepass x"],
        ] {
            assert!(take(&lines).is_ok(), "{lines:?}");
        }
        let mut server = Server::default();
        let found = server.take(&["latency-tracking-info-percentiles", "50", "99", "99.9"]);
        assert_eq!(found, Ok(Taken::MeansNothing));
    }
}
