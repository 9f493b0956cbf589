//! What a gateway is configured with.

use crate::users::{self, UserConfig};
use clap::Parser;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use vedette_model::{NodeAddr, Secret, Setting};
use vedette_runtime::config::ServiceConfig;
use vedette_runtime::life::ServiceFlags;
use vedette_runtime::tls::Files;
use vedette_runtime::{CommonConfig, CommonFlags, ConfigError, Overrides};

/// A gateway's whole configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// What every service has.
    #[serde(flatten)]
    pub common: CommonConfig,
    /// The port for Sentinel clients.
    pub clients: ClientsConfig,
}

/// The port for Sentinel clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientsConfig {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// The host name or address by which clients reach this gateway: the other gateways tell it to
    /// clients in `SENTINEL SENTINELS`. Absent: the address by which this machine reaches others,
    /// or the one it listens on.
    pub announce_host: Option<String>,
    /// The same for the port; absent means the one it listens on.
    pub announce_port: Option<u16>,
    /// TLS, on a port of its own.
    pub tls: TlsConfig,
    /// Connections at the same time, 1 to 100,000. One more is told so and closed.
    pub max_clients: usize,
    /// Seconds without a request after which a client that subscribes to nothing is closed, 0 to
    /// 86,400; 0 means never.
    pub idle_seconds: u64,
    /// Bytes of one request, 1,024 to 1,048,576. A longer one is answered with an error and closed.
    pub max_request_bytes: usize,
    /// Events that may wait for one subscriber, 16 to 1,000,000. Who reads slower than that is
    /// closed. All subscribers share the memory of these.
    pub max_waiting_events: usize,
    /// Whether whoever subscribes to `+switch-master`, by its name or a pattern, is told the last
    /// one of each group again.
    pub repeat_last_switch: bool,
    /// How `SENTINEL REPLICAS` shows a replica that must not be read from: `s_down`, `left_out` or
    /// `as_sentinel`.
    pub unreadable_replicas: UnreadableReplicas,
    /// The default user's password; whoever knows it may do everything. Absent, with no users: no
    /// login is needed, and every client may do everything.
    pub password: Option<Secret>,
    /// Users by name. As soon as there is one, nobody is let in without a login, unless `default` is
    /// among them and has no password.
    pub users: BTreeMap<String, UserConfig>,
    /// What a group that `SENTINEL MONITOR` adds starts with where that is not the default, besides
    /// its quorum. No key of a file: only a process in a Sentinel's place has any.
    #[serde(skip)]
    pub new_group: Vec<Setting>,
    /// Whether a host name that `SENTINEL MONITOR` gives is recorded as the address behind it. No
    /// key of a file: only a process in a Sentinel's place without `announce-hostnames` has it so.
    #[serde(skip)]
    pub names_as_addresses: bool,
}

/// What clients are shown of a replica that is loading, synchronising, without its link while the
/// master lives, not the group's, or down: one that the HTTP check `replica` answers 503 for, unless
/// it merely has not been seen lately.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnreadableReplicas {
    /// It has the flag `s_down` and the field `s-down-time`, and `+sdown` and `-sdown` are told of
    /// it: clients that look at flags read from others, or from the master.
    #[default]
    SDown,
    /// It is not in the list; the events are told of it, too. For clients that look at no flags. The
    /// list may be shorter than `num-slaves`, and be empty.
    LeftOut,
    /// Only one that is down has `s_down`: clients may read old data, or get errors, from the others.
    AsSentinel,
}

/// TLS for Sentinel clients. Files are read again when they change.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsConfig {
    /// Address and port to listen on. Absent: no TLS.
    pub listen: Option<SocketAddr>,
    /// Whether `clients.listen` is left out: clients come by TLS or not at all, and other gateways
    /// send them to the TLS port.
    pub only: bool,
    /// The certificate and those that signed it, PEM.
    pub certificate: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
    /// Who signs clients' certificates, PEM. Absent: clients need none.
    pub client_ca: Option<PathBuf>,
}

impl TlsConfig {
    /// The files; none without TLS.
    pub fn files(&self) -> Option<Files> {
        self.listen?;
        Some(Files {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
            client_ca: self.client_ca.clone(),
        })
    }

