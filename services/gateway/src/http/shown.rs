//! What is known, as JSON. Fields may be added; none is taken away or given another meaning.

use serde::Serialize;
use vedette_model::{GroupRecord, Instant, NodeAddr, Role};
use vedette_protocol::gateway::{Gateway, Unfit, replicas};

/// `/status`.
#[derive(Debug, Serialize)]
pub struct Status {
    /// Whether Sentinel clients are served.
    pub serving: bool,
    pub view: View,
    pub voters: Voters,
    /// Probers that live.
    pub probers: usize,
    /// The other gateways that serve.
    pub gateways: Vec<Peer>,
    pub groups: Vec<Group>,
}

/// How far what is known can be relied on.
#[derive(Debug, Serialize)]
pub struct View {
    /// Whether a majority of the voters has answered lately.
    pub fresh: bool,
    /// Time since it had answered; absent if it never has.
    pub age_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct Voters {
    pub answering: usize,
    pub needed: usize,
    pub all: usize,
}

#[derive(Debug, Serialize)]
pub struct Peer {
    pub id: String,
    pub serves: String,
}

/// One line of `/groups`, and the head of `/groups/<group>`.
#[derive(Debug, Serialize)]
pub struct Group {
    pub group: String,
    pub master: String,
    pub epoch: u64,
    pub revision: u64,
    /// `ok`, `sdown` or `odown`: the master.
    pub state: &'static str,
    pub replicas: usize,
    pub quorum: u32,
    pub down_after_ms: u64,
    pub failover: Option<Failover>,
    /// After too many failovers, until a person releases it.
    pub held: bool,
    /// Why it is only observed.
    pub paused: Option<String>,
    /// Absent if a person ends the pause.
    pub pause_ends_within_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
pub struct Failover {
    pub from: String,
    pub to: String,
    pub epoch: u64,
}

/// `/groups/<group>`.
#[derive(Debug, Serialize)]
pub struct Whole {
    #[serde(flatten)]
    pub group: Group,
    pub nodes: Vec<Node>,
}

/// One of `/groups/<group>/nodes`. What a node has not said is absent.
#[derive(Debug, Serialize)]
pub struct Node {
    pub node: String,
    /// By the record.
    pub role: Role,
    /// Whether a quorum of the probers calls it down.
    pub down: bool,
    /// Nobody has seen it for long.
    pub gone: bool,
    pub run_id: Option<String>,
    /// By itself.
    pub reported_role: Option<Role>,
    pub offset: Option<u64>,
    /// Bytes that it is behind, as the master told last.
    pub lag: Option<u64>,
    pub follows: Option<String>,
    pub link_up: Option<bool>,
    pub priority: Option<u32>,
    pub seen_ms_ago: Option<u64>,
    /// Why no reads should go there; absent if they may.
    pub unreadable: Option<String>,
}

fn ms(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// How fresh the view is.
pub fn view(view: &Gateway, now: Instant) -> View {
    View { fresh: view.is_fresh(now), age_ms: view.age(now).map(ms) }
}

/// The whole.
pub fn status(known: &Gateway, serving: bool, now: Instant) -> Status {
    let (answering, needed, all) = known.voters(now);
    let peer = |peer: &vedette_protocol::gateway::Peer| Peer {
        id: peer.id.clone(),
        serves: peer.serves.to_string(),
    };
    Status {
        serving,
        view: view(known, now),
        voters: Voters { answering, needed, all },
        probers: known.probers(now),
        gateways: known.peers(now).map(peer).collect(),
        groups: known.records().map(|record| group(known, record, now)).collect(),
    }
}

/// One group.
pub fn group(known: &Gateway, record: &GroupRecord, now: Instant) -> Group {
    let state = if known.odown(record, now).is_some() {
        "odown"
    } else if known.look(record, &record.master, now).down.is_some() {
        "sdown"
    } else {
        "ok"
    };
    Group {
        group: record.group.to_string(),
        master: record.master.to_string(),
        epoch: record.epoch.0,
        revision: record.revision.0,
        state,
        replicas: replicas(record).count(),
        quorum: record.settings.quorum.get(),
        down_after_ms: record.settings.down_after_ms,
        failover: record.failover.as_ref().map(|plan| Failover {
            from: plan.failed.to_string(),
            to: plan.target.to_string(),
            epoch: plan.epoch.0,
        }),
        held: record.flapping.held,
        paused: record.pause.as_ref().map(|pause| pause.reason.clone()),
        pause_ends_within_ms: record.pause.as_ref().and_then(|pause| pause.left_ms),
    }
}

/// A group's nodes.
pub fn nodes(known: &Gateway, record: &GroupRecord, now: Instant) -> Vec<Node> {
    let node = |member: &vedette_model::Member| node(known, record, member, now);
    record.members.iter().map(node).collect()
}

fn node(
    known: &Gateway,
    record: &GroupRecord,
    member: &vedette_model::Member,
    now: Instant,
) -> Node {
    let addr: &NodeAddr = &member.addr;
    let look = known.look(record, addr, now);
    let seen = look.view.map(|(view, _)| view);
    let upstream = seen.and_then(|view| view.upstream.as_ref());
    let is_master = *addr == record.master;
    let readable = known.readable(record.group.as_str(), addr, None, now);
    let run_id = seen.map(|view| &view.run_id).or(member.run_id.as_ref());
    Node {
        node: addr.to_string(),
        role: if is_master { Role::Master } else { Role::Replica },
        down: look.down.is_some(),
        gone: member.gone,
        run_id: run_id.map(ToString::to_string),
        reported_role: seen.map(|view| view.role),
        offset: seen.map(|view| view.offset),
        lag: known.lag(record, addr, now),
        follows: upstream.map(|upstream| upstream.addr.to_string()),
        link_up: upstream.map(|upstream| upstream.link_up),
        priority: seen.map(|view| view.priority),
        seen_ms_ago: look.view.map(|(_, at)| ms(now.since(at))),
        unreadable: readable.err().filter(|why| *why != Unfit::IsMaster).map(|why| why.to_string()),
    }
}
