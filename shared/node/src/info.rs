//! `INFO` as text → [`NodeView`].
//!
//! Only what Vedette decides by is read, from whatever sections are there. Fields are taken by
//! name, the first one counts: modules append their own sections at the end.

use std::collections::BTreeMap;
use thiserror::Error;
use vedette_model::{GroupRecord, NodeAddr, NodeView, ReplId, ReplicaSeen, Role, RunId, Upstream};

/// Why an `INFO` text does not describe a node.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// A field that every supported server gives is not there.
    #[error("INFO lacks {field}: Redis 4.0 or newer, or Valkey, is needed")]
    Missing {
        /// The field's name.
        field: &'static str,
    },
    /// A field is there, but not of its form.
    #[error("INFO has {field}:{given:?}, which is not {wanted}")]
    Malformed {
        /// The field's name.
        field: &'static str,
        /// What it should be.
        wanted: &'static str,
        /// What it is, shortened to 64 characters.
        given: String,
    },
}

/// Parses the answer to `INFO`: lines end in CR LF or LF, unknown lines are ignored.
///
/// At most [`GroupRecord::MEMBER_LIMIT`] replicas are taken, and of these only the ones that have
/// announced where they listen.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Malformed`] with the first field at fault.
pub fn parse(text: &str) -> Result<NodeView, Error> {
    let info = Info::read(text);
    let role = info.role()?;
    let (upstream, offset) = match role {
        Role::Master => (None, info.number("master_repl_offset", &["master_repl_offset"])?),
        Role::Replica => (Some(info.upstream()?), info.number("slave_repl_offset", OFFSETS)?),
    };
    let loading = info.is_set("loading");
    Ok(NodeView {
        run_id: info.id("run_id", "40 hexadecimal digits", RunId::parse)?,
        role,
        replid: info.id("master_replid", "40 hexadecimal digits", ReplId::parse)?,
        replid2: info.previous_replid()?,
        second_offset: info.first(&["second_repl_offset"]).and_then(|at| at.parse().ok()),
        offset,
        priority: info.priority()?,
        upstream,
        replicas: info.replicas(),
        loading,
        loading_eta_ms: info.loading_eta().filter(|_| loading),
        // Without the keyspace section, or before it is all loaded, nothing proves emptiness.
        empty: info.has_keyspace && !info.has_database && !loading,
        persistence_ok: ["rdb_last_bgsave_status", "aof_last_write_status"]
            .into_iter()
            .all(|field| info.first(&[field]).is_none_or(|status| status == "ok")),
        unsaved: info.is_set("aof_enabled")
            && (info.is_set("aof_rewrite_in_progress") || info.is_set("aof_rewrite_scheduled")),
        hidden: info.first(&["replica_announced"]) == Some("0"),
    })
}

const OFFSETS: &[&str] = &["slave_repl_offset", "replica_repl_offset"];
const PRIORITIES: &[&str] = &["slave_priority", "replica_priority"];

/// The lines of an `INFO`, by name.
struct Info<'a> {
    fields: BTreeMap<&'a str, &'a str>,
    /// Values of the `slaveN:` lines, in the server's order.
    replicas: Vec<&'a str>,
    has_keyspace: bool,
    has_database: bool,
}

impl<'a> Info<'a> {
    fn read(text: &'a str) -> Self {
        let mut info = Self {
            fields: BTreeMap::new(),
            replicas: Vec::new(),
            has_keyspace: false,
            has_database: false,
        };
        for line in text.lines() {
            let line = line.trim_end_matches('\r');
            if line.strip_prefix('#').is_some_and(|name| name.trim() == "Keyspace") {
                info.has_keyspace = true;
            }
            let Some((name, value)) = line.split_once(':') else { continue };
            if numbered(name, "slave") || numbered(name, "replica") {
                info.replicas.push(value);
            } else if numbered(name, "db") {
                info.has_database = true;
            } else {
                info.fields.entry(name).or_insert(value);
            }
        }
        info
    }