    fn check(&self) -> Result<(), ConfigError> {
        let files = [("certificate", &self.certificate), ("key", &self.key)];
        let missing = files.into_iter().find(|(_, file)| file.is_none());
        let (key, remedy) = match (self.listen, missing) {
            (Some(_), None) => return Ok(()),
            (Some(_), Some(("key", _))) => ("clients.tls.key", "TLS needs the certificate's key"),
            (Some(_), Some(_)) => ("clients.tls.certificate", "TLS needs one"),
            (None, _) if *self == Self::default() => return Ok(()),
            (None, _) => ("clients.tls.listen", "set the port for TLS, or remove clients.tls"),
        };
        Err(ConfigError::Missing { key, remedy: remedy.into() })
    }
}

impl Default for ClientsConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 26_379),
            announce_host: None,
            announce_port: None,
            tls: TlsConfig::default(),
            max_clients: 10_000,
            idle_seconds: 0,
            max_request_bytes: 65_536,
            max_waiting_events: 4_096,
            repeat_last_switch: false,
            unreadable_replicas: UnreadableReplicas::default(),
            password: None,
            users: BTreeMap::new(),
            new_group: Vec::new(),
            names_as_addresses: false,
        }
    }
}

impl ClientsConfig {
    /// The port that other gateways send clients to, unless another is announced.
    pub fn first(&self) -> SocketAddr {
        self.tls.listen.filter(|_| self.tls.only).unwrap_or(self.listen)
    }

    /// Whether clients take replicas for down that must not be read from.
    pub fn unreadable_is_down(&self) -> bool {
        self.unreadable_replicas != UnreadableReplicas::AsSentinel
    }

    /// Where other gateways send clients.
    ///
    /// # Errors
    /// A host that is none.
    pub fn announced(&self, listening: SocketAddr) -> Result<NodeAddr, ConfigError> {
        let host = self.announce_host.clone().unwrap_or_else(|| own_address(listening));
        let port = self.announce_port.unwrap_or(listening.port());
        NodeAddr::new(&host, port).map_err(|error| ConfigError::Invalid {
            key: "clients.announce_host".into(),
            given: host,
            why: error.to_string(),
        })
    }
}

/// The address that packets to others leave from; nothing is sent.
fn own_address(listening: SocketAddr) -> String {
    if !listening.ip().is_unspecified() {
        return listening.ip().to_string();
    }
    let probe = || -> std::io::Result<IpAddr> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        Ok(socket.local_addr()?.ip())
    };
    probe().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string()
}

impl ServiceConfig for Config {
    fn common(&self) -> &CommonConfig {
        &self.common
    }

    fn check(&self) -> Result<(), ConfigError> {
        let clients = &self.clients;
        let ranges = [
            ("max_clients", clients.max_clients, 1, 100_000),
            ("max_request_bytes", clients.max_request_bytes, 1_024, 1_048_576),
            ("max_waiting_events", clients.max_waiting_events, 16, 1_000_000),
            (
                "idle_seconds",
                usize::try_from(clients.idle_seconds).unwrap_or(usize::MAX),
                0,
                86_400,
            ),
        ];
        for (key, given, least, most) in ranges {
            if !(least..=most).contains(&given) {
                return Err(ConfigError::Invalid {
                    key: format!("clients.{key}"),
                    given: given.to_string(),
                    why: format!("it must be {least} to {most}"),
                });
            }
        }
        users::check(clients)?;
        clients.tls.check()?;
        clients.announced(clients.first()).map(drop)
    }
}

/// Answers Redis Sentinel's clients.
#[derive(Debug, Parser)]
#[command(name = "vedette-gateway", version)]
pub struct Flags {
    /// What every service has.
    #[command(flatten)]
    pub common: CommonFlags,
    /// Address and port for Sentinel clients
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}

impl ServiceFlags for Flags {
    fn common(&self) -> &CommonFlags {
        &self.common
    }

    fn overrides(&self) -> Overrides {
        Overrides::default().set("clients.listen", self.listen.as_ref())
    }
}
