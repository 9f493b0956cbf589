//! What every service is configured with.

use super::{ConfigError, Overrides};
use crate::tls::Files;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::path::PathBuf;
use vedette_model::{HostName, Place, Roster, RosterVersion, Secret, Sender, Service, VoterId};

/// The keys that every service has. A service's own configuration holds it flattened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommonConfig {
    /// Who this is among the services of its kind: 1 to 64 of `[A-Za-z0-9_-]`, unique. Required.
    pub id: String,
    /// Where it runs (datacenter, rack, host): 1 to 64 of `[A-Za-z0-9_-]`.
    pub place: Place,
    /// The machine it runs on, if that is not the one of the system's host name, as in containers:
    /// 1 to 255 bytes without white space, `[`, `]`, `/` and `@`. Only `vedette survive` and `status`
    /// use it.
    pub host: Option<HostName>,
    /// The bus.
    pub nats: NatsConfig,
    /// The log, on standard error.
    pub log: LogConfig,
    /// Traces.
    pub telemetry: TelemetryConfig,
    /// The port for health and metrics.
    pub http: HttpConfig,
    /// How nodes are spoken to, by those services and commands that do.
    pub nodes: NodesConfig,
}

impl Default for CommonConfig {
    fn default() -> Self {
        Self {
            id: String::new(),
            place: Place::parse("default").expect("the default place is a valid one"),
            host: None,
            nats: NatsConfig::default(),
            log: LogConfig::default(),
            telemetry: TelemetryConfig::default(),
            http: HttpConfig::default(),
            nodes: NodesConfig::default(),
        }
    }
}

impl CommonConfig {
    pub(super) fn check(&self, service: Service) -> Result<(), ConfigError> {
        if self.id.is_empty() {
            let remedy = format!(
                "give every {service} an id of its own with --id, VEDETTE_ID or `id` in the file"
            );
            return Err(ConfigError::Missing { key: "id", remedy });
        }
        if let Err(error) = Sender::parse(service, &self.id, 0) {
            return Err(invalid("id", &self.id, error));
        }
        self.log.check()?;
        self.telemetry.check()?;
        self.nodes.check()?;
        self.http.check()?;
        self.nats.check()
    }
}

fn invalid(key: &str, given: impl ToString, why: impl ToString) -> ConfigError {
    ConfigError::Invalid { key: key.into(), given: given.to_string(), why: why.to_string() }
}

