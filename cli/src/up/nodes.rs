//! Asks the given nodes who they are, and whom they follow, until the master is found.

use crate::nodes::inspect;
use anyhow::bail;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;
use vedette_model::{Credentials, NodeAddr, NodeFault, NodeView, Role, RunId};
use vedette_node::Tls;

/// For looking up one name.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(2);
/// Nodes that are asked, and how far a chain of replicas is followed.
const NODES: usize = 64;
const STEPS: usize = 8;

/// The given nodes and those that they follow, each with what it says of itself.
#[derive(Debug, Default)]
pub struct Found {
    nodes: BTreeMap<NodeAddr, Result<NodeView, NodeFault>>,
}

/// Asks the nodes.
///
/// # Errors
/// None are given, or too many.
pub async fn find(
    given: &[NodeAddr],
    credentials: Option<&Credentials>,
    tls: Option<&Arc<Tls>>,
) -> anyhow::Result<Found> {
    if given.is_empty() {
        bail!(
            "name the master's address, for example: vedette up 127.0.0.1:6379 (a test server is \
             started by: redis-server --port 6379)"
        );
    }
    if given.len() > NODES {
        bail!("{} addresses are too many: name the master, it lists its replicas", given.len());
    }
    let mut found = Found::default();
    let mut next: BTreeSet<NodeAddr> =
        join_all(given.iter().map(by_number)).await.into_iter().collect();
    for _ in 0..STEPS {
        let asked = next.iter().map(|addr| inspect(addr, credentials, tls));
        let answers = join_all(asked).await;
        let mut upstreams = BTreeSet::new();
        for (addr, answer) in next.into_iter().zip(answers) {
            if let Ok(NodeView { upstream: Some(upstream), .. }) = &answer {
                upstreams.insert(upstream.addr.clone());
            }
            found.nodes.insert(addr, answer);
        }
        upstreams.retain(|addr| !found.nodes.contains_key(addr));
        if upstreams.is_empty() {
            break;
        }
        next = upstreams;
    }
    Ok(found)
}

/// The node under the number that nodes call each other by; its name where that does not resolve.
async fn by_number(addr: &NodeAddr) -> NodeAddr {
    let looked_up = tokio::net::lookup_host((addr.host().to_owned(), addr.port()));
    let Ok(Ok(found)) = tokio::time::timeout(LOOK_UP_LIMIT, looked_up).await else {
        return addr.clone();
    };
    let found: Vec<_> = found.collect();
    // Servers listen on IPv4 unless told otherwise.
    let best = found.iter().find(|address| address.is_ipv4()).or(found.first());
    best.and_then(|best| NodeAddr::new(&best.ip().to_string(), best.port()).ok())
        .unwrap_or_else(|| addr.clone())
}

impl Found {
    fn masters(&self) -> BTreeMap<&RunId, Vec<&NodeAddr>> {
        let mut masters: BTreeMap<&RunId, Vec<&NodeAddr>> = BTreeMap::new();
        for (addr, answer) in &self.nodes {
            if let Ok(view) = answer
                && view.role == Role::Master
            {
                masters.entry(&view.run_id).or_default().push(addr);
            }
        }
        masters
    }

