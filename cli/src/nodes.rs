//! `vedette nodes`: every node in one line, as it says itself at this moment.

use crate::args::Nodes;
use crate::columns::columns;
use crate::config::Config;
use crate::connect::connect;
use crate::out;
use crate::status::{Heard, collect, ensure_voters};
use anyhow::bail;
use futures::{StreamExt as _, stream};
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;
use vedette_model::{
    Answer, Command, Credentials, GroupRecord, Member, NodeAddr, NodeFault, NodeView, Role,
};
use vedette_node::Tls;
use vedette_node::command::{Errand, carry_out};
use vedette_runtime::Shutdown;

/// For one node's answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Nodes that are asked at a time.
const AT_ONCE: usize = 64;

/// One node. What it does not say is absent.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Line {
    group: String,
    node: String,
    /// By the record: `master`, `replica` or `gone`.
    role: &'static str,
    place: Option<String>,
    /// By itself.
    says: Option<Role>,
    follows: Option<String>,
    link_up: Option<bool>,
    /// Bytes of the group's history that it has.
    offset: Option<u64>,
    /// Bytes that it is behind the master.
    lag: Option<u64>,
    priority: Option<u32>,
    run_id: Option<String>,
    /// What is the matter; empty if nothing is.
    trouble: Vec<String>,
}

/// Prints the nodes of one group or of all.
///
/// # Errors
/// What is wrong with NATS, no voter answers, or the group is not known; with what to do about it.
pub async fn run(wanted: &Nodes, config: &Config, shutdown: &Shutdown) -> anyhow::Result<()> {
    let tls = config.nodes_tls()?;
    let bus = connect(config, shutdown).await?;
    let heard = collect(&bus, Duration::from_millis(wanted.listing.wait)).await?;
    ensure_voters(&heard, config)?;
    let mut lines = Vec::new();
    for record in heard.records.values() {
        if wanted.group.as_ref().is_none_or(|group| *group == record.group) {
            lines.extend(of_group(&heard, record, tls.as_ref()).await);
        }
    }
    if let (Some(group), true) = (&wanted.group, lines.is_empty()) {
        bail!("the voters have no record of {group}: `vedette groups` lists those that they know");
    }
    if wanted.listing.json {
        return out::line(&serde_json::to_string_pretty(&lines)?);
    }
    let rows: Vec<_> = lines.iter().map(row).collect();
    let head = ["GROUP", "NODE", "ROLE", "LINK", "OFFSET", "LAG", "PRIO", "PLACE", "STATE"];
    out::text(&columns(head, &rows))
}

fn row(line: &Line) -> [String; 9] {
    let or = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let link = line.link_up.map(|up| if up { "up" } else { "DOWN" }.to_owned());
    let state = if line.trouble.is_empty() { "ok".into() } else { line.trouble.join("; ") };
    [
        line.group.clone(),
        line.node.clone(),
        line.role.into(),
        or(link),
        or(line.offset.map(|offset| offset.to_string())),
        or(line.lag.map(|lag| lag.to_string())),
        or(line.priority.map(|priority| priority.to_string())),
        or(line.place.clone()),
        state,
    ]
}

async fn of_group(heard: &Heard, record: &GroupRecord, tls: Option<&Arc<Tls>>) -> Vec<Line> {
    let credentials = record.settings.credentials.as_ref();
    let members = record.members.iter();
    let asked = members.map(async |member| inspect(&member.addr, credentials, tls).await);
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let master = record.members.iter().zip(&answers).find(|(m, _)| m.addr == record.master);
    let master = master.and_then(|(_, answer)| answer.as_ref().ok()).map(|view| view.offset);
    let each = record.members.iter().zip(&answers);
    each.map(|(member, answer)| Line::of(heard, record, member, answer, master)).collect()
}

/// What a node says of itself.
///
/// # Errors
/// Why it does not.
pub async fn inspect(
    node: &NodeAddr,
    credentials: Option<&Credentials>,
    tls: Option<&Arc<Tls>>,
) -> Result<NodeView, NodeFault> {
    let (name, limit) = ("vedette-cli", ANSWER_LIMIT);
    let errand = Errand { node, credentials, name, limit, kept: None, tls };
    match carry_out(errand, &Command::Inspect, || true).await {
        Answer::Done { view, .. } => Ok(view),
        Answer::Failed(fault) => Err(fault),
    }
}

impl Line {
    fn of(
        heard: &Heard,
        record: &GroupRecord,
        member: &Member,
        answer: &Result<NodeView, NodeFault>,
        master_offset: Option<u64>,
    ) -> Self {
        let node = &member.addr;
        let is_master = *node == record.master;
        let view = answer.as_ref().ok();
        let upstream = view.and_then(|view| view.upstream.as_ref());
        let places = &record.settings.node_places;
        let place = places.iter().find(|known| known.node == *node);
        let lag = view.filter(|_| !is_master).and_then(|view| {
            // Asked at nearly the same time: a replica may even have answered after more writes.
            master_offset.map(|offset| offset.saturating_sub(view.offset))
        });
        Self {
            group: record.group.to_string(),
            node: node.to_string(),
            role: match (is_master, member.gone) {
                (true, _) => "master",
                (false, true) => "gone",
                (false, false) => "replica",
            },
            place: place.map(|known| known.place.to_string()),
            says: view.map(|view| view.role),
            follows: upstream.map(|upstream| upstream.addr.to_string()),
            link_up: upstream.map(|upstream| upstream.link_up),
            offset: view.map(|view| view.offset),
            lag,
            priority: view.map(|view| view.priority),
            run_id: view.map(|view| view.run_id.to_string()),
            trouble: trouble(heard, record, member, answer),
        }
    }
}

fn trouble(
    heard: &Heard,
    record: &GroupRecord,
    member: &Member,
    answer: &Result<NodeView, NodeFault>,
) -> Vec<String> {
    let node = &member.addr;
    let mut all = Vec::new();
    let reports = heard.down.get(&(record.group.clone(), node.clone()));
    let probers: Vec<_> =
        reports.into_iter().flatten().map(|(prober, _)| prober.as_str()).collect();
    if !probers.is_empty() {
        all.push(format!("down for {}", probers.join(", ")));
    }
    let view = match answer {
        Ok(view) => view,
        Err(fault) => {
            all.push(format!("does not answer here: {fault}"));
            return all;
        }
    };
    let is_master = *node == record.master;
    match (is_master, view.role) {
        (true, Role::Replica) => all.push("says replica".into()),
        (false, Role::Master) => all.push("says master".into()),
        (true, Role::Master) | (false, Role::Replica) => {}
    }
    if let Some(upstream) = view.upstream.as_ref().filter(|_| !is_master) {
        if upstream.addr != record.master && !record.settings.chained_replicas {
            all.push(format!("follows {}", upstream.addr));
        }
        if !upstream.link_up {
            all.push("its link is down".into());
        }
    }
    for (is_so, words) in [
        (view.loading, "loads its data set"),
        (!view.persistence_ok, "its disk does not take saves"),
        (member.unsaved, "its disk may be behind"),
    ] {
        if is_so {
            all.push(words.into());
        }
    }
    all
}