    /// The value of the first of these names that is there.
    fn first(&self, names: &[&str]) -> Option<&'a str> {
        names.iter().find_map(|name| self.fields.get(name).copied())
    }

    fn is_set(&self, name: &str) -> bool {
        self.first(&[name]) == Some("1")
    }

    fn required(&self, field: &'static str, names: &[&str]) -> Result<&'a str, Error> {
        self.first(names).ok_or(Error::Missing { field })
    }

    fn role(&self) -> Result<Role, Error> {
        match self.required("role", &["role"])? {
            "master" | "primary" => Ok(Role::Master),
            "slave" | "replica" => Ok(Role::Replica),
            given => Err(malformed("role", "master or slave", given)),
        }
    }

    /// A count of bytes; servers show -1 for some that they do not know.
    fn number(&self, field: &'static str, names: &[&str]) -> Result<u64, Error> {
        let given = self.required(field, names)?;
        let number: i64 = given.parse().map_err(|_| malformed(field, "a number", given))?;
        Ok(u64::try_from(number).unwrap_or(0))
    }

    fn id<T, E>(
        &self,
        field: &'static str,
        wanted: &'static str,
        parse: fn(&str) -> Result<T, E>,
    ) -> Result<T, Error> {
        let given = self.required(field, &[field])?;
        parse(given).map_err(|_| malformed(field, wanted, given))
    }

    fn previous_replid(&self) -> Result<Option<ReplId>, Error> {
        if self.first(&["master_replid2"]).is_none() {
            return Ok(None);
        }
        let id = self.id("master_replid2", "40 hexadecimal digits", ReplId::parse)?;
        Ok(Some(id).filter(|id| !id.is_none()))
    }

    /// Masters do not say theirs: it counts as the default, 100.
    fn priority(&self) -> Result<u32, Error> {
        let Some(given) = self.first(PRIORITIES) else { return Ok(100) };
        given.parse().map_err(|_| malformed("slave_priority", "a number", given))
    }

    /// An estimate that makes no sense is none.
    fn loading_eta(&self) -> Option<u64> {
        let seconds: u64 = self.first(&["loading_eta_seconds"])?.parse().ok()?;
        Some(seconds.saturating_mul(1_000))
    }

    fn upstream(&self) -> Result<Upstream, Error> {
        let host = self.required("master_host", &["master_host"])?;
        let port = self.required("master_port", &["master_port"])?;
        let port_number =
            port.parse().map_err(|_| malformed("master_port", "a port from 1 to 65535", port))?;
        let link_up = self.required("master_link_status", &["master_link_status"])? == "up";
        // -1 means that the link was never up since the server started or was told whom to follow.
        let down_for_s = self
            .first(&["master_link_down_since_seconds"])
            .and_then(|seconds| seconds.parse::<u64>().ok())
            .filter(|_| !link_up);
        Ok(Upstream {
            addr: NodeAddr::new(host, port_number)
                .map_err(|_| malformed("master_host", "a host with a port", host))?,
            link_up,
            down_for_ms: down_for_s.map(|seconds| seconds.saturating_mul(1_000)),
            syncing: self.first(&["master_sync_in_progress"]) == Some("1"),
        })
    }

    fn replicas(&self) -> Vec<ReplicaSeen> {
        self.replicas
            .iter()
            .filter_map(|line| replica(line))
            .take(GroupRecord::MEMBER_LIMIT)
            .collect()
    }
}

