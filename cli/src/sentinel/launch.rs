//! `vedette sentinel`, and the same by a Sentinel's program name: from the command line to a process
//! that runs.

use super::conf::Conf;
use super::data::Data;
use super::group::of_run_time;
use super::import::understand;
use super::run;
use super::users::User;
use crate::args::Common;
use crate::config::UpConfig;
use crate::out;
use anyhow::Context as _;
use clap::Args as ClapArgs;
use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use vedette_gateway::config::{ClientsConfig, TlsConfig, UnreadableReplicas};
use vedette_gateway::{Rights, UserConfig};
use vedette_model::Service;
use vedette_runtime::config::load;
use vedette_runtime::{CommonConfig, life, private};

/// Programs whose name alone means Sentinel.
const SENTINELS: [&str; 2] = ["redis-sentinel", "valkey-sentinel"];
/// Programs that are one with `--sentinel`.
const SERVERS: [&str; 2] = ["redis-server", "valkey-server"];

/// `vedette sentinel`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = EXAMPLES)]
pub struct Sentinel {
    /// A `sentinel.conf`; it is only read
    pub file: PathBuf,
    /// Directives that go before the file's: --name value …
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "--NAME VALUE")]
    pub options: Vec<String>,
}

const EXAMPLES: &str = "\
Examples:
  VEDETTE_NATS_URL=nats://10.0.0.5:4222 vedette sentinel /etc/redis/sentinel.conf
  vedette sentinel sentinel.conf --port 26380 --sentinel nats-url nats://10.0.0.5:4222
  ln -s $(which vedette) redis-sentinel; ./redis-sentinel sentinel.conf

Flags of Vedette's own stand before the word sentinel. What is done otherwise than by a Sentinel stands
in docs/migration.md.

Exit code 0 after SIGTERM or SIGINT, 1 for a file that cannot be followed or if a part of it ended.";

/// The words after the program's name, if that name means a Sentinel.
pub fn called(words: impl IntoIterator<Item = OsString>) -> Option<Vec<String>> {
    let mut words = words.into_iter().map(|word| word.to_string_lossy().into_owned());
    let program = words.next()?;
    let name = Path::new(&program).file_name()?.to_string_lossy().into_owned();
    let rest: Vec<String> = words.collect();
    let server = SERVERS.iter().any(|server| name.contains(server));
    let mode = server && rest.iter().any(|word| word == "--sentinel");
    (mode || SENTINELS.iter().any(|sentinel| name.contains(sentinel))).then_some(rest)
}

/// Runs what a Sentinel's command line asks for.
pub fn as_sentinel(words: &[String]) -> ExitCode {
    let outcome = match words.first().map(String::as_str) {
        Some("-v" | "--version") => {
            out::line(&format!("Vedette {} in a Sentinel's place", env!("CARGO_PKG_VERSION")))
        }
        Some("-h" | "--help") => out::line(
            "Usage: redis-sentinel FILE [--NAME VALUE …]\n\nThis is Vedette: see `vedette sentinel \
             --help`.",
        ),
        Some(file) if !file.starts_with('-') => {
            return launch(Path::new(file), &words[1..], &Common::default());
        }
        Some(_) | None => {
            out::note("Sentinel needs a config file: redis-sentinel /path/to/sentinel.conf");
            return ExitCode::from(life::FAILURE);
        }
    };
    outcome.map_or(ExitCode::from(life::FAILURE), |()| ExitCode::SUCCESS)
}

/// Everything that must be so before the process is seen by anybody.
#[derive(Debug)]
pub struct Ready {
    /// What the file says.
    pub conf: Conf,
    /// What is kept.
    pub data: Data,
    /// For all services; the id is the Sentinel's.
    pub common: CommonConfig,
    /// The port for clients.
    pub clients: ClientsConfig,
    /// What to tell a person of the file, if it holds a password and others may open it.
    pub exposed: Option<String>,
}

/// Runs a process in a Sentinel's place to its end.
pub fn launch(file: &Path, options: &[String], common: &Common) -> ExitCode {
    let ready = match prepare(file, options, common) {
        Ok(ready) => ready,
        Err(error) => {
            out::complain(&error);
            return ExitCode::from(life::FAILURE);
        }
    };
    let (log, traces) = (ready.common.log.clone(), ready.common.telemetry.clone());
    let id = ready.common.id.chars().take(8).collect::<String>();
    let named = life::Named {
        service: "sentinel",
        traced: "sentinel",
        id: &id,
        threads: life::Threads::Many,
    };
    life::run_process(&named, &log, &traces, |shutdown| {
        life::warn_if_exposed(common.config.as_deref());
        run::run(ready, shutdown)
    })
}

