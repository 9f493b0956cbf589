//! `vedette up`.

use clap::Args as ClapArgs;
use std::path::PathBuf;
use vedette_model::{GroupName, NodeAddr};

/// `vedette up`.
#[derive(Debug, Clone, ClapArgs)]
#[command(after_help = UP_EXAMPLES)]
pub struct Up {
    /// The master, its replicas, or all of them
    #[arg(value_name = "HOST:PORT")]
    pub nodes: Vec<NodeAddr>,
    /// What the group is called; Sentinel's "master name"
    #[arg(long, default_value = "mymaster", value_name = "NAME")]
    pub group: GroupName,
    /// Probers that must call the master down before it is replaced [default: 1]
    #[arg(long, value_name = "COUNT")]
    pub quorum: Option<u32>,
    /// Milliseconds of silence after which a node is down, 100 to 3600000 [default: 5000]; a
    /// crash is noticed much sooner
    #[arg(long, value_name = "MS")]
    pub down_after: Option<u64>,
    /// Folder for the voters' promises and records and for NATS's own data
    #[arg(long, default_value = "vedette-data", value_name = "DIR")]
    pub data: PathBuf,
    /// Port for nats-server on this machine [default: 4222, or a free one]
    #[arg(long, value_name = "PORT")]
    pub nats_port: Option<u16>,
    /// What was started as JSON instead of a text
    #[arg(long)]
    pub json: bool,
    /// Port for Sentinel clients on this machine [default: 26379, or a free one]
    #[arg(long, value_name = "PORT")]
    pub sentinel_port: Option<u16>,
    /// ACL user on the nodes
    #[arg(long, requires = "password_file")]
    pub user: Option<String>,
    /// File that holds the nodes' password and nothing else
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

const UP_EXAMPLES: &str = "\
Examples:
  vedette up 127.0.0.1:6379
  vedette up 127.0.0.1:7001 127.0.0.1:7002 127.0.0.1:7003 --group orders --down-after 1000
  vedette up 10.0.0.1:6379 --user vedette --password-file /etc/vedette/redis.pass
  vedette up --data vedette-data         the group that this folder knows already
  vedette up 127.0.0.1:6379 --nats nats://10.0.0.5:4222      with a NATS that runs already

nats-server (2.10 or newer) comes from VEDETTE_NATS_SERVER, the path, or target/tools of the clone
that this program was built in. One machine protects from a dead Redis, not from a dead machine:
for that run the services apart, see deploy/.

Exit code 0 after Ctrl-C or SIGTERM, 1 if it could not start or a part of it ended.";
