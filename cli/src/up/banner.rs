//! What was bound, and what to try next.

use super::nats::{Nats, USUAL_PORT};
use super::services::VOTERS;
use crate::args::Up;
use crate::config::Config;
use crate::connect::{connect, shown};
use crate::status::collect;
use crate::{master, out};
use serde_json::json;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use vedette_model::{GroupName, MasterRecord, NodeAddr};
use vedette_runtime::{NatsConfig, Shutdown};

/// For the services to know the master.
const READY_LIMIT: Duration = Duration::from_secs(20);
/// For the replicas to be seen.
const LISTEN: Duration = Duration::from_millis(500);

/// What is known before the services are ready.
#[derive(Debug, Clone)]
pub struct Banner {
    group: GroupName,
    nats: String,
    /// The flags that the other verbs need.
    flags: String,
    data: PathBuf,
    sentinels: SocketAddr,
    servers: Vec<String>,
    json: bool,
}

impl Banner {
    pub fn new(
        wanted: &Up,
        config: &Config,
        data: &Path,
        nats: Option<&Nats>,
        sentinels: SocketAddr,
    ) -> Self {
        let servers = &config.common.nats.servers;
        let described = nats.map_or_else(|| "runs already".into(), Nats::describe);
        let usual = format!("nats://127.0.0.1:{USUAL_PORT}");
        let mut flags = String::new();
        if servers.iter().any(|server| *server != usual) {
            for server in servers {
                flags += &format!(" --nats {}", shown(std::slice::from_ref(server)));
            }
        }
        if config.common.nats.prefix != NatsConfig::default().prefix {
            flags += &format!(" --prefix {}", config.common.nats.prefix);
        }
        Self {
            group: wanted.group.clone(),
            nats: format!("{}  ({described})", shown(servers)),
            flags,
            data: data.into(),
            sentinels,
            servers: servers.iter().map(|server| shown(std::slice::from_ref(server))).collect(),
            json: wanted.json,
        }
    }

    /// Waits until the system answers, and prints.
    pub async fn show(self, config: Config, shutdown: Shutdown) {
        let ready = tokio::time::timeout(READY_LIMIT, self.ready(&config, &shutdown)).await;
        let text = match ready {
            Ok(Ok((record, members))) if self.json => self.object(&record, &members),
            Ok(Ok((record, members))) => self.text(&record, &members),
            Ok(Err(error)) => return out::note(&format!("not ready: {error:#}")),
            Err(_) => {
                return out::note(&format!(
                    "started, but nobody knows the master of {} yet. What is missing:\n  {} \
                     status{}",
                    self.group,
                    program(),
                    self.flags
                ));
            }
        };
        if let Err(error) = out::text(&text) {
            tracing::debug!(%error, "nobody reads standard output");
        }
    }

    async fn ready(
        &self,
        config: &Config,
        shutdown: &Shutdown,
    ) -> anyhow::Result<(MasterRecord, Vec<NodeAddr>)> {
        let bus = connect(config, shutdown).await?;
        let mut answers = bus.subscribe(&[]).await?;
        let record = loop {
            if let Some(record) = master::ask(&bus, &mut answers, &self.group).await {
                break record;
            }
        };
        let heard = collect(&bus, LISTEN).await?;
        let members = heard.records.get(&self.group).map(|record| record.members.clone());
        let members = members.unwrap_or_default().into_iter().map(|member| member.addr);
        Ok((record, members.collect()))
    }

    /// One line.
    fn object(&self, record: &MasterRecord, members: &[NodeAddr]) -> String {
        let object = json!({
            "group": self.group,
            "master": record.master,
            "epoch": record.epoch,
            "members": members,
            "nats": self.servers,
            "sentinel": self.sentinels,
            "data": self.data,
        });
        format!("{object}\n")
    }

    fn text(&self, record: &MasterRecord, members: &[NodeAddr]) -> String {
        let replicas: Vec<_> = members
            .iter()
            .filter(|addr| **addr != record.master)
            .map(ToString::to_string)
            .collect();
        let replicas =
            if replicas.is_empty() { "none known yet".to_owned() } else { replicas.join(", ") };
        let voters = VOTERS.map(|id| format!("voter/{id}")).join(" ");
        let (group, program, flags) = (&self.group, program(), &self.flags);
        let mut text = String::new();
        let mut line = |text_of_line: String| {
            writeln!(text, "{text_of_line}").expect("writing to a string cannot fail");
        };
        line(format!("\nvedette watches the group {group}\n"));
        line(format!("  master    {} (epoch {})", record.master, record.epoch));
        line(format!("  replicas  {replicas}"));
        line(format!("  nats      {}", self.nats));
        line(format!("  services  prober/p1 {voters} orchestrator/o1 notifier/n1 gateway/g1"));
        line(format!("  sentinel  {}  (for Sentinel clients)", self.sentinels));
        line(format!("  data      {}", self.data.display()));
        line("\nTry in another terminal:".into());
        line(format!("  {program} status{flags}"));
        line(format!("  {program} watch{flags}"));
        line(format!("  {program} master {group}{flags}"));
        line(format!(
            "  redis-cli -p {} sentinel get-master-addr-by-name {group}",
            self.sentinels.port()
        ));
        line(
            "Then kill the master, and ask again who is. Ctrl-C ends all of this; the Redis".into(),
        );
        line("nodes stay as they are, and the data folder counts at the next start.\n".into());
        text
    }
}

/// How this program was called.
fn program() -> String {
    std::env::args().next().unwrap_or_else(|| "vedette".into())
}
