//! Sentinels around a crowd.

use super::{Happened, Said};
use crate::crowd::Crowd;
use crate::process::{Watched, descriptors};
use crate::subscriber::{Subscriber, next_master};
use anyhow::{Context as _, Result, ensure};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;
use vedette_harness::{binary, within};
use vedette_live::compare::{Asked, Form};
use vedette_live::sentinel::{Sentinel, Watch};
use vedette_model::GroupName;

/// Connections of a Sentinel to each node: one to ask, one to listen.
const CONNECTIONS: usize = 2;
/// Descriptors that a Sentinel needs besides.
const BESIDES: usize = 64;

pub struct Sentinels {
    sentinels: Vec<Sentinel>,
    subscriber: Subscriber,
    /// Messages that have been looked at.
    mark: usize,
}

impl Sentinels {
    pub async fn start(
        count: usize,
        quorum: usize,
        crowd: &Crowd,
        down_after_ms: u64,
        limit: Duration,
        folder: &Path,
    ) -> Result<Self> {
        let (needed, allowed) = (CONNECTIONS * crowd.nodes() + BESIDES, descriptors()?);
        ensure!(
            needed <= allowed,
            "a Sentinel would need {needed} descriptors and may have {allowed}"
        );
        let (first, others) = crowd.groups.split_first().context("a crowd has groups")?;
        let mut lines = String::new();
        for group in others {
            let (name, master) = (&group.name, group.master());
            let (host, port) = (master.host(), master.port());
            writeln!(lines, "sentinel monitor {name} {host} {port} {quorum}")?;
            writeln!(lines, "sentinel down-after-milliseconds {name} {down_after_ms}")?;
            writeln!(lines, "sentinel failover-timeout {name} 10000")?;
        }
        let watch = Watch {
            group: first.name.clone(),
            master: first.master().clone(),
            down_after_ms,
            program: binary::redis()?,
        };
        let mut sentinels = Vec::new();
        for n in 1..=count {
            let own = folder.join(format!("sentinel{n}"));
            sentinels.push(Sentinel::start(&watch, &own, &lines)?);
        }
        let mut places = Vec::new();
        for sentinel in &sentinels {
            let at = sentinel.at;
            // It writes its whole configuration down with each node that it comes to know.
            within(limit, &format!("the Sentinel at {at} answers"), async || {
                Asked::connect(at).await.ok()?.ask(&["PING"]).await.ok()
            })
            .await?;
            places.push(at);
        }
        let subscriber = Subscriber::start(&places, first.master(), limit).await?;
        Ok(Self { sentinels, subscriber, mark: 0 })
    }

    /// What is still missing, in words.
    pub async fn missing(&self, crowd: &mut Crowd) -> Result<Option<String>> {
        let clients = CONNECTIONS * self.sentinels.len();
        let (watched, all) = (crowd.watched(clients).await?, crowd.nodes());
        if watched < all {
            return Ok(Some(format!("{watched} of {all} nodes have {clients} connections")));
        }
        let replicas = crowd.groups.first().map_or(0, |group| group.nodes.len() - 1);
        for sentinel in &self.sentinels {
            let asked =
                async || Asked::connect(sentinel.at).await?.ask(&["SENTINEL", "MASTERS"]).await;
            let Ok(Form::Array(masters)) = asked().await else {
                return Ok(Some(format!("the Sentinel at {} lists no masters", sentinel.at)));
            };
            let known = masters.iter().map(Form::entry).filter(|entry| {
                let has = |name: &str, value: &str| entry.get(name).is_some_and(|v| v == value);
                has("num-slaves", &replicas.to_string())
                    && has("num-other-sentinels", &(self.sentinels.len() - 1).to_string())
            });
            let (known, all) = (known.count(), crowd.groups.len());
            if known < all {
                let at = sentinel.at;
                return Ok(Some(format!("the Sentinel at {at} knows {known} of {all} groups")));
            }
        }
        Ok(None)
    }

    pub fn processes(&self) -> Vec<Watched> {
        let all = self.sentinels.iter().enumerate();
        all.filter_map(|(n, sentinel)| {
            let name = format!("sentinel{}", n + 1);
            Some(Watched { kind: "Sentinel", name, pid: sentinel.pid()? })
        })
        .collect()
    }

    /// Lines of their logs that tell of an error.
    pub fn errors(&self) -> usize {
        let logs = self.sentinels.iter().map(|sentinel| sentinel.log());
        logs.map(|log| log.lines().filter(|line| is_error(line)).count()).sum()
    }

    /// The masters that were announced since it was asked last.
    pub fn masters(&mut self, happened: &mut Happened) -> Vec<Said> {
        let mut masters = Vec::new();
        for said in self.subscriber.since(self.mark) {
            self.mark += 1;
            happened.add(said.channel.clone());
            if said.channel == "+try-failover"
                && let Some(group) = said.words.split(' ').nth(1)
                && let Ok(group) = GroupName::parse(group)
            {
                happened.tried(&group);
            }
            if let Some(master) = next_master(&said.channel, &said.words)
                && let Some((group, _)) = said.words.split_once(' ')
                && let Ok(group) = GroupName::parse(group)
            {
                masters.push(Said { at: said.at, group, master });
            }
        }
        masters
    }
}

/// Whether a line of a Sentinel's log is a warning of something else than an event, which begins with
/// its sign, another's vote, or who is waited for after a vote.
fn is_error(line: &str) -> bool {
    line.split_once(" # ").is_some_and(|(_, words)| {
        !words.starts_with(['+', '-'])
            && !words.contains(" voted for ")
            && !words.starts_with("Next failover delay")
    })
}

#[cfg(test)]
mod tests {
    use super::is_error;

    #[test]
    fn an_event_is_no_error() {
        let log = "7:X 23 Nov 2026 06:03:21.123 # +sdown master g1 127.0.0.1 7\n\
                   7:X 23 Nov 2026 06:03:21.200 # -failover-abort-not-elected master g1 127.0.0.1 7\n\
                   7:X 23 Nov 2026 06:03:21.201 # Next failover delay: I will not start a failover before \
                   Mon Nov 23 06:03:41 2026\n\
                   7:X 23 Nov 2026 06:03:21.202 # cdbbc70ddb64 voted for 3116fad6826 30\n\
                   7:X 23 Nov 2026 06:03:22.000 * Sentinel new configuration saved on disk\n\
                   7:X 23 Nov 2026 06:03:23.000 # WARNING: Sentinel was not able to save the new \
                   configuration on disk!!!: No space left on device\n";
        let errors: Vec<&str> = log.lines().filter(|line| is_error(line)).collect();
        assert!(matches!(errors[..], [one] if one.contains("No space left")), "{errors:?}");
    }
}
