//! Who a client is: `HELLO`, `AUTH`, `CLIENT`.

use super::{Answers, VERSION, arity, lower, shown, text, unknown_subcommand};
use crate::reply::{Proto, Reply};
use crate::session::Told;
use crate::users::{Refused, Rights, User};
use bytes::{Bytes, BytesMut};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use vedette_model::Instant;

/// One client.
#[derive(Debug, Clone)]
pub struct Client {
    id: i64,
    from: SocketAddr,
    proto: Proto,
    user: Option<Arc<User>>,
    name: String,
    library: (String, String),
    came: Instant,
    active: Instant,
    pub(super) channels: BTreeSet<Bytes>,
    pub(super) patterns: BTreeSet<Bytes>,
}

impl Client {
    /// The number of its connection.
    pub const fn id(&self) -> i64 {
        self.id
    }

    /// The protocol it asked for.
    pub const fn proto(&self) -> Proto {
        self.proto
    }

    /// As whom it has logged in, or who it is without.
    pub fn user(&self) -> Option<&User> {
        self.user.as_deref()
    }

    /// Whether it may do what needs these rights.
    pub fn may(&self, needed: Rights) -> bool {
        self.user().is_some_and(|user| user.rights >= needed)
    }

    /// Whether it listens to anything.
    pub fn subscribes(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    pub(super) const fn touch(&mut self, now: Instant) {
        self.active = now;
    }

    /// Writes an event that it listens to, once for each of its subscriptions.
    pub fn hear(&self, told: &Told, out: &mut BytesMut) {
        let (channel, payload) = (told.channel.as_bytes(), Reply::bulk(&*told.payload));
        let named = Reply::bulk(&*told.channel);
        if self.channels.contains(channel) {
            let message = [Reply::bulk("message"), named.clone(), payload.clone()];
            Reply::Push(message.to_vec()).write(self.proto, out);
        }
        for pattern in self.patterns.iter().filter(|p| super::channels::fits(p, channel)) {
            let pattern = Reply::Bulk(pattern.clone());
            let message = [Reply::bulk("pmessage"), pattern, named.clone(), payload.clone()];
            Reply::Push(message.to_vec()).write(self.proto, out);
        }
    }

    fn line(&self, now: Instant) -> String {
        let Self { id, from, name, library, .. } = self;
        let (age, idle) = (now.since(self.came).as_secs(), now.since(self.active).as_secs());
        let flags = if self.subscribes() { "P" } else { "N" };
        format!(
            "id={id} addr={from} name={name} age={age} idle={idle} flags={flags} db=0 sub={} \
             psub={} resp={} lib-name={} lib-ver={}\n",
            self.channels.len(),
            self.patterns.len(),
            self.proto.number(),
            library.0,
            library.1
        )
    }
}

/// The clients that are here.
#[derive(Debug, Default)]
pub(super) struct Registry {
    next: AtomicI64,
    clients: Mutex<BTreeMap<i64, Client>>,
}

impl Registry {
    fn all(&self) -> MutexGuard<'_, BTreeMap<i64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn enter(&self, from: SocketAddr, user: Option<Arc<User>>, now: Instant) -> Client {
        let client = Client {
            id: self.next.fetch_add(1, Ordering::Relaxed) + 1,
            from,
            proto: Proto::Two,
            user,
            name: String::new(),
            library: (String::new(), String::new()),
            came: now,
            active: now,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
        };
        self.all().insert(client.id, client.clone());
        client
    }

    pub(super) fn leave(&self, id: i64) {
        self.all().remove(&id);
    }

    pub(super) fn len(&self) -> usize {
        self.all().len()
    }

    /// All, and those that subscribe.
    pub(super) fn count(&self) -> (usize, usize) {
        let all = self.all();
        (all.len(), all.values().filter(|client| client.subscribes()).count())
    }
}

/// Bytes of a client's or library's name.
const NAME_LIMIT: usize = 1_024;

/// A name may hold what can be printed, without spaces, as in Redis; and not without an end.
fn is_plain(name: &str) -> bool {
    name.len() <= NAME_LIMIT && name.bytes().all(|byte| (b'!'..=b'~').contains(&byte))
}

const NAME_REFUSED: &str = "Client names cannot contain spaces, newlines or special characters.";