/// Refuses one of two keys that go together.
fn both_or_neither(
    (one, has_one): (&'static str, bool),
    (other, has_other): (&'static str, bool),
) -> Result<(), ConfigError> {
    let missing = |key, given| {
        let remedy = format!("it goes with {given}: set both or neither");
        Err(ConfigError::Missing { key, remedy })
    };
    match (has_one, has_other) {
        (true, true) | (false, false) => Ok(()),
        (true, false) => missing(other, one),
        (false, true) => missing(one, other),
    }
}

/// How to reach NATS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatsConfig {
    /// URLs of the servers of one cluster, `nats://host:port`. Name several: when one dies the
    /// others are tried at once.
    pub servers: Vec<String>,
    /// First word of all subjects and buckets: 1 to 64 of `[A-Za-z0-9_-]`. Systems with different
    /// prefixes share a NATS without hearing each other.
    pub prefix: String,
    /// User name; goes with `password`.
    pub user: Option<String>,
    /// Password; goes with `user`.
    pub password: Option<Secret>,
    /// Token, instead of a user.
    pub token: Option<Secret>,
    /// Path of a `.creds` file, instead of a user.
    pub credentials_file: Option<PathBuf>,
    /// PEM file of the authority whose certificates the servers show, instead of the system's. Read
    /// again at each connect. A `tls://` URL insists on TLS; with `nats://` the server decides.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate, with those that signed it, for servers with `verify`. Read
    /// again at each connect. Both or neither.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key, without a password.
    pub key_file: Option<PathBuf>,
}

impl Default for NatsConfig {
    fn default() -> Self {
        Self {
            servers: vec!["nats://127.0.0.1:4222".into()],
            prefix: "vedette".into(),
            user: None,
            password: None,
            token: None,
            credentials_file: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

impl NatsConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// A [`ConfigError`] that names the keys and their values, never a secret.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.servers.is_empty() {
            let remedy = "name at least one server with --nats, VEDETTE_NATS__SERVERS or \
                          `nats.servers` in the file";
            return Err(ConfigError::Missing { key: "nats.servers", remedy: remedy.into() });
        }
        for server in &self.servers {
            if let Err(error) = server.parse::<async_nats::ServerAddr>() {
                let given = super::show::mask_url(server);
                return Err(invalid("nats.servers", given, error));
            }
        }
        if let Err(error) = vedette_wire::Subjects::parse(&self.prefix) {
            return Err(invalid("nats.prefix", &self.prefix, error));
        }
        both_or_neither(
            ("nats.certificate_file", self.certificate_file.is_some()),
            ("nats.key_file", self.key_file.is_some()),
        )?;
        self.check_login()
    }

    fn check_login(&self) -> Result<(), ConfigError> {
        match (&self.user, &self.password) {
            (Some(user), None) => {
                let remedy = format!("it goes with nats.user = {user:?}");
                return Err(ConfigError::Missing { key: "nats.password", remedy });
            }
            (None, Some(_)) => {
                let remedy = "it goes with nats.password".into();
                return Err(ConfigError::Missing { key: "nats.user", remedy });
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
        let ways = [
            self.user.as_ref().map(|user| format!("nats.user = {user:?}")),
            self.token.as_ref().map(|_| "nats.token = \"******\"".to_owned()),
            self.credentials_file.as_ref().map(|path| format!("nats.credentials_file = {path:?}")),
        ];
        let mut given = ways.into_iter().flatten();
        if let (Some(one), Some(other)) = (given.next(), given.next()) {
            let why = "there is one way to log in; remove one of them".into();
            return Err(ConfigError::Clash { one, other, why });
        }
        Ok(())
    }
}

/// The log, on standard error or in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogConfig {
    /// How a line looks.
    pub format: LogFormat,
    /// What is logged: a level (`error`, `warn`, `info`, `debug`, `trace`) or directives like
    /// `info,vedette_runtime=debug`.
    pub level: String,
    /// A file that lines are added to; absent means standard error. It is opened for each line, so
    /// that it may be moved away at any time.
    pub file: Option<PathBuf>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".into(), file: None }
    }
}

impl LogConfig {
    fn check(&self) -> Result<(), ConfigError> {
        match crate::telemetry::filter(&self.level) {
            Ok(_) => Ok(()),
            Err(error) => Err(invalid("log.level", &self.level, error)),
        }
    }
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Traces.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryConfig {
    /// URL of an OpenTelemetry collector, `http://host:4317` or `https://…`; 4318 is the usual port
    /// for HTTP. Absent means no traces. While it is away, traces are lost and nothing else.
    pub otlp_endpoint: Option<String>,
    /// How the collector is spoken to there: `grpc`, or `http` with `/v1/traces` behind the URL.
    pub otlp_protocol: OtlpProtocol,
    /// PEM file of the authority whose certificate the collector shows, instead of the system's;
    /// for an `https://` URL. Read again before each batch.
    pub otlp_ca_file: Option<PathBuf>,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// OTLP over gRPC.
    #[default]
    Grpc,
    /// OTLP over HTTP, as Protocol Buffers.
    Http,
}

impl TelemetryConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let Some(endpoint) = &self.otlp_endpoint else { return Ok(()) };
        let rest = endpoint.strip_prefix("https://").or_else(|| endpoint.strip_prefix("http://"));
        if rest.is_none_or(|rest| rest.is_empty() || rest.starts_with('/')) {
            let why = "must be http://host:port or https://host:port";
            return Err(invalid("telemetry.otlp_endpoint", endpoint, why));
        }
        match &self.otlp_ca_file {
            Some(path) if endpoint.starts_with("http://") => Err(ConfigError::Clash {
                one: format!("telemetry.otlp_endpoint = {endpoint:?}"),
                other: format!("telemetry.otlp_ca_file = {path:?}"),
                why: "TLS is spoken to an https:// URL only; correct the one or remove the other"
                    .into(),
            }),
            Some(_) | None => Ok(()),
        }
    }
}

/// The port for health and metrics, and of a gateway for checks and what is known as JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpConfig {
    /// Address and port to listen on. Absent: there is none. Whoever reaches it reads the groups'
    /// names and addresses; nothing can be changed there.
    pub listen: Option<SocketAddr>,
    /// PEM file of the certificate that is shown there, with those that signed it: the port then
    /// speaks TLS and nothing else. Read again when it changes. Both or neither.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key, without a password.
    pub key_file: Option<PathBuf>,
}

