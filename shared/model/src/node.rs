//! A redis-server or valkey-server process as seen from outside.

use crate::NameError;
use crate::name::{check_host, text_newtype};
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Where a node listens: `host:port`, an IPv6 host in brackets. An attribute, not an identity.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeAddr {
    host: String,
    port: u16,
}

impl NodeAddr {
    /// An address from its parts; the host is a name or an IP address without brackets.
    ///
    /// # Errors
    /// A [`NameError`] if the host is empty, longer than 255 bytes or holds white space, a control
    /// character, a bracket or a slash, or if the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, NameError> {
        check_host(host)?;
        if port == 0 {
            return Err(NameError::Form { what: "a port from 1 to 65535", given: "0".to_string() });
        }
        Ok(Self { host: host.into(), port })
    }

    /// Parses `host:port` or `[v6]:port`.
    ///
    /// # Errors
    /// A [`NameError`] that names what is wrong.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        let form = || NameError::Form { what: "an address host:port", given: text.to_string() };
        let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
        let host = match host.strip_prefix('[') {
            Some(inner) => inner.strip_suffix(']').ok_or_else(form)?,
            None if host.contains(':') => return Err(form()),
            None => host,
        };
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err(form());
        }
        Self::new(host, port.parse().map_err(|_| form())?)
    }

    /// The host name or IP address, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for NodeAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for NodeAddr {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

impl core::str::FromStr for NodeAddr {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl From<NodeAddr> for String {
    fn from(addr: NodeAddr) -> Self {
        addr.to_string()
    }
}

fn check_hex40(what: &'static str, text: &str) -> Result<(), NameError> {
    if text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(NameError::Form { what, given: text.chars().take(64).collect() })
}

text_newtype!(
    /// A process's run id: 40 hexadecimal digits, new at every start of the server.
    RunId,
    |text| check_hex40("a run id (40 hexadecimal digits)", text)
);
text_newtype!(
    /// A replication id: 40 hexadecimal digits naming one history of writes.
    ReplId,
    |text| check_hex40("a replication id (40 hexadecimal digits)", text)
);

impl ReplId {
    /// Whether this is the all-zero id that a server shows where it has none.
    pub fn is_none(&self) -> bool {
        self.as_str().bytes().all(|b| b == b'0')
    }
}

/// The replication ids that are one group's history, newest first, at most [`Lineage::LIMIT`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<ReplId>", into = "Vec<ReplId>")]
pub struct Lineage(Vec<ReplId>);

impl From<Vec<ReplId>> for Lineage {
    fn from(mut ids: Vec<ReplId>) -> Self {
        ids.truncate(Self::LIMIT);
        Self(ids)
    }
}

impl From<Lineage> for Vec<ReplId> {
    fn from(lineage: Lineage) -> Self {
        lineage.0
    }
}

impl Lineage {
    /// Ids kept; the oldest is forgotten first.
    pub const LIMIT: usize = 16;

    /// Adds an id as the newest; returns whether it was new.
    pub fn add(&mut self, id: &ReplId) -> bool {
        if id.is_none() || self.0.contains(id) {
            return false;
        }
        self.0.insert(0, id.clone());
        self.0.truncate(Self::LIMIT);
        true
    }

    /// Whether nothing is known yet.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is the newest id: the history the master writes now.
    pub fn is_current(&self, id: &ReplId) -> bool {
        self.0.first() == Some(id)
    }

    /// Whether this is one of the ids.
    pub fn contains(&self, id: &ReplId) -> bool {
        self.0.contains(id)
    }

    /// Whether the node's current or previous history is one of these.
    pub fn knows(&self, view: &NodeView) -> bool {
        self.age_of(view).is_some()
    }

    /// How many of these are newer than the newest that the node has; absent if it has none.
    pub fn age_of(&self, view: &NodeView) -> Option<usize> {
        self.0.iter().position(|id| *id == view.replid || view.replid2.as_ref() == Some(id))
    }
}

/// What a node says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Takes writes.
    Master,
    /// Follows a master.
    Replica,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Replica => "replica",
        })
    }
}

/// A node as its own `INFO` describes it (sections server, replication, persistence, keyspace).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeView {
    /// `run_id`.
    pub run_id: RunId,
    /// `role`.
    pub role: Role,
    /// `master_replid`.
    pub replid: ReplId,
    /// `master_replid2`, absent when all zero.
    pub replid2: Option<ReplId>,
    /// `second_repl_offset`: the first offset that is no longer of `replid2`'s history; absent when
    /// there is none.
    #[serde(default)]
    pub second_offset: Option<u64>,
    /// `master_repl_offset` of a master, `slave_repl_offset` of a replica, in bytes.
    pub offset: u64,
    /// `slave_priority`; 0 means never promote; 100 on masters, which do not say.
    pub priority: u32,
    /// Whom it follows; absent on a master.
    pub upstream: Option<Upstream>,
    /// `slaveN:` lines of a master or of a replica that has replicas.
    pub replicas: Vec<ReplicaSeen>,
    /// `loading`.
    pub loading: bool,
    /// `loading_eta_seconds` in milliseconds; absent unless it is loading.
    #[serde(default)]
    pub loading_eta_ms: Option<u64>,
    /// Whether every database is empty, so that nothing can be lost here.
    pub empty: bool,
    /// `rdb_last_bgsave_status` and `aof_last_write_status` are both `ok`.
    pub persistence_ok: bool,
    /// `aof_rewrite_in_progress` or `aof_rewrite_scheduled`, with `aof_enabled`. After a full
    /// synchronisation the append-only file is written anew, and a process that is killed before
    /// that is done comes back with what the file held before.
    #[serde(default)]
    pub unsaved: bool,
    /// `replica_announced:0`: clients are not to be told of it. It may be promoted all the same.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub hidden: bool,
}

