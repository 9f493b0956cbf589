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