/// `ip=10.0.0.2,port=6379,state=online,offset=17,lag=0`, or before Redis 2.8
/// `10.0.0.2,6379,online`. A replica that shows no port yet is in its handshake: not one so far.
fn replica(line: &str) -> Option<ReplicaSeen> {
    let parts: Vec<&str> = line.split(',').collect();
    let named = |name: &str| {
        parts
            .iter()
            .find_map(|part| part.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')))
    };
    let (host, port, state) = match named("ip") {
        Some(host) => (host, named("port")?, named("state")?),
        None => (*parts.first()?, *parts.get(1)?, *parts.get(2)?),
    };
    Some(ReplicaSeen {
        addr: NodeAddr::new(host, port.parse().ok()?).ok()?,
        online: state == "online",
        offset: named("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0),
    })
}

fn numbered(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix)
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

fn malformed(field: &'static str, wanted: &'static str, given: &str) -> Error {
    Error::Malformed { field, wanted, given: given.chars().take(64).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MASTER: &str = include_str!("../tests/info/master.txt");
    const REPLICA: &str = include_str!("../tests/info/replica.txt");

    fn addr(text: &str) -> NodeAddr {
        NodeAddr::parse(text).unwrap()
    }

    #[test]
    fn a_master_lists_its_replicas_as_they_announce_themselves() {
        let view = parse(MASTER).unwrap();
        assert_eq!(view.run_id.as_str(), "375e5fe036e92fa40186f5032d0c79b87ee0ebf2");
        assert_eq!(view.replid.as_str(), "f9bafc129c2cd298dfa48851bdf2517d55cfdbe8");
        assert_eq!((view.role, view.replid2, view.offset), (Role::Master, None, 1294));
        assert_eq!((view.priority, view.upstream), (100, None));
        let seen = |at: &str, offset| ReplicaSeen { addr: addr(at), online: true, offset };
        assert_eq!(
            view.replicas,
            [seen("127.0.0.1:7312", 0), seen("node-b.example.com:6390", 1294)]
        );
        assert!(!view.loading && !view.empty && view.persistence_ok);
    }

    #[test]
    fn a_replica_names_its_master_and_its_own_offset() {
        let view = parse(REPLICA).unwrap();
        let up = Upstream {
            addr: addr("127.0.0.1:7311"),
            link_up: true,
            down_for_ms: None,
            syncing: false,
        };
        assert_eq!((view.role, view.offset, view.upstream), (Role::Replica, 1294, Some(up)));
        let behind = REPLICA.replace("slave_repl_offset:1294", "slave_repl_offset:1200");
        assert_eq!(parse(&behind).unwrap().offset, 1200);
    }

    #[test]
    fn an_ipv6_master_is_written_without_brackets() {
        let view = parse(include_str!("../tests/info/replica_ipv6.txt")).unwrap();
        assert_eq!(view.upstream.unwrap().addr, addr("[::1]:7311"));
        assert_eq!(view.priority, 50);
        let text = MASTER.replace("ip=127.0.0.1,", "ip=fd00::2,");
        assert_eq!(parse(&text).unwrap().replicas[0].addr, addr("[fd00::2]:7312"));
    }

    #[test]
    fn a_link_that_was_never_up_has_no_time_of_being_down() {
        let never = parse(include_str!("../tests/info/replica_never_synced.txt")).unwrap();
        let link = never.upstream.unwrap();
        assert_eq!((link.link_up, link.down_for_ms, link.syncing), (false, None, false));
        assert!(never.empty);
        let down = parse(include_str!("../tests/info/replica_link_down.txt")).unwrap();
        let link = down.upstream.unwrap();
        assert_eq!((link.link_up, link.down_for_ms), (false, Some(2_000)));
    }

    #[test]
    fn a_first_synchronisation_is_seen_on_both_sides() {
        let replica = parse(include_str!("../tests/info/replica_syncing.txt")).unwrap();
        let link = replica.upstream.unwrap();
        assert_eq!((link.link_up, link.down_for_ms, link.syncing), (false, None, true));
        let master = parse(include_str!("../tests/info/master_sending_rdb.txt")).unwrap();
        let online: Vec<bool> = master.replicas.iter().map(|replica| replica.online).collect();
        assert_eq!(online, [true, true, false]);
    }

    #[test]
    fn only_a_loaded_node_without_databases_is_empty() {
        assert!(parse(include_str!("../tests/info/empty_master.txt")).unwrap().empty);
        let loading = include_str!("../tests/info/loading.txt");
        let view = parse(loading).unwrap();
        assert_eq!((view.loading, view.loading_eta_ms), (true, Some(3_000)));
        let early = loading.replace("db0:keys=125", "#");
        assert!(!parse(&early).unwrap().empty, "it may only not have got that far");
        let blind = MASTER.split("# Keyspace").next().unwrap();
        assert!(!parse(blind).unwrap().empty, "the section is missing");
    }

    #[test]
    fn newer_names_and_older_forms_are_understood() {
        let text = REPLICA
            .replace("role:slave", "role:replica")
            .replace("slave_repl_offset", "replica_repl_offset")
            .replace("slave_priority:100", "replica_priority:7");
        let view = parse(&text).unwrap();
        assert_eq!((view.role, view.offset, view.priority), (Role::Replica, 1294, 7));
        let text = MASTER.replace(
            "slave0:ip=127.0.0.1,port=7312,state=online,offset=0,lag=1",
            "slave0:10.0.0.9,6379,online",
        );
        let old = ReplicaSeen { addr: addr("10.0.0.9:6379"), online: true, offset: 0 };
        assert_eq!(parse(&text).unwrap().replicas[0], old);
    }

    #[test]
    fn a_replica_in_its_handshake_is_not_one_yet() {
        let text = MASTER.replace("port=7312", "port=0");
        assert_eq!(parse(&text).unwrap().replicas.len(), 1);
    }

    #[test]
    fn a_former_history_is_kept_and_a_missing_one_is_none() {
        let id = "0123456789abcdef0123456789abcdef01234567";
        let text = MASTER.replace(
            "master_replid2:0000000000000000000000000000000000000000",
            &format!("master_replid2:{id}"),
        );
        assert_eq!(parse(&text).unwrap().replid2.unwrap().as_str(), id);
        let without = MASTER.replace("master_replid2", "nothing");
        assert_eq!(parse(&without).unwrap().replid2, None);
    }

    #[test]
    fn an_append_only_file_that_is_being_rewritten_is_unsaved() {
        let without = |text: &str| {
            let lines = text.lines().filter(|line| !line.starts_with("aof_"));
            lines.collect::<Vec<_>>().join("\n")
        };
        let says = |lines: &str| parse(&format!("{lines}\n{}", without(MASTER))).unwrap().unsaved;
        assert!(says("aof_enabled:1\naof_rewrite_in_progress:1\naof_rewrite_scheduled:0"));
        assert!(says("aof_enabled:1\naof_rewrite_in_progress:0\naof_rewrite_scheduled:1"));
        assert!(!says("aof_enabled:1\naof_rewrite_in_progress:0\naof_rewrite_scheduled:0"));
        assert!(!says("aof_enabled:0\naof_rewrite_in_progress:1"), "BGREWRITEAOF without the file");
        assert!(!says(""));
    }

    #[test]
    fn a_replica_is_hidden_only_if_it_says_so() {
        assert!(!parse(REPLICA).unwrap().hidden);
        let said = |line| parse(&REPLICA.replace("replica_announced:1", line)).unwrap().hidden;
        assert!(said("replica_announced:0"));
        assert!(!said("nothing:0"), "servers before 6.2 do not say");
        assert!(!parse(MASTER).unwrap().hidden);
    }

    #[test]
    fn a_failed_save_or_append_is_impaired_persistence() {
        for field in ["rdb_last_bgsave_status", "aof_last_write_status"] {
            let text = MASTER.replace(&format!("{field}:ok"), &format!("{field}:err"));
            assert!(!parse(&text).unwrap().persistence_ok, "{field}");
        }
    }

    #[test]
    fn a_missing_field_is_named() {
        let of_master = ["run_id", "role", "master_replid", "master_repl_offset"];
        let of_replica = ["master_host", "master_port", "master_link_status", "slave_repl_offset"];
        let cases = of_master.map(|f| (MASTER, f)).into_iter();
        for (text, field) in cases.chain(of_replica.map(|f| (REPLICA, f))) {
            let without = text.replace(&format!("\n{field}:"), "\nrenamed:");
            assert_eq!(parse(&without), Err(Error::Missing { field }));
        }
        let empty = parse("").unwrap_err().to_string();
        assert!(empty.contains("role"), "{empty}");
    }

    #[test]
    fn a_malformed_field_is_named_and_shortened() {
        let text = MASTER.replace("role:master", &format!("role:{}", "x".repeat(1_000)));
        let Err(Error::Malformed { field, given, .. }) = parse(&text) else { panic!("accepted") };
        assert_eq!((field, given.len()), ("role", 64));
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(text in any::<String>()) {
            let _ = parse(&text);
        }

        #[test]
        fn arbitrary_damage_never_panics(at in 0..REPLICA.len(), with in ".{0,8}") {
            let mut text = REPLICA.to_string();
            text.replace_range(at..at + 1, &with);
            let _ = parse(&text);
        }

        #[test]
        fn arbitrary_values_never_panic(value in ".{0,64}", offset in any::<i64>()) {
            let text = REPLICA
                .replace("master_host:127.0.0.1", &format!("master_host:{value}"))
                .replace("slave_repl_offset:1294", &format!("slave_repl_offset:{offset}"))
                .replace("slave_priority:100", &format!("slave_priority:{value}"));
            let _ = parse(&text);
            let text = MASTER.replace("slave0:ip=", &format!("slave0:{value}"));
            prop_assert!(parse(&text).is_ok());
        }
    }
}
