//! A process that answers as many nodes, each on a port of its own, and can kill any of them. The
//! bench starts it: what it costs is not counted with those who watch.
//!
//! ```text
//!   standard input                     one line back
//!   kill PORT …     as with kill -9    killed <how many>
//!   watched COUNT   how many of those  watched <how many>
//!                   that live have so
//!                   many clients
//! ```
//!
//! Its groups are a master and its replicas, on consecutive ports. A master takes a byte of writes
//! each millisecond. Roles, histories and offsets follow from what the nodes are told; there are no
//! data, and a replica that is told to follow a node that lives has synchronised at once.

mod answers;
mod conn;
mod group;
mod info;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use group::Group;
use std::collections::BTreeMap;
use std::io::BufRead as _;
use std::net::IpAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use vedette_model::NodeAddr;

/// Which nodes.
#[derive(Debug, Args)]
pub struct Options {
    /// Where they listen
    #[arg(long)]
    host: IpAddr,
    /// The port of the first master
    #[arg(long)]
    first_port: u16,
    /// How many groups
    #[arg(long)]
    groups: usize,
    /// Replicas beside each master
    #[arg(long)]
    replicas: usize,
}

/// Says `ready` once all listen, and does what it is told until its input ends.
///
/// # Errors
/// If a port is taken, or it is told something it does not understand.
pub async fn run(options: &Options) -> Result<()> {
    let mut nodes = BTreeMap::new();
    let (mut port, host) = (options.first_port, options.host.to_string());
    for _ in 0..options.groups {
        let ports: Vec<u16> = (0..=options.replicas).map_while(|_| next(&mut port)).collect();
        let addrs = ports.iter().map(|port| NodeAddr::new(&host, *port));
        let group = Arc::new(Group::new(addrs.collect::<Result<_, _>>()?));
        for (n, port) in ports.into_iter().enumerate() {
            let listener = TcpListener::bind((options.host, port)).await;
            let listener = listener.with_context(|| format!("listening at {host}:{port}"))?;
            let task = tokio::spawn(conn::accept(listener, Arc::clone(&group), n));
            nodes.insert(port, Node { group: Arc::clone(&group), n, task: task.abort_handle() });
        }
    }
    println!("ready");
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        println!("{}", obeyed(&nodes, &order)?);
    }
    Ok(())
}

fn next(port: &mut u16) -> Option<u16> {
    let this = *port;
    *port = this.checked_add(1)?;
    Some(this)
}

/// A node by its port.
struct Node {
    group: Arc<Group>,
    /// Its place in the group.
    n: usize,
    /// Its listener.
    task: AbortHandle,
}

/// What comes in.
fn orders() -> mpsc::Receiver<String> {
    let (tell, told) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if tell.blocking_send(line).is_err() {
                return;
            }
        }
    });
    told
}

fn obeyed(nodes: &BTreeMap<u16, Node>, order: &str) -> Result<String> {
    let (verb, rest) = order.split_once(' ').unwrap_or((order, ""));
    let numbers: Vec<u16> = rest.split(' ').map(str::parse).collect::<Result<_, _>>()?;
    match verb {
        "kill" => {
            for port in &numbers {
                let node = nodes.get(port).with_context(|| format!("no node at port {port}"))?;
                node.task.abort();
                node.group.kill(node.n);
            }
            Ok(format!("killed {}", numbers.len()))
        }
        "watched" => {
            let least = numbers.first().map_or(0, |count| usize::from(*count));
            let all = nodes.values().filter(|node| node.group.clients(node.n) >= Some(least));
            Ok(format!("watched {}", all.count()))
        }
        _ => bail!("{order:?} is not understood"),
    }
}
