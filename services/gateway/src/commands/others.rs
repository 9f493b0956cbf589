//! What clients may know of each other, and do to each other: `CLIENT LIST`, `CLIENT KILL`.

use super::registry::{self, Entry};
use super::{Answers, Client, Outcome, lower, shown, text};
use crate::metrics::Left;
use crate::reply::Reply;
use bytes::Bytes;
use std::time::Duration;
use vedette_model::Instant;

fn syntax() -> Reply {
    Reply::err("syntax error")
}

/// Kinds of clients. Masters and replicas never connect here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Normal,
    Pubsub,
    Nobody,
}

impl Kind {
    fn parse(given: &Bytes) -> Result<Self, Reply> {
        match &*lower(given) {
            "normal" => Ok(Self::Normal),
            "pubsub" => Ok(Self::Pubsub),
            "master" | "replica" | "slave" => Ok(Self::Nobody),
            _ => Err(Reply::err(format!("Unknown client type '{}'", shown(given)))),
        }
    }

    fn fits(self, entry: &Entry) -> bool {
        let subscribes = entry.said().subscriptions != (0, 0);
        match self {
            Self::Normal => !subscribes,
            Self::Pubsub => subscribes,
            Self::Nobody => false,
        }
    }
}

fn number(given: &Bytes, why: &str) -> Result<i64, Reply> {
    text(given).parse().ok().filter(|number| *number > 0).ok_or_else(|| Reply::err(why))
}

/// Whom `CLIENT KILL` means.
#[derive(Debug, Default)]
struct Filter {
    id: Option<i64>,
    kind: Option<Kind>,
    user: Option<String>,
    addr: Option<String>,
    laddr: Option<String>,
    age: Option<Duration>,
    others_only: bool,
}

impl Filter {
    fn parse(words: &[Bytes], answers: &Answers) -> Result<Self, Reply> {
        let mut filter = Self { others_only: true, ..Self::default() };
        for pair in words.chunks(2) {
            let [name, value] = pair else { return Err(syntax()) };
            match &*lower(name) {
                "id" => {
                    filter.id = Some(number(value, "client-id should be greater than 0")?);
                }
                "type" => filter.kind = Some(Kind::parse(value)?),
                "user" => {
                    let user = text(value);
                    if !answers.users.names().any(|known| known == user) {
                        return Err(Reply::err(format!("No such user '{}'", shown(value))));
                    }
                    filter.user = Some(user);
                }
                "addr" => filter.addr = Some(text(value)),
                "laddr" => filter.laddr = Some(text(value)),
                "maxage" => {
                    let seconds = number(value, "maxage is not an integer or out of range")?;
                    filter.age = Some(Duration::from_secs(seconds.unsigned_abs()));
                }
                "skipme" => match &*lower(value) {
                    "yes" => filter.others_only = true,
                    "no" => filter.others_only = false,
                    _ => return Err(syntax()),
                },
                _ => return Err(syntax()),
            }
        }
        Ok(filter)
    }

    fn fits(&self, entry: &Entry, now: Instant) -> bool {
        let user =
            |wanted: &String| entry.said().user.as_ref().is_some_and(|user| user.name == *wanted);
        self.id.is_none_or(|id| id == entry.id)
            && self.kind.is_none_or(|kind| kind.fits(entry))
            && self.user.as_ref().is_none_or(user)
            && self.addr.as_ref().is_none_or(|addr| *addr == entry.ends.from.to_string())
            && self.laddr.as_ref().is_none_or(|addr| *addr == entry.ends.to.to_string())
            && self.age.is_none_or(|age| now.since(entry.came) >= age)
    }
}

impl Answers {
    /// `CLIENT KILL`: by one address, or by everything that is named.
    pub(super) fn kill(&self, client: &Client, words: &[Bytes]) -> Outcome {
        let by_address = words.len() == 1;
        let filter = match words {
            [addr] => Ok(Filter { addr: Some(text(addr)), ..Filter::default() }),
            more => Filter::parse(more, self),
        };
        let filter = match filter {
            Ok(filter) => filter,
            Err(refused) => return refused.into(),
        };
        let now = self.clock.now();
        let (mut killed, mut itself) = (0, false);
        for entry in self.registry.all() {
            let own = entry.id == client.id();
            if !filter.fits(&entry, now) || (own && filter.others_only) {
                continue;
            }
            killed += 1;
            if own {
                itself = true;
            } else {
                registry::kill(&entry);
            }
        }
        let reply = match (by_address, killed) {
            (true, 0) => Reply::err("No such client"),
            (true, _) => Reply::ok(),
            (false, killed) => Reply::Integer(killed),
        };
        // Whoever ends itself is answered first.
        if itself { Outcome::Last(reply, Left::Killed) } else { reply.into() }
    }

    /// `CLIENT LIST`, all or by type or by id.
    pub(super) fn list(&self, words: &[Bytes]) -> Reply {
        let filter = || -> Result<(Option<Kind>, Vec<i64>), Reply> {
            let Some((name, values)) = words.split_first() else { return Ok((None, Vec::new())) };
            match (&*lower(name), values) {
                ("type", [kind]) => Ok((Some(Kind::parse(kind)?), Vec::new())),
                ("id", [_, ..]) => {
                    let ids = values.iter().map(|id| number(id, "Invalid client ID"));
                    Ok((None, ids.collect::<Result<_, _>>()?))
                }
                _ => Err(syntax()),
            }
        };
        let (kind, ids) = match filter() {
            Ok(filter) => filter,
            Err(refused) => return refused,
        };
        let now = self.clock.now();
        let fits = |entry: &Entry| {
            kind.is_none_or(|kind| kind.fits(entry)) && (ids.is_empty() || ids.contains(&entry.id))
        };
        let all = self.registry.all();
        Reply::Text(all.iter().filter(|e| fits(e)).map(|e| e.line(now).to_string()).collect())
    }
}