/// A replica's link to its master.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Upstream {
    /// `master_host` and `master_port`.
    pub addr: NodeAddr,
    /// `master_link_status:up`.
    pub link_up: bool,
    /// `master_link_down_since_seconds` in milliseconds; absent while the link is up.
    pub down_for_ms: Option<u64>,
    /// `master_sync_in_progress`.
    pub syncing: bool,
}

/// One replica in a master's list.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ReplicaSeen {
    /// `ip` and `port` as the replica announced them.
    pub addr: NodeAddr,
    /// `state=online`.
    pub online: bool,
    /// `offset`, in bytes.
    pub offset: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(digit: char) -> ReplId {
        ReplId::parse(&alloc::string::String::from(digit).repeat(40)).unwrap()
    }

    fn numbered(n: u32) -> ReplId {
        ReplId::parse(&alloc::format!("{n:040x}")).unwrap()
    }

    fn view(replid: ReplId, replid2: Option<ReplId>) -> NodeView {
        NodeView {
            run_id: RunId::parse(&"a".repeat(40)).unwrap(),
            role: Role::Master,
            replid,
            replid2,
            second_offset: None,
            offset: 0,
            priority: 100,
            upstream: None,
            replicas: Vec::new(),
            loading: false,
            loading_eta_ms: None,
            empty: false,
            persistence_ok: true,
            unsaved: false,
            hidden: false,
        }
    }

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for (text, host, port) in [
            ("10.0.0.1:6379", "10.0.0.1", 6379),
            ("redis-0.redis.svc:1", "redis-0.redis.svc", 1),
            ("[::1]:65535", "::1", 65535),
            ("[fe80::1%eth0]:6379", "fe80::1%eth0", 6379),
        ] {
            let addr = NodeAddr::parse(text).unwrap();
            assert_eq!((addr.host(), addr.port()), (host, port));
            assert_eq!(addr.to_string(), text, "prints as it was written");
            assert_eq!(NodeAddr::new(host, port).unwrap(), addr);
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = alloc::format!("{}:1", "h".repeat(256));
        for text in [
            "",
            "host",
            "host:",
            ":6379",
            "host:0",
            "host:65536",
            "host:-1",
            "host:x",
            "::1:6379",
            "[::1:6379",
            "::1]:6379",
            "[]:1",
            "[[::1]]:1",
            "a b:1",
            "a/b:1",
            "a@b:1",
            "host: 1",
            "host:+1",
            "\u{7}:1",
            &long,
        ] {
            assert!(NodeAddr::parse(text).is_err(), "{text:?}");
        }
        assert!(NodeAddr::new("h", 0).is_err());
        let error = NodeAddr::parse("host").unwrap_err().to_string();
        assert_eq!(error, "\"host\" is not an address host:port");
    }

    #[test]
    fn deserialising_an_address_is_parsing_it() {
        let addr = NodeAddr::parse("[::1]:6379").unwrap();
        let text = serde_json::to_string(&addr).unwrap();
        assert_eq!(text, "\"[::1]:6379\"");
        assert_eq!(serde_json::from_str::<NodeAddr>(&text).unwrap(), addr);
        assert!(serde_json::from_str::<NodeAddr>("\"host:0\"").is_err());
    }

    #[test]
    fn ids_of_nodes_have_40_hexadecimal_digits() {
        assert!(RunId::parse(&"0123456789abcdefABCDEF0123456789abcdef01"[..40]).is_ok());
        for text in ["", &"a".repeat(39), &"a".repeat(41), &"g".repeat(40), &"é".repeat(20)] {
            assert!(RunId::parse(text).is_err(), "{text:?}");
            assert!(ReplId::parse(text).is_err(), "{text:?}");
        }
        let NameError::Form { given, .. } = RunId::parse(&"x".repeat(10_000)).unwrap_err() else {
            panic!("it is the form that is wrong");
        };
        assert_eq!(given.len(), 64, "an error repeats no more than it must");
    }

    #[test]
    fn a_lineage_keeps_the_newest_and_each_once() {
        let mut lineage = Lineage::default();
        assert!(lineage.is_empty());
        assert!(!lineage.add(&id('0')), "all zero is no history");
        for n in 1..=17 {
            assert!(lineage.add(&numbered(n)));
            assert!(!lineage.add(&numbered(n)));
            assert!(lineage.is_current(&numbered(n)));
        }
        assert!(!lineage.knows(&view(numbered(1), None)), "the oldest is forgotten");
        assert!(lineage.knows(&view(numbered(2), None)));
        assert!(!lineage.is_current(&numbered(2)));
        assert_eq!(Vec::from(lineage).len(), Lineage::LIMIT);
    }

    #[test]
    fn a_lineage_from_outside_is_cut_to_its_limit() {
        let ids: Vec<_> = (1..=20).map(numbered).collect();
        let text = serde_json::to_string(&ids).unwrap();
        let lineage: Lineage = serde_json::from_str(&text).unwrap();
        assert_eq!(Vec::from(lineage), ids[..Lineage::LIMIT]);
    }

    #[test]
    fn a_lineage_knows_a_node_by_its_present_or_its_previous_history() {
        let mut lineage = Lineage::default();
        lineage.add(&id('a'));
        assert!(lineage.knows(&view(id('a'), None)));
        assert!(lineage.knows(&view(id('b'), Some(id('a')))));
        assert!(!lineage.knows(&view(id('b'), Some(id('c')))));
        assert!(!lineage.knows(&view(id('b'), None)));
    }
}
