//! What a node answers to a command.

use super::group::{Group, Nodes};
use super::info;
use redis_protocol::resp2::encode::encode;
use redis_protocol::resp2::types::{OwnedFrame as Frame, Resp2Frame as _};
use vedette_harness::now;
use vedette_model::NodeAddr;

/// A connection's place, and what it has begun.
pub struct Session {
    /// Of the node in its group.
    pub n: usize,
    /// Its own number.
    pub client: u64,
    /// Commands between `MULTI` and `EXEC`.
    pub queued: Option<Vec<Vec<String>>>,
}

impl Session {
    /// The answer to a command, as bytes.
    pub fn answer(&mut self, group: &Group, words: Vec<String>) -> Vec<u8> {
        let frame = self.frame(group, words);
        let mut bytes = vec![0; frame.encode_len(false)];
        // It has the room that the frame says it needs.
        let _ = encode(&mut bytes, &frame, false);
        bytes
    }

    fn frame(&mut self, group: &Group, words: Vec<String>) -> Frame {
        let name = words.first().map(|name| name.to_ascii_uppercase()).unwrap_or_default();
        match (name.as_str(), self.queued.take()) {
            ("MULTI", _) => {
                self.queued = Some(Vec::new());
                simple("OK")
            }
            ("EXEC", Some(queued)) => {
                let mut nodes = group.lock();
                let done = queued.iter().map(|words| self.carry_out(&mut nodes, words));
                Frame::Array(done.collect())
            }
            ("DISCARD", Some(_)) => simple("OK"),
            (_, Some(mut queued)) => {
                queued.push(words);
                self.queued = Some(queued);
                simple("QUEUED")
            }
            (_, None) => self.carry_out(&mut group.lock(), &words),
        }
    }

    fn carry_out(&self, nodes: &mut Nodes, words: &[String]) -> Frame {
        let n = self.n;
        let upper: Vec<String> = words.iter().map(|word| word.to_ascii_uppercase()).collect();
        let upper: Vec<&str> = upper.iter().map(String::as_str).collect();
        match upper[..] {
            ["PING", ..] => simple("PONG"),
            ["INFO", ..] => bulk(info::text(nodes, n, now())),
            ["ROLE"] => info::role(nodes, n, now()),
            ["REPLICAOF" | "SLAVEOF", "NO", "ONE"] => {
                nodes.promote(n);
                simple("OK")
            }
            ["REPLICAOF" | "SLAVEOF", _, port] => {
                let addr = port.parse().ok().and_then(|port| NodeAddr::new(&words[1], port).ok());
                let Some(addr) = addr else { return error("Invalid master port") };
                nodes.follow(n, addr);
                simple("OK")
            }
            ["CLIENT", "KILL", "TYPE", kind] => {
                let subscribed = kind == "PUBSUB";
                let own = self.client;
                let count = nodes.disconnect(n, |number, client| {
                    number != own && client.subscribed == subscribed
                });
                Frame::Integer(i64::try_from(count).unwrap_or(i64::MAX))
            }
            ["CLIENT", "LIST"] => bulk(String::new()),
            ["AUTH" | "SELECT", ..]
            | ["CLIENT", "SETNAME" | "SETINFO" | "PAUSE" | "UNPAUSE", ..]
            | ["CONFIG", "REWRITE" | "SET", ..] => simple("OK"),
            ["CONFIG", "GET", ..] => Frame::Array(Vec::new()),
            ["SUBSCRIBE", _] => {
                if let Some(client) = nodes.all[n].clients.get_mut(&self.client) {
                    client.subscribed = true;
                }
                let channel = bulk(words[1].clone());
                Frame::Array(vec![bulk("subscribe".into()), channel, Frame::Integer(1)])
            }
            ["PUBLISH", _, _] => {
                let heard = publish(nodes, n, words);
                Frame::Integer(i64::try_from(heard).unwrap_or(i64::MAX))
            }
            _ => error(&format!("unknown command '{}'", words.join(" "))),
        }
    }
}

