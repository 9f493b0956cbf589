//! Who a client is: `HELLO`, `AUTH`, `CLIENT`.

use super::registry::Entry;
use super::{Answers, Outcome, VERSION, arity, idle, lower, shown, text, unknown_subcommand};
use crate::reply::{Proto, Reply};
use crate::session::Told;
use crate::users::{Refused, Rights, User};
use bytes::{Bytes, BytesMut};
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Notify, broadcast};
use vedette_model::Instant;

/// One client.
#[derive(Debug)]
pub struct Client {
    entry: Arc<Entry>,
    proto: Proto,
    user: Option<Arc<User>>,
    name: String,
    library: (String, String),
    pub(super) channels: BTreeSet<Bytes>,
    pub(super) patterns: BTreeSet<Bytes>,
    /// While it listens to anything.
    pub(super) events: Option<broadcast::Receiver<Told>>,
}

impl Client {
    pub(super) fn new(entry: Arc<Entry>, user: Option<Arc<User>>) -> Self {
        Self {
            entry,
            proto: Proto::Two,
            user,
            name: String::new(),
            library: (String::new(), String::new()),
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            events: None,
        }
    }

    /// The number of its connection.
    pub fn id(&self) -> i64 {
        self.entry.id
    }

    /// The protocol it asked for.
    pub const fn proto(&self) -> Proto {
        self.proto
    }

    /// When it came.
    pub fn came(&self) -> Instant {
        self.entry.came
    }

    /// When its last command came.
    pub fn active(&self) -> Instant {
        self.entry.active()
    }

    /// Notified when it is to leave.
    pub fn killed(&self) -> Arc<Notify> {
        Arc::clone(&self.entry.killed)
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

    /// The next event; never, while it listens to nothing.
    pub async fn event(&mut self) -> Result<Told, RecvError> {
        match &mut self.events {
            Some(events) => events.recv().await,
            None => std::future::pending().await,
        }
    }

    /// Writes an event that it listens to, once for each of its subscriptions.
    pub fn hear(&self, told: &Told, out: &mut BytesMut) {
        let (channel, payload) = (told.channel.as_bytes(), Reply::bulk(&*told.payload));
        let named = Reply::bulk(&*told.channel);
        if self.channels.contains(channel) {
            let message = [Reply::bulk("message"), named.clone(), payload.clone()];
            Reply::Push(message.to_vec()).write(self.proto, out);
        }
        for pattern in self.patterns.iter().filter(|p| vedette_model::fits(p, channel)) {
            let pattern = Reply::Bulk(pattern.clone());
            let message = [Reply::bulk("pmessage"), pattern, named.clone(), payload.clone()];
            Reply::Push(message.to_vec()).write(self.proto, out);
        }
    }

    /// Lets the others know what it is now, and what its last command was.
    pub(super) fn note(&self, last: (&'static str, &'static str)) {
        let mut said = self.entry.said();
        said.last = last;
        said.proto = self.proto;
        said.subscriptions = (self.channels.len(), self.patterns.len());
        if said.user != self.user {
            said.user.clone_from(&self.user);
        }
        if said.name != self.name {
            said.name.clone_from(&self.name);
        }
        if said.library != self.library {
            said.library.clone_from(&self.library);
        }
    }

    pub(super) fn touch(&self, now: Instant) {
        self.entry.touch(now);
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
            pair("id", Reply::Integer(client.id())),
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

    pub(super) fn client(&self, client: &mut Client, rest: &[Bytes]) -> Outcome {
        let Some((verb, rest)) = rest.split_first() else { return arity("client").into() };
        match (&*lower(verb), rest) {
            ("kill", [_, ..]) => self.kill(client, rest),
            ("list", _) => {
                // It stands in the list itself.
                client.note(("client", "list"));
                self.list(rest).into()
            }
            (name, _) => self.about_itself(client, (name, verb), rest).into(),
        }
    }

    fn about_itself(&self, client: &mut Client, verb: (&str, &Bytes), rest: &[Bytes]) -> Reply {
        if let Some(reply) = idle::client(verb.0, rest) {
            return reply;
        }
        match (verb.0, rest) {
            ("id", []) => Reply::Integer(client.id()),
            ("getname", []) if client.name.is_empty() => Reply::Null,
            ("getname", []) => Reply::bulk(&*client.name),
            ("setname", [name]) if is_plain(&text(name)) => {
                client.name = text(name);
                Reply::ok()
            }
            ("setname", [_]) => Reply::err(NAME_REFUSED),
            ("setinfo", [what, value]) => set_info(client, what, value),
            ("info", []) => {
                client.note(("client", "info"));
                Reply::Text(client.entry.line(self.clock.now()).to_string())
            }
            (
                "id" | "kill" | "getname" | "setname" | "setinfo" | "info" | "no-evict" | "caching"
                | "reply" | "pause" | "unpause" | "getredir" | "unblock" | "tracking" | "help",
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
