//! Subscriptions.

use super::{Answers, Client, Outcome};
use crate::reply::Reply;
use bytes::Bytes;

/// Channels and patterns of one client.
const LIMIT: usize = 1_024;
/// Bytes of one of them.
const NAME_LIMIT: usize = 1_024;

/// Where changes of master are told.
const SWITCHES: &str = "+switch-master";

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
        let (mut replies, mut repeated) = (Vec::new(), false);
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
            let hears = match kind {
                Kind::Channel => name.as_ref() == SWITCHES.as_bytes(),
                Kind::Pattern => vedette_model::fits(name, SWITCHES.as_bytes()),
            };
            // Once is enough to know it, however many patterns one request has.
            if new && hears && !repeated {
                repeated = true;
                replies.extend(self.last_switches(name, kind));
            }
        }
        Outcome::Replies(replies)
    }

    /// The last change of master of each group, if subscribers are to hear it again, as this
    /// subscription hears it.
    fn last_switches(&self, name: &Bytes, kind: Kind) -> Vec<Reply> {
        if !self.config.repeat_last_switch {
            return Vec::new();
        }
        let view = self.view();
        let switches = view.records().filter_map(|record| {
            let (old, new) = (record.switch.previous.as_ref()?, &record.master);
            let (group, from, to) = (&record.group, old.host(), new.host());
            let payload = format!("{group} {from} {} {to} {}", old.port(), new.port());
            let said = [Reply::bulk(SWITCHES), Reply::bulk(payload)];
            let before = match kind {
                Kind::Channel => vec![Reply::bulk("message")],
                Kind::Pattern => vec![Reply::bulk("pmessage"), Reply::Bulk(name.clone())],
            };
            Some(Reply::Push([before, said.to_vec()].concat()))
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

#[cfg(test)]
mod tests {
    use super::super::tests::{Talk, record};
    use crate::config::ClientsConfig;
    use vedette_model::{BallotNumber, NodeAddr, OrchestratorId, RecordCommitted, Revision};

    /// A client of a gateway whose group has changed its master from 10.0.0.1 to 10.0.0.2.
    fn switched(repeat_last_switch: bool) -> Talk {
        let talk = Talk::with(ClientsConfig { repeat_last_switch, ..ClientsConfig::default() });
        let mut record = record();
        (record.revision, record.epoch) = (Revision(2), record.epoch.next());
        record.switch.previous = Some(record.master);
        record.master = NodeAddr::new("10.0.0.2", 6_379).unwrap();
        let proposer = OrchestratorId::parse("o1").unwrap();
        let ballot = BallotNumber { number: 2, proposer, incarnation: 1 };
        talk.tell(RecordCommitted { ballot, record }.into());
        talk
    }

    const CONFIRMED: &str = "*3\r\n$10\r\npsubscribe\r\n";
    const MESSAGE: &str = "$14\r\n+switch-master\r\n$34\r\norders 10.0.0.1 6379 10.0.0.2 6379";

    #[test]
    fn who_subscribes_by_name_or_by_a_pattern_is_told_the_last_change_again() {
        let mut talk = switched(true);
        let message = format!("*3\r\n$7\r\nmessage\r\n{MESSAGE}");
        let confirmed = "*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1";
        talk.hears("SUBSCRIBE +switch-master", &format!("{confirmed}\r\n{message}"));
        for (n, pattern) in [(2, "*"), (3, "+switch*"), (4, "[-+]*-master")] {
            let name = format!("${}\r\n{pattern}", pattern.len());
            let message = format!("*4\r\n$8\r\npmessage\r\n{name}\r\n{MESSAGE}");
            let wanted = format!("{CONFIRMED}{name}\r\n:{n}\r\n{message}");
            talk.hears(&format!("PSUBSCRIBE {pattern}"), &wanted);
        }
        talk.hears("PSUBSCRIBE *", &format!("{CONFIRMED}$1\r\n*\r\n:4"));
        talk.hears("PSUBSCRIBE switch-*", &format!("{CONFIRMED}$8\r\nswitch-*\r\n:5"));
    }

    #[test]
    fn one_request_is_told_it_once_and_nobody_is_without_the_setting() {
        assert_eq!(switched(true).says("PSUBSCRIBE * **").matches("pmessage").count(), 1);
        assert_eq!(switched(false).says("PSUBSCRIBE * **").matches("message").count(), 0);
    }
}
