//! Three Sentinels around a group.

use crate::subscriber::Subscriber;
use crate::world::{REPLICAS, Watched};
use anyhow::Result;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;
use tempfile::TempDir;
use vedette_harness::{GROUP, LIMIT, Node};
use vedette_live::compare::{COUNT, all_are_known};
use vedette_live::sentinel::{Sentinel, Watch};
use vedette_model::{GroupName, NodeAddr};

/// The Sentinels, the nodes, and who hears what they say.
pub struct Sentinels {
    pub subscriber: Subscriber,
    sentinels: Vec<Sentinel>,
    pub nodes: Vec<Node>,
    master: NodeAddr,
    down_after: Duration,
    pub folder: TempDir,
}

impl Sentinels {
    /// Starts them and their nodes, all with this redis-server or valkey-server, and waits until each
    /// knows all nodes and the others.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start(program: PathBuf, down_after_ms: u64) -> Result<Self> {
        Self::start_with(program, down_after_ms, "").await
    }

    /// [`Sentinels::start`], with these lines besides in each Sentinel's file.
    ///
    /// # Errors
    /// What did not come up.
    pub async fn start_with(program: PathBuf, down_after_ms: u64, lines: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("vedette-bench-").tempdir()?;
        let nodes = Node::start_group_of(&program, REPLICAS, folder.path()).await?;
        let master = nodes[0].addr().clone();
        let watch = Watch {
            group: GroupName::parse(GROUP)?,
            master: master.clone(),
            down_after_ms,
            program,
        };
        let mut sentinels = Vec::new();
        for n in 1..=COUNT {
            let own = folder.path().join(format!("sentinel{n}"));
            sentinels.push(Sentinel::start(&watch, &own, lines)?);
        }
        for sentinel in &sentinels {
            all_are_known(sentinel.at, GROUP, REPLICAS).await?;
        }
        let places: Vec<_> = sentinels.iter().map(|sentinel| sentinel.at).collect();
        let subscriber = Subscriber::start(&places, &master, LIMIT).await?;
        let down_after = Duration::from_millis(down_after_ms);
        Ok(Self { subscriber, sentinels, nodes, master, down_after, folder })
    }

    /// Where they answer.
    pub fn places(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(|sentinel| sentinel.at).collect()
    }

    /// Where the first answers, and its process.
    pub fn first(&self) -> Option<(SocketAddr, u32)> {
        let first = self.sentinels.first()?;
        Some((first.at, first.pid()?))
    }

    /// What they have said of the master.
    pub fn watched(&self) -> Watched {
        let said = self.subscriber.said();
        let subject = format!("master {GROUP} {} {}", self.master.host(), self.master.port());
        let of = |channel: &'static str| {
            let about = |words: &str| {
                words
                    .strip_prefix(&subject)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            };
            said.iter().filter(move |one| one.channel == channel && about(&one.words))
        };
        Watched {
            down: of("+sdown").map(|one| (one.at, one.who.clone())).collect(),
            odown: of("+odown").map(|one| one.at).min(),
            waiting: Some(self.down_after),
            // Nobody is told when a Sentinel asked in vain first.
            rule_over: None,
        }
    }

    /// Ends everything; the logs stay if it did not go `well`.
    pub fn end(self, well: bool) {
        if !well {
            let Self { sentinels, nodes, folder, .. } = self;
            drop((sentinels, nodes));
            eprintln!("logs are kept in {}", folder.keep().display());
        }
    }
}