impl HttpConfig {
    /// The files for TLS; none without it.
    pub fn files(&self) -> Option<Files> {
        let (certificate, key) = self.certificate_file.clone().zip(self.key_file.clone())?;
        Some(Files { certificate, key, client_ca: None })
    }

    fn check(&self) -> Result<(), ConfigError> {
        both_or_neither(
            ("http.certificate_file", self.certificate_file.is_some()),
            ("http.key_file", self.key_file.is_some()),
        )
    }
}

/// TLS to the nodes, of all groups or of none. Read again when the files change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodesConfig {
    /// PEM file of the authority that signed the nodes' certificates. With it nodes are spoken to
    /// over TLS only, on the ports that the records name (`tls-port`); without it, never.
    pub ca_file: Option<PathBuf>,
    /// PEM file of our own certificate, for nodes with `tls-auth-clients yes`. Both or neither.
    pub certificate_file: Option<PathBuf>,
    /// PEM file of its key.
    pub key_file: Option<PathBuf>,
}

impl NodesConfig {
    fn check(&self) -> Result<(), ConfigError> {
        if self.ca_file.is_none() && (self.certificate_file.is_some() || self.key_file.is_some()) {
            let remedy = "the nodes' authority goes with nodes.certificate_file".into();
            return Err(ConfigError::Missing { key: "nodes.ca_file", remedy });
        }
        both_or_neither(
            ("nodes.certificate_file", self.certificate_file.is_some()),
            ("nodes.key_file", self.key_file.is_some()),
        )
    }
}

/// The first voters: the same list on every voter and orchestrator. From then on `vedette roster`
/// changes the list, and this one counts only for what has never heard of another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RosterConfig {
    /// Its number; leave it at 1.
    pub version: u64,
    /// The voters' ids. A majority of them must live for anything to change.
    pub voters: Vec<String>,
}

impl Default for RosterConfig {
    fn default() -> Self {
        Self { version: 1, voters: ["v1", "v2", "v3"].map(String::from).into() }
    }
}

impl RosterConfig {
    /// The roster.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for an empty list, a voter named twice or an id that is none.
    pub fn roster(&self) -> Result<Roster, ConfigError> {
        let given = || format!("{:?}", self.voters);
        let voters: Result<Vec<_>, _> = self.voters.iter().map(|id| VoterId::parse(id)).collect();
        voters
            .and_then(|voters| Roster::parse(RosterVersion(self.version), voters))
            .map_err(|error| invalid("roster.voters", given(), error))
    }
}

/// The history that JetStream keeps. The orchestrator that started last has its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryConfig {
    /// Days for which it is kept, 1 to 3650.
    pub days: u64,
    /// Room for all of it in MiB, 1 to 65536; when that is full, the oldest goes.
    pub max_mib: u64,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self { days: 90, max_mib: 64 }
    }
}

impl HistoryConfig {
    /// Checks what the types cannot.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for a number out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        for (key, given, most) in
            [("history.days", self.days, 3_650), ("history.max_mib", self.max_mib, 65_536)]
        {
            if given == 0 || given > most {
                return Err(invalid(key, given, format!("it must be 1 to {most}")));
            }
        }
        Ok(())
    }
}

/// The flags of every service; a service's own flags hold it flattened.
#[derive(Debug, Clone, Default, Args)]
pub struct CommonFlags {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Who this is among the services of its kind
    #[arg(long)]
    pub id: Option<String>,
    /// Where it runs: datacenter, rack or host
    #[arg(long)]
    pub place: Option<String>,
    /// A NATS server; repeat it for each server of the cluster
    #[arg(long, value_name = "URL")]
    pub nats: Vec<String>,
    /// Address and port for health and metrics
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub http: Option<SocketAddr>,
    /// How a log line looks
    #[arg(long, value_enum)]
    pub log_format: Option<LogFormat>,
    /// What is logged: a level, or directives like info,vedette_runtime=debug
    #[arg(long, value_name = "FILTER")]
    pub log_level: Option<String>,
    /// Print the configuration as it would be used, without secrets, and exit
    #[arg(long)]
    pub print_config: bool,
}

impl CommonFlags {
    /// What the flags set.
    pub fn overrides(&self) -> Overrides {
        let servers = (!self.nats.is_empty()).then_some(&self.nats);
        Overrides::default()
            .set("id", self.id.as_ref())
            .set("place", self.place.as_ref())
            .set("nats.servers", servers)
            .set("http.listen", self.http.as_ref())
            .set("log.format", self.log_format)
            .set("log.level", self.log_level.as_ref())
    }
}
