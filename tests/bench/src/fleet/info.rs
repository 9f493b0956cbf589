//! `INFO` and `ROLE`.

use super::group::{NO_HISTORY, Nodes};
use redis_protocol::resp2::types::OwnedFrame as Frame;
use std::fmt::Write as _;
use std::sync::LazyLock;
use std::time::Instant;

/// What a real server says of itself; so is all but identity and replication.
const REAL: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../..",
    "/shared/node/tests/info/master.txt"
));
const RUN_ID: &str = "run_id:375e5fe036e92fa40186f5032d0c79b87ee0ebf2";

/// That, up to the run id, from there to the replication, and from behind it on.
static PARTS: LazyLock<[&str; 3]> = LazyLock::new(|| {
    let (head, rest) = REAL.split_once(RUN_ID).expect("the text has its run id");
    let (middle, rest) = rest.split_once("# Replication").expect("it has that section");
    let (_, tail) = rest.split_once("\r\n\r\n").expect("sections end with an empty line");
    [head, middle, tail]
});

/// A node's `INFO`.
pub fn text(nodes: &Nodes, n: usize, at: Instant) -> String {
    let [head, middle, tail] = *PARTS;
    let mut text = String::with_capacity(REAL.len() + 512);
    // Writing to a string cannot fail.
    let _ = write!(text, "{head}run_id:{}{middle}# Replication\r\n", nodes.all[n].run_id);
    replication(&mut text, nodes, n, at);
    text + "\r\n" + tail
}

fn replication(text: &mut String, nodes: &Nodes, n: usize, at: Instant) {
    let (node, offset) = (&nodes.all[n], nodes.offset(n, at));
    let mut line = |words: std::fmt::Arguments<'_>| {
        let _ = write!(text, "{words}\r\n");
    };
    if let Some(upstream) = &node.upstream {
        let down = nodes.link_down(n);
        let status = if down.is_none() { "up" } else { "down" };
        line(format_args!("role:slave"));
        line(format_args!("master_host:{}", upstream.addr.host()));
        line(format_args!("master_port:{}", upstream.addr.port()));
        line(format_args!("master_link_status:{status}"));
        line(format_args!("master_last_io_seconds_ago:{}", if down.is_none() { 0 } else { -1 }));
        line(format_args!("master_sync_in_progress:0"));
        line(format_args!("slave_read_repl_offset:{offset}"));
        line(format_args!("slave_repl_offset:{offset}"));
        if let Some(since) = down {
            let seconds = since.map(|since| at.saturating_duration_since(since).as_secs());
            let shown = seconds.map_or_else(|| "-1".into(), |seconds| seconds.to_string());
            line(format_args!("master_link_down_since_seconds:{shown}"));
        }
        line(format_args!("slave_priority:100"));
        line(format_args!("slave_read_only:1"));
        line(format_args!("replica_announced:1"));
    } else {
        line(format_args!("role:master"));
    }
    let replicas = nodes.replicas(n);
    line(format_args!("connected_slaves:{}", replicas.len()));
    for (number, replica) in replicas.into_iter().enumerate() {
        let addr = &nodes.all[replica].addr;
        line(format_args!(
            "slave{number}:ip={},port={},state=online,offset={offset},lag=0",
            addr.host(),
            addr.port()
        ));
    }
    let (before, second) = match &node.before {
        Some((replid, from)) => (replid.as_str(), from.to_string()),
        None => (NO_HISTORY, "-1".into()),
    };
    line(format_args!("master_failover_state:no-failover"));
    line(format_args!("master_replid:{}", node.replid));
    line(format_args!("master_replid2:{before}"));
    line(format_args!("master_repl_offset:{offset}"));
    line(format_args!("second_repl_offset:{second}"));
    line(format_args!("repl_backlog_active:1"));
    line(format_args!("repl_backlog_size:1048576"));
    line(format_args!("repl_backlog_first_byte_offset:1"));
    line(format_args!("repl_backlog_histlen:{offset}"));
}

/// A node's `ROLE`.
pub fn role(nodes: &Nodes, n: usize, at: Instant) -> Frame {
    let offset = nodes.offset(n, at);
    let bulk = |text: &str| Frame::BulkString(text.as_bytes().to_vec());
    let number = |number: u64| Frame::Integer(i64::try_from(number).unwrap_or(i64::MAX));
    let Some(upstream) = &nodes.all[n].upstream else {
        let replica = |n: usize| {
            let addr = &nodes.all[n].addr;
            Frame::Array(vec![
                bulk(addr.host()),
                bulk(&addr.port().to_string()),
                bulk(&offset.to_string()),
            ])
        };
        let replicas = nodes.replicas(n).into_iter().map(replica).collect();
        return Frame::Array(vec![bulk("master"), number(offset), Frame::Array(replicas)]);
    };
    let state = if nodes.link_down(n).is_none() { "connected" } else { "connect" };
    Frame::Array(vec![
        bulk("slave"),
        bulk(upstream.addr.host()),
        number(upstream.addr.port().into()),
        bulk(state),
        number(offset),
    ])
}