/// Those who have subscribed hear it, whatever the channel; also those at the node's replicas, which
/// get it with the writes.
fn publish(nodes: &Nodes, n: usize, words: &[String]) -> usize {
    let message =
        Frame::Array(vec![bulk("message".into()), bulk(words[1].clone()), bulk(words[2].clone())]);
    let mut bytes = vec![0; message.encode_len(false)];
    // It has the room that the frame says it needs.
    let _ = encode(&mut bytes, &message, false);
    let tell = |n: usize| {
        let subscribed = nodes.all[n].clients.values().filter(|client| client.subscribed);
        // Who does not read misses it.
        subscribed.filter(|client| client.out.try_write(&bytes).is_ok()).count()
    };
    let heard = tell(n);
    for replica in nodes.replicas(n) {
        tell(replica);
    }
    heard
}

fn simple(text: &str) -> Frame {
    Frame::SimpleString(text.as_bytes().to_vec())
}

fn bulk(text: String) -> Frame {
    Frame::BulkString(text.into_bytes())
}

fn error(text: &str) -> Frame {
    Frame::Error(format!("ERR {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    const REPLICA: usize = 1;

    fn group() -> Group {
        Group::new([7001, 7002, 7003].map(addr).into())
    }

    fn addr(port: u16) -> NodeAddr {
        NodeAddr::new("127.0.0.1", port).unwrap()
    }

    fn said(group: &Group, n: usize, words: &[&str]) -> String {
        let mut session = Session { n, client: 1, queued: None };
        let words = words.iter().map(ToString::to_string).collect();
        String::from_utf8(session.answer(group, words)).unwrap()
    }

    fn info(group: &Group, n: usize) -> BTreeMap<String, String> {
        let text = said(group, n, &["INFO"]);
        let fields = text.split("\r\n").filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.into(), value.into())).collect()
    }

    #[test]
    fn nodes_begin_as_a_master_with_replicas_that_follow_it() {
        let group = group();
        let (master, replica) = (info(&group, 0), info(&group, REPLICA));
        assert_eq!((&*master["role"], &*master["connected_slaves"]), ("master", "2"));
        assert!(master["slave1"].starts_with("ip=127.0.0.1,port=7003,state=online,offset="));
        assert_eq!((&*replica["role"], &*replica["master_port"]), ("slave", "7001"));
        assert_eq!(replica["master_link_status"], "up");
        assert_eq!(replica["master_replid"], master["master_replid"]);
        assert_ne!(replica["run_id"], master["run_id"]);
    }

    #[test]
    fn a_death_breaks_the_links_and_stops_the_writes() {
        let group = group();
        group.kill(0);
        let first = info(&group, REPLICA);
        assert_eq!(first["master_link_status"], "down");
        assert_eq!(first["slave_repl_offset"], info(&group, REPLICA)["slave_repl_offset"]);
        assert!(said(&group, REPLICA, &["ROLE"]).contains("connect\r\n"));
    }

    #[test]
    fn a_promotion_begins_a_history_that_goes_on_from_the_one_before() {
        let group = group();
        let old = info(&group, REPLICA)["master_replid"].clone();
        group.kill(0);
        let mut session = Session { n: REPLICA, client: 1, queued: None };
        let mut ask = |words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect();
            String::from_utf8(session.answer(&group, words)).unwrap()
        };
        assert_eq!(ask(&["MULTI"]), "+OK\r\n");
        assert_eq!(ask(&["REPLICAOF", "no", "one"]), "+QUEUED\r\n");
        assert_eq!(ask(&["CLIENT", "KILL", "TYPE", "normal"]), "+QUEUED\r\n");
        assert_eq!(ask(&["EXEC"]), "*2\r\n+OK\r\n:0\r\n");
        let promoted = info(&group, REPLICA);
        assert_eq!((&*promoted["role"], &promoted["master_replid2"]), ("master", &old));
        assert_ne!(promoted["master_replid"], old);
        assert_eq!(promoted["connected_slaves"], "0", "the other one still follows the dead one");
        said(&group, 2, &["REPLICAOF", "127.0.0.1", "7002"]);
        assert_eq!(info(&group, 2)["master_replid"], promoted["master_replid"]);
        assert_eq!(info(&group, REPLICA)["connected_slaves"], "1");
    }

    #[test]
    fn what_is_not_known_is_refused() {
        assert_eq!(said(&group(), 0, &["FLUSHALL"]), "-ERR unknown command 'FLUSHALL'\r\n");
    }
}