fn prepare(file: &Path, options: &[String], flags: &Common) -> anyhow::Result<Ready> {
    let conf = understand(file, options)?;
    // Before its folder is left.
    let exposed = if conf.holds_password() { private::exposed(file, "a password") } else { None };
    let (listen, _) = conf.listen().map_err(anyhow::Error::msg)?;
    free(listen)?;
    let clients = clients(&conf, listen);
    if let Some(tls) = clients.tls.listen.filter(|tls| *tls != listen) {
        free(tls)?;
    }
    let data = Data::open(&conf)?;
    // As Sentinel: what the file names by a relative path lies there.
    std::env::set_current_dir(&conf.server.dir)
        .with_context(|| format!("dir {}: Can't chdir to it", conf.server.dir.display()))?;
    let common = common(&conf, &data, flags)?;
    Ok(Ready { conf, data, common, clients, exposed })
}

/// A second process on a taken port ends here, without effect.
fn free(listen: SocketAddr) -> anyhow::Result<()> {
    TcpListener::bind(listen).map(drop).with_context(|| {
        format!(
            "Could not create server TCP listening socket {listen}: choose another port, or end \
                 the process that has it"
        )
    })
}

fn common(conf: &Conf, data: &Data, flags: &Common) -> anyhow::Result<CommonConfig> {
    let (layers, own) = flags.layers();
    let UpConfig(config) = load(Service::Client, &layers, own)?;
    let mut common = config.common;
    common.id = data.id.to_string();
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let named = ["VEDETTE_NATS_URL", "VEDETTE_NATS__SERVERS"].iter().find_map(|name| set(name));
    if flags.nats.is_empty() && named.is_none() && !conf.own.nats.is_empty() {
        common.nats.servers.clone_from(&conf.own.nats);
    }
    if let (None, None, Some(prefix)) =
        (&flags.prefix, set("VEDETTE_NATS__PREFIX"), &conf.own.nats_prefix)
    {
        common.nats.prefix.clone_from(prefix);
    }
    if flags.log_level.is_none() && set("VEDETTE_LOG__LEVEL").is_none() {
        common.log.level = conf.server.loglevel.into();
    }
    if common.log.file.is_none() {
        common.log.file.clone_from(&conf.server.logfile);
    }
    if common.nodes.ca_file.is_none() {
        common.nodes = conf.server.tls.to_nodes();
    }
    common.nats.check()?;
    Ok(common)
}

fn clients(conf: &Conf, listen: SocketAddr) -> ClientsConfig {
    let (server, tls) = (&conf.server, &conf.server.tls);
    let user = |(name, user): (&String, &User)| {
        let rights = if user.admin { Rights::Admin } else { Rights::Read };
        let config = UserConfig { password: user.password.clone(), rights, ..Default::default() };
        (name.clone(), config)
    };
    ClientsConfig {
        listen,
        announce_host: conf.own.announce_ip.clone(),
        announce_port: conf.own.announce_port,
        tls: TlsConfig {
            listen: tls.port.map(|port| SocketAddr::new(listen.ip(), port)),
            only: tls.port.is_some() && server.port == 0,
            certificate: tls.certificate.clone().filter(|_| tls.port.is_some()),
            key: tls.key.clone().filter(|_| tls.port.is_some()),
            client_ca: tls.client_ca().filter(|_| tls.port.is_some()),
        },
        max_clients: server.max_clients,
        idle_seconds: server.idle_seconds,
        password: server.password.clone(),
        users: server.users.known.iter().map(user).collect(),
        new_group: of_run_time(),
        names_as_addresses: !conf.own.announce_hostnames,
        unreadable_replicas: UnreadableReplicas::AsSentinel,
        ..ClientsConfig::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::Lines;
    use super::*;
    use vedette_model::Settings;

    fn called_as(words: &[&str]) -> Option<Vec<String>> {
        called(words.iter().map(OsString::from))
    }

    #[test]
    fn the_programs_name_decides() {
        let rest = |words: &[&str]| Some(words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>());
        assert_eq!(called_as(&["/usr/bin/redis-sentinel", "f"]), rest(&["f"]));
        assert_eq!(
            called_as(&["valkey-sentinel-8", "f", "--port", "5"]),
            rest(&["f", "--port", "5"])
        );
        assert_eq!(called_as(&["redis-server", "f", "--sentinel"]), rest(&["f", "--sentinel"]));
        assert_eq!(called_as(&["redis-server", "f"]), None);
        assert_eq!(called_as(&["vedette", "sentinel", "f"]), None);
        assert_eq!(called_as(&[]), None);
    }

    #[test]
    fn a_group_that_is_added_at_run_time_starts_as_one_of_the_file() {
        let text = b"sentinel monitor m 10.0.0.1 6379 3\n";
        let conf = Conf::parse(Lines::parse("f", text)).unwrap();
        let (_, _, of_file) = conf.seeds().remove(0);
        let changes = clients(&conf, SocketAddr::from(([127, 0, 0, 1], 26_379))).new_group;
        let own = Settings::with_quorum(of_file.quorum);
        assert_eq!(own.with(&changes).unwrap(), of_file);
        assert_ne!(own, of_file);
    }
}