impl Answers {
    pub(super) fn hello(&self, client: &mut Client, rest: &[Bytes]) -> Reply {
        let mut proto = client.proto;
        let mut rest = rest;
        if let Some((version, options)) = rest.split_first() {
            proto = match text(version).parse::<i64>() {
                Ok(2) => Proto::Two,
                Ok(3) => Proto::Three,
                Ok(_) => return Reply::Error("NOPROTO unsupported protocol version".into()),
                Err(_) => return Reply::err("Protocol version is not an integer or out of range"),
            };
            rest = options;
        }
        let (mut user, mut name) = (client.user.clone(), None);
        while let Some((option, values)) = rest.split_first() {
            match (&*lower(option), values) {
                ("auth", [given, password, ..]) => {
                    user = match self.check(Some(given), password) {
                        Ok(user) => Some(user),
                        Err(refused) => return refused,
                    };
                    rest = &values[2..];
                }
                ("setname", [given, ..]) => {
                    if !is_plain(&text(given)) {
                        return Reply::err(NAME_REFUSED);
                    }
                    name = Some(text(given));
                    rest = &values[1..];
                }
                _ => {
                    return Reply::err(format!("Syntax error in HELLO option '{}'", shown(option)));
                }
            }
        }
        if user.is_none() {
            return Reply::Error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the \
                 HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client \
                 and select the RESP protocol version at the same time"
                    .into(),
            );
        }
        (client.proto, client.user) = (proto, user);
        client.name = name.unwrap_or_else(|| std::mem::take(&mut client.name));
        let pair = |name: &str, value| (Reply::bulk(name), value);
        Reply::Map(vec![
            pair("server", Reply::bulk("redis")),
            pair("version", Reply::bulk(VERSION)),
            pair("proto", Reply::Integer(proto.number())),
            pair("id", Reply::Integer(client.id)),
            pair("mode", Reply::bulk("sentinel")),
            pair("modules", Reply::Array(Vec::new())),
        ])
    }

    pub(super) fn auth(&self, client: &mut Client, rest: &[Bytes]) -> Reply {
        let checked = match rest {
            [password] => self.check(None, password),
            [user, password] => self.check(Some(user), password),
            _ => return Reply::err("syntax error"),
        };
        match checked {
            Ok(user) => {
                client.user = Some(user);
                Reply::ok()
            }
            Err(refused) => refused,
        }
    }

    fn check(&self, user: Option<&Bytes>, password: &Bytes) -> Result<Arc<User>, Reply> {
        let user = user.map(AsRef::as_ref);
        self.users.login(user, password).map_err(|refused| match refused {
            Refused::NoPassword => Reply::err(
                "AUTH <password> called without any password configured for the default user. Are \
                 you sure your configuration is correct?",
            ),
            Refused::Wrong => {
                Reply::Error("WRONGPASS invalid username-password pair or user is disabled.".into())
            }
        })
    }

    pub(super) fn client(&self, client: &mut Client, rest: &[Bytes]) -> Reply {
        let Some((verb, rest)) = rest.split_first() else { return arity("client") };
        let verb = (lower(verb), verb);
        match (&*verb.0, rest) {
            ("id", []) => Reply::Integer(client.id),
            ("getname", []) if client.name.is_empty() => Reply::Null,
            ("getname", []) => Reply::bulk(&*client.name),
            ("setname", [name]) if is_plain(&text(name)) => {
                client.name = text(name);
                Reply::ok()
            }
            ("setname", [_]) => Reply::err(NAME_REFUSED),
            ("setinfo", [what, value]) => set_info(client, what, value),
            ("info", []) => Reply::Text(client.line(self.clock.now())),
            ("list", _) => {
                let now = self.clock.now();
                Reply::Text(self.registry.all().values().map(|c| c.line(now)).collect())
            }
            // Nothing is cached, paused or evicted here: what clients ask for holds as it is.
            ("reply", [on]) if lower(on) == "on" => Reply::ok(),
            // Whoever is promised silence must not be answered.
            ("reply", [_]) => Reply::err("CLIENT REPLY OFF and SKIP are not built yet"),
            ("tracking", [_, ..])
            | ("no-evict" | "caching", [_])
            | ("pause", [_] | [_, _])
            | ("unpause", []) => Reply::ok(),
            ("getredir", []) => Reply::Integer(-1),
            ("unblock", [_] | [_, _]) => Reply::Integer(0),
            (
                "id" | "getname" | "setname" | "setinfo" | "info" | "no-evict" | "caching"
                | "reply" | "pause" | "unpause" | "getredir" | "unblock" | "tracking",
                _,
            ) => arity(&format!("client|{}", verb.0)),
            _ => unknown_subcommand(verb.1, "CLIENT"),
        }
    }
}

fn set_info(client: &mut Client, what: &Bytes, value: &Bytes) -> Reply {
    let (what, value) = (lower(what), text(value));
    if !is_plain(&value) {
        return Reply::err(format!(
            "{what} cannot contain spaces, newlines or special characters."
        ));
    }
    match &*what {
        "lib-name" => client.library.0 = value,
        "lib-ver" => client.library.1 = value,
        _ => return Reply::err(format!("Unrecognized option '{what}'")),
    }
    Reply::ok()
}

impl Registry {
    /// Keeps what a client says of itself for `CLIENT LIST`.
    pub(super) fn note(&self, client: &Client) {
        let mut all = self.all();
        if let Some(known) = all.get_mut(&client.id) {
            known.active = client.active;
            if known.name != client.name
                || known.library != client.library
                || known.proto != client.proto
                || known.channels.len() != client.channels.len()
                || known.patterns.len() != client.patterns.len()
            {
                *known = client.clone();
            }
        }
    }
}
