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

/// Whether a text fits a pattern of Redis: `*`, `?`, `[ab]`, `[^a-c]`, `\` before a letter.
///
/// Takes at most length times length steps, whatever the pattern.
pub(crate) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        if pattern.get(p) == Some(&b'*') {
            star = Some((p + 1, t));
            p += 1;
            continue;
        }
        match one(&pattern[p..], text[t]) {
            Some(length) => {
                p += length;
                t += 1;
            }
            None => {
                // The last star takes one more.
                let Some((after, from)) = star else { return false };
                star = Some((after, from + 1));
                (p, t) = (after, from + 1);
            }
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

/// How long the pattern's first element is, if it fits the byte.
fn one(pattern: &[u8], byte: u8) -> Option<usize> {
    match pattern {
        [] => None,
        [b'?', ..] => Some(1),
        [b'\\', escaped, ..] => (*escaped == byte).then_some(2),
        [b'[', rest @ ..] => class(rest, byte).map(|length| length + 1),
        [plain, ..] => (*plain == byte).then_some(1),
    }
}

/// How long the class after its bracket is, if the byte is in it. One that is not closed ends with
/// the pattern.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = pattern.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut found = false;
    loop {
        match &pattern[at.min(pattern.len())..] {
            [] => break,
            [b']', ..] => {
                at += 1;
                break;
            }
            [b'\\', escaped, ..] => {
                found |= *escaped == byte;
                at += 2;
            }
            [from, b'-', to, ..] => {
                let (from, to) = (from.min(to), from.max(to));
                found |= (from..=to).contains(&&byte);
                at += 3;
            }
            [plain, ..] => {
                found |= *plain == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_redis() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("*", "+switch-master", true),
            ("+sdown", "+sdown", true),
            ("[-+]sdown", "-sdown", true),
            ("[-+]sdown", "+sdown", true),
            ("[-+]sdown", "+odown", false),
            ("switch-master", "+switch-master", false),
            ("-failover-*", "-failover-abort-no-good-slave", true),
            ("+s?own", "+sdown", true),
            ("+s?own", "+sown", false),
            ("[^+]*", "+slave", false),
            ("[a-c]x", "bx", true),
            ("[c-a]x", "bx", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "axb", false),
            ("*a*b*c*", "xxaxxbxxcxx", true),
            ("*a*b*c", "xxaxxbxx", false),
            ("[", "a", false),
            ("[abc", "b", true),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
    }

    #[test]
    fn a_pattern_of_stars_costs_no_more_than_its_length() {
        let pattern = b"a*".repeat(500);
        let text = b"a".repeat(60_000);
        assert!(!fits(&[&pattern[..], b"b"].concat(), &text));
    }
}
