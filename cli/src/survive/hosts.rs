//! Which node runs on which machine. Records know nodes by address, services tell their machine by
//! name and addresses.

use crate::status::{Heard, present};
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::timeout;
use vedette_model::Host;

/// How long the names of nodes may take to be looked up, all at the same time.
const LOOKUP_LIMIT: Duration = Duration::from_secs(1);

/// The addresses behind names of nodes.
pub type Addresses = BTreeMap<String, Vec<IpAddr>>;

/// The machine of each node, by the host in its address.
#[derive(Debug, Default)]
pub struct Hosts(BTreeMap<String, String>);

impl Hosts {
    /// Brings together what services told and where nodes are.
    pub fn of(heard: &Heard, addresses: &Addresses) -> Self {
        let told: Vec<_> = told(heard).collect();
        let host = |node: &str| {
            let found = addresses.get(node).map_or(&[][..], Vec::as_slice);
            (node.to_owned(), machine(node, found, &told))
        };
        Self(nodes(heard).map(host).collect())
    }

    /// The machine of the node at this host, as services call it, or else the host itself.
    pub fn machine<'a>(&'a self, node: &'a str) -> &'a str {
        self.0.get(node).map_or(node, String::as_str)
    }
}

/// What services told of their machines.
pub fn told(heard: &Heard) -> impl Iterator<Item = &Host> {
    heard.services.values().filter_map(|beat| beat.host.as_ref())
}

/// The hosts in the addresses of the nodes.
fn nodes(heard: &Heard) -> impl Iterator<Item = &str> {
    heard.records.values().flat_map(present).map(|member| member.addr.host())
}

/// An address that several machines have (127.0.0.1, a bridge's) says nothing.
fn machine(node: &str, found: &[IpAddr], told: &[&Host]) -> String {
    if let Some(host) = told.iter().find(|host| host.name.as_str().eq_ignore_ascii_case(node)) {
        return host.name.to_string();
    }
    let there = |host: &&&Host| found.iter().any(|found| host.addresses.contains(found));
    let names: BTreeSet<_> = told.iter().filter(there).map(|host| host.name.as_str()).collect();
    match names.first() {
        Some(name) if names.len() == 1 => (*name).to_owned(),
        Some(_) | None => node.to_owned(),
    }
}

/// The addresses of all nodes; a name that does not resolve in time has none.
pub async fn look_up(heard: &Heard) -> Addresses {
    let each = nodes(heard).collect::<BTreeSet<_>>().into_iter().map(async |node| {
        let found = match node.parse::<IpAddr>() {
            Ok(address) => vec![address.to_canonical()],
            Err(_) => {
                let found = timeout(LOOKUP_LIMIT, tokio::net::lookup_host((node, 0))).await;
                let found = found.ok().and_then(Result::ok).into_iter().flatten();
                found.map(|found| found.ip().to_canonical()).collect()
            }
        };
        (node.to_owned(), found)
    });
    join_all(each).await.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use vedette_model::HostName;

    fn host(name: &str, addresses: &[&str]) -> Host {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        Host { name: HostName::parse(name).unwrap(), addresses }
    }

    #[test]
    fn a_node_is_where_a_service_has_its_name_or_its_address() {
        let (a, b) = (host("a", &["10.0.0.1", "127.0.0.1"]), host("b", &["10.0.0.2", "::1"]));
        let of = |node: &str, found: &[&str]| {
            let found: Vec<_> = found.iter().map(|found| found.parse().unwrap()).collect();
            machine(node, &found, &[&a, &b, &a])
        };
        assert_eq!(of("A", &[]), "a");
        assert_eq!(of("10.0.0.2", &["10.0.0.2"]), "b");
        assert_eq!(of("redis-1.example.com", &["2001:db8::1", "10.0.0.1"]), "a");
        assert_eq!(of("10.0.0.3", &["10.0.0.3"]), "10.0.0.3");
        assert_eq!(of("redis-2", &[]), "redis-2", "its name does not resolve");
    }

    #[test]
    fn an_address_of_several_machines_says_nothing() {
        let (a, b) = (host("a", &["127.0.0.1"]), host("b", &["127.0.0.1"]));
        let local = ["127.0.0.1".parse().unwrap()];
        assert_eq!(machine("127.0.0.1", &local, &[&a, &b]), "127.0.0.1");
        assert_eq!(machine("127.0.0.1", &local, &[&a, &a]), "a");
    }

    #[tokio::test]
    async fn names_and_addresses_of_nodes_are_looked_up() {
        let mut heard = crate::status::tests::healthy(1);
        let record = heard.records.values_mut().next().unwrap();
        record.members[1].addr = vedette_model::NodeAddr::new("localhost", 2).unwrap();
        let found = look_up(&heard).await;
        assert_eq!(found["127.0.0.1"], ["127.0.0.1".parse::<IpAddr>().unwrap()]);
        assert!(found["localhost"].iter().all(IpAddr::is_loopback), "{found:?}");
        assert!(!found["localhost"].is_empty());
    }
}
