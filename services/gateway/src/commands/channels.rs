//! Subscriptions.

use super::{Answers, Client, Outcome};
use crate::reply::Reply;
use crate::session::Told;
use bytes::Bytes;

/// Channels and patterns of one client.
const LIMIT: usize = 1_024;
/// Bytes of one of them.
const NAME_LIMIT: usize = 1_024;

/// What a subscriber may send in RESP2.
pub(super) const ALLOWED: [&str; 5] =
    ["subscribe", "psubscribe", "unsubscribe", "punsubscribe", "ping"];

/// What is subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One channel.
    Channel,
    /// All channels that fit a pattern.
    Pattern,
}

impl Kind {
    const fn verb(self, off: bool) -> &'static str {
        match (self, off) {
            (Self::Channel, false) => "subscribe",
            (Self::Channel, true) => "unsubscribe",
            (Self::Pattern, false) => "psubscribe",
            (Self::Pattern, true) => "punsubscribe",
        }
    }
}

fn confirmed(verb: &str, what: Reply, client: &Client) -> Reply {
    let count = client.channels.len() + client.patterns.len();
    let count = Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    Reply::Push(vec![Reply::bulk(verb), what, count])
}

impl Answers {
    pub(super) fn subscribe(&self, client: &mut Client, to: &[Bytes], kind: Kind) -> Outcome {
        let mut replies = Vec::new();
        for name in to {
            let count = client.channels.len() + client.patterns.len();
            let set = match kind {
                Kind::Channel => &mut client.channels,
                Kind::Pattern => &mut client.patterns,
            };
            if count >= LIMIT && !set.contains(name) {
                replies.push(Reply::err(format!("a client may have {LIMIT} subscriptions")));
                continue;
            }
            if name.len() > NAME_LIMIT {
                replies.push(Reply::err(format!("a channel has at most {NAME_LIMIT} bytes")));
                continue;
            }
            // Not a part of the whole request, which would be kept with it.
            let new = set.insert(Bytes::copy_from_slice(name));
            // Before it reads who is master now: no change falls in between.
            client.events.get_or_insert_with(|| self.tell.subscribe());
            replies.push(confirmed(kind.verb(false), Reply::Bulk(name.clone()), client));
            if new && kind == Kind::Channel && name.as_ref() == b"+switch-master" {
                replies.extend(self.last_switches());
            }
        }
        Outcome::Replies(replies)
    }

    /// The last change of master of each group, if subscribers are to hear it again.
    fn last_switches(&self) -> Vec<Reply> {
        if !self.config.repeat_last_switch {
            return Vec::new();
        }
        let view = self.view();
        let switches = view.records().filter_map(|record| {
            let (old, new) = (record.switch.previous.as_ref()?, &record.master);
            let (group, from, to) = (&record.group, old.host(), new.host());
            let payload = format!("{group} {from} {} {to} {}", old.port(), new.port());
            let told = Told::new("+switch-master".into(), payload);
            let words =
                [Reply::bulk("message"), Reply::bulk(&*told.channel), Reply::bulk(&*told.payload)];
            Some(Reply::Push(words.to_vec()))
        });
        switches.collect()
    }
}

/// Takes subscriptions back: those named, or all.
pub(super) fn unsubscribe(client: &mut Client, from: &[Bytes], kind: Kind) -> Outcome {
    let all = match kind {
        Kind::Channel => &client.channels,
        Kind::Pattern => &client.patterns,
    };
    let names: Vec<_> = if from.is_empty() { all.iter().cloned().collect() } else { from.to_vec() };
    let verb = kind.verb(true);
    if names.is_empty() {
        return Outcome::Reply(confirmed(verb, Reply::Null, client));
    }
    let mut replies = Vec::new();
    for name in names {
        match kind {
            Kind::Channel => client.channels.remove(&name),
            Kind::Pattern => client.patterns.remove(&name),
        };
        replies.push(confirmed(verb, Reply::Bulk(name), client));
    }
    if !client.subscribes() {
        client.events = None;
    }
    Outcome::Replies(replies)
}