    /// The one master, under the address by which its replicas follow it.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub fn the_master(&self) -> anyhow::Result<NodeAddr> {
        let masters = self.masters();
        let mut all = masters.values();
        let (Some(addresses), None) = (all.next(), all.next()) else {
            if masters.is_empty() {
                bail!("no master among these nodes:{}{}", self.told(), self.remedy());
            }
            bail!(
                "{} masters that do not belong together:{}\nOne group has one master: name one of \
                 them with its replicas (other groups are for a second `vedette up` with another \
                 --group and --data), or make one follow the other: redis-cli -h HOST -p PORT \
                 replicaof HOST PORT",
                masters.len(),
                self.told()
            );
        };
        let followed = self.views().filter_map(|view| view.upstream.as_ref());
        let followed: Vec<_> = followed.map(|upstream| &upstream.addr).collect();
        let best = addresses.iter().find(|addr| followed.contains(addr)).or(addresses.first());
        best.map(|addr| (*addr).clone()).ok_or_else(|| anyhow::anyhow!("no master"))
    }

    /// What should be known about the master's group before it is watched.
    pub fn warnings(&self, master: &NodeAddr) -> Vec<String> {
        let mut warnings = Vec::new();
        if let Some(Ok(view)) = self.nodes.get(master)
            && view.replicas.is_empty()
        {
            warnings.push(format!(
                "{master} has no replica, so that nobody could take over; start one, it is \
                 noticed: redis-server --port PORT --replicaof {} {}",
                master.host(),
                master.port()
            ));
        }
        for (addr, answer) in &self.nodes {
            if let Err(fault) = answer {
                warnings.push(format!(
                    "{addr} does not answer ({fault}): it is watched from when it follows {master}"
                ));
            }
        }
        warnings
    }

    /// Whether the address is among the nodes, or among what they say of each other.
    pub fn names(&self, addr: &NodeAddr) -> bool {
        self.nodes.contains_key(addr)
            || self.views().any(|view| view.replicas.iter().any(|replica| replica.addr == *addr))
    }

    fn views(&self) -> impl Iterator<Item = &NodeView> {
        self.nodes.values().filter_map(|answer| answer.as_ref().ok())
    }

    /// What each node said, a line each.
    fn told(&self) -> String {
        let mut text = String::new();
        for (addr, answer) in &self.nodes {
            let words = match answer {
                Ok(NodeView { upstream: Some(upstream), .. }) => {
                    format!("replica of {}", upstream.addr)
                }
                Ok(view) => format!("{} with {} replicas", view.role, view.replicas.len()),
                Err(fault) => fault.to_string(),
            };
            write!(text, "\n  {addr}  {words}").expect("writing to a string cannot fail");
        }
        text
    }

    fn remedy(&self) -> &'static str {
        let denied = |fault: &NodeFault| matches!(fault, NodeFault::Denied(_));
        if self.nodes.values().any(|answer| answer.as_ref().is_err_and(denied)) {
            return "\nGive the nodes' password with --password-file FILE (and --user NAME for an \
                    ACL user)";
        }
        "\nStart the master, or give its address"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::{ReplId, Upstream};

    fn addr(port: u16) -> NodeAddr {
        NodeAddr::new("127.0.0.1", port).unwrap()
    }

    fn view(run_id: char, upstream: Option<NodeAddr>) -> NodeView {
        let hex = |char: char| char.to_string().repeat(40);
        NodeView {
            run_id: RunId::parse(&hex(run_id)).unwrap(),
            role: if upstream.is_some() { Role::Replica } else { Role::Master },
            replid: ReplId::parse(&hex('a')).unwrap(),
            replid2: None,
            second_offset: None,
            offset: 0,
            priority: 100,
            upstream: upstream.map(|addr| Upstream {
                addr,
                link_up: true,
                down_for_ms: None,
                syncing: false,
            }),
            replicas: Vec::new(),
            loading: false,
            loading_eta_ms: None,
            empty: false,
            persistence_ok: true,
            unsaved: false,
            hidden: false,
        }
    }

    fn found(nodes: Vec<(NodeAddr, Result<NodeView, NodeFault>)>) -> Found {
        Found { nodes: nodes.into_iter().collect() }
    }

    #[test]
    fn a_master_with_two_addresses_is_one_and_goes_by_the_one_that_is_followed() {
        let found = found(vec![
            (addr(1), Ok(view('1', None))),
            (addr(3), Ok(view('1', None))),
            (addr(4), Ok(view('4', Some(addr(3))))),
        ]);
        assert_eq!(found.the_master().unwrap(), addr(3));
    }

    #[test]
    fn without_a_master_every_node_is_named_with_what_it_said() {
        let found = found(vec![
            (addr(1), Err(NodeFault::Refused)),
            (addr(2), Ok(view('2', Some(addr(1))))),
        ]);
        let text = found.the_master().unwrap_err().to_string();
        assert!(text.contains("127.0.0.1:1  connection refused"), "{text}");
        assert!(text.contains("127.0.0.1:2  replica of 127.0.0.1:1"), "{text}");
    }

    #[test]
    fn two_masters_are_refused_and_both_named() {
        let found = found(vec![(addr(1), Ok(view('1', None))), (addr(2), Ok(view('2', None)))]);
        let text = found.the_master().unwrap_err().to_string();
        assert!(text.contains("127.0.0.1:1") && text.contains("127.0.0.1:2"), "{text}");
    }

    #[test]
    fn a_refused_login_asks_for_the_password() {
        let found = found(vec![(addr(1), Err(NodeFault::Denied("NOAUTH".into())))]);
        assert!(found.the_master().unwrap_err().to_string().contains("--password-file"));
    }
}
