//! The commands of Sentinel mode.
//!
//! Every answer comes from one look at the gateway's view, so that all parts of it agree.

mod about;
mod admin;
mod channels;
mod client;
mod entries;
mod globals;
mod idle;
mod others;
mod registry;
mod rights;
mod sentinel;
#[cfg(test)]
pub(crate) mod tests;

pub use client::Client;

use crate::config::ClientsConfig;
use crate::metrics::{Left, Metrics, Now};
use crate::office::Office;
use crate::reply::{Proto, Reply};
use crate::request::Limits;
use crate::session::{Ends, Told};
use crate::users::Users;
use bytes::{Bytes, BytesMut};
use registry::Registry;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;
use tokio::sync::broadcast;
use vedette_model::{Instant, Instruction};
use vedette_protocol::gateway::{Gateway, sentinel_id};
use vedette_runtime::Clock;
use vedette_runtime::metrics::Meter;

/// Bytes of a client's word that are repeated in an error.
const WORD_SHOWN: usize = 128;

/// The version that clients are told: they choose by it what they may ask. The oldest that has all
/// that is answered here.
pub const VERSION: &str = "7.2.0";

/// What all clients are answered from.
pub struct Answers {
    gateway: Arc<RwLock<Gateway>>,
    clock: Clock,
    config: ClientsConfig,
    users: Users,
    listening: SocketAddr,
    tell: broadcast::Sender<Told>,
    /// 40 hexadecimal digits, the same after a restart.
    id: String,
    /// 40 hexadecimal digits of this life.
    run_id: String,
    started: Instant,
    registry: Registry,
    metrics: Metrics,
    /// Who carries out what changes something.
    office: Option<Office>,
    /// As a Sentinel calls it.
    loglevel: &'static str,
}

/// A command's name, how many words it has at least, and whether it may have more.
struct Arity(&'static str, usize, bool);

/// As `COMMAND` names them.
const COMMANDS: [Arity; 15] = [
    Arity("acl", 2, true),
    Arity("auth", 2, true),
    Arity("client", 2, true),
    Arity("command", 1, true),
    Arity("hello", 1, true),
    Arity("info", 1, true),
    Arity("ping", 1, true),
    Arity("psubscribe", 2, true),
    Arity("publish", 3, false),
    Arity("punsubscribe", 1, true),
    Arity("role", 1, false),
    Arity("sentinel", 2, true),
    Arity("shutdown", 1, true),
    Arity("subscribe", 2, true),
    Arity("unsubscribe", 1, true),
];

/// How a session goes on after a request.
pub enum Next {
    /// With the next one.
    Go,
    /// When this has been answered: see [`Answers::grant`].
    Wait(Wish),
    /// It is closed, for this reason.
    Leave(Left),
}

/// What a client waits for.
pub enum Wish {
    /// Instructions, and the reply once all of them are carried out.
    Instruct {
        /// The instructions.
        all: Vec<Instruction>,
        /// The reply.
        then: Reply,
    },
    /// `SENTINEL MONITOR`, which begins with looking up a name.
    Monitor(admin::Monitor),
}

/// What a command comes to.
pub(crate) enum Outcome {
    /// One reply.
    Reply(Reply),
    /// Several, as to subscriptions.
    Replies(Vec<Reply>),
    /// One reply, and the connection is closed.
    Last(Reply, Left),
    /// A reply once this is carried out.
    Instruct(Wish),
}

impl From<Reply> for Outcome {
    fn from(reply: Reply) -> Self {
        Self::Reply(reply)
    }
}

impl Answers {
    /// For clients of this gateway, of which `id` is the service id.
    pub fn new(
        gateway: Arc<RwLock<Gateway>>,
        clock: Clock,
        config: ClientsConfig,
        users: Users,
        listening: SocketAddr,
        tell: broadcast::Sender<Told>,
        id: &str,
    ) -> Self {
        let life = format!("{id} {listening} {}", clock.unix_ms());
        Self {
            gateway,
            started: clock.now(),
            clock,
            config,
            users,
            listening,
            tell,
            id: sentinel_id(id),
            run_id: sentinel_id(&life),
            registry: Registry::default(),
            metrics: Metrics::new(Meter::default()),
            office: None,
            loglevel: globals::loglevel("info"),
        }
    }

    /// With what it counts among all else of the process.
    pub fn with_meter(self, meter: Meter) -> Self {
        Self { metrics: Metrics::new(meter), ..self }
    }

    /// With somebody who carries out what changes something.
    pub fn with_office(self, office: Office) -> Self {
        Self { office: Some(office), ..self }
    }

    /// With the process's `log.level`.
    pub fn with_log_level(self, level: &str) -> Self {
        Self { loglevel: globals::loglevel(level), ..self }
    }

    /// How the port for clients is configured.
    pub const fn config(&self) -> &ClientsConfig {
        &self.config
    }

    /// What is told to subscribers goes in here.
    pub const fn tell(&self) -> &broadcast::Sender<Told> {
        &self.tell
    }

    /// How large a request of this client may be.
    pub fn limits(&self, client: &Client) -> Limits {
        let limits = Limits::new(self.config.max_request_bytes);
        if client.user().is_some() { limits } else { limits.before_login() }
    }

    /// Waits for the instant; never, if there is none.
    pub async fn until(&self, at: Option<Instant>) {
        match at {
            Some(at) => self.clock.sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Waits for so long.
    pub async fn rest(&self, time: Duration) {
        self.clock.sleep_until(self.clock.now() + time).await;
    }

    /// A client came.
    pub fn welcome(&self, ends: Ends) -> Client {
        let user = self.users.anonymous();
        Client::new(self.registry.enter(ends, user.clone(), self.clock.now()), user)
    }

    /// It left.
    pub fn farewell(&self, client: &Client) {
        self.registry.leave(client.id());
    }

    /// The time.
    pub fn now(&self) -> Instant {
        self.clock.now()
    }

    /// What is counted.
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What the metrics tell of this moment; whether the door is open is known elsewhere.
    pub fn present(&self, open: bool) -> Now {
        let (view, now) = (self.view(), self.clock.now());
        let (answering, needed, _) = view.voters(now);
        let all = self.registry.all();
        let clients = all.len();
        let subscribers = all.iter().filter(|e| e.said().subscriptions != (0, 0)).count();
        Now {
            clients,
            subscribers,
            open,
            age: view.age(now).map(|age| age.as_secs_f64()),
            groups: view.records().count(),
            gateways: view.peers(now).count(),
            probers: view.probers(now),
            voters: (answering, needed),
        }
    }

    /// What is known, for as long as the guard is held: nothing new is learnt meanwhile.
    pub fn view(&self) -> RwLockReadGuard<'_, Gateway> {
        self.gateway.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one request and writes what it comes to, unless that is to be waited for.
    pub fn run(&self, client: &mut Client, words: &[Bytes], out: &mut BytesMut) -> Next {
        client.touch(self.clock.now());
        let outcome = self.outcome(client, words);
        match outcome {
            Outcome::Reply(reply) => reply.write(client.proto(), out),
            Outcome::Replies(replies) => {
                replies.into_iter().for_each(|reply| reply.write(client.proto(), out));
            }
            Outcome::Last(reply, why) => {
                reply.write(client.proto(), out);
                return Next::Leave(why);
            }
            Outcome::Instruct(wish) => return Next::Wait(wish),
        }
        Next::Go
    }

    fn outcome(&self, client: &mut Client, words: &[Bytes]) -> Outcome {
        let Some((first, rest)) = words.split_first() else { return Reply::Array(vec![]).into() };
        if is(first, "quit") {
            self.metrics.command("quit");
            return Outcome::Last(Reply::ok(), Left::Quit);
        }
        let Some(command) = COMMANDS.iter().find(|command| is(first, command.0)) else {
            self.metrics.command("unknown");
            return unknown(first, rest).into();
        };
        let sub = match command.0 {
            "sentinel" => rest.first().map_or("", sentinel::counted_as),
            _ => "",
        };
        self.metrics.command(if sub.is_empty() { command.0 } else { sub });
        let outcome = self.known(client, command, rest);
        client.note((command.0, sub));
        outcome
    }

    fn known(&self, client: &mut Client, command: &Arity, rest: &[Bytes]) -> Outcome {
        let name = command.0;
        let count = rest.len() + 1;
        if count < command.1 || (!command.2 && count > command.1) {
            return arity(name).into();
        }
        if name != "auth"
            && name != "hello"
            && let Err(refused) = rights::check(client, name, rest)
        {
            return refused.into();
        }
        if client.proto() == Proto::Two && client.subscribes() && !channels::ALLOWED.contains(&name)
        {
            let full = full_name(name, rest);
            return Reply::err(format!(
                "Can't execute '{full}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / \
                 RESET are allowed in this context"
            ))
            .into();
        }
        match name {
            "ping" => self.ping(client, rest).into(),
            "hello" => self.hello(client, rest).into(),
            "auth" => self.auth(client, rest).into(),
            "client" => self.client(client, rest),
            "command" => about::command(rest).into(),
            "acl" => self.acl(client, rest).into(),
            "info" => self.info(rest).into(),
            "role" => self.role().into(),
            "sentinel" => self.sentinel(rest),
            "publish" => publish(rest).into(),
            "shutdown" => Reply::err("a gateway is ended by its supervisor, not by clients").into(),
            "subscribe" => self.subscribe(client, rest, channels::Kind::Channel),
            "psubscribe" => self.subscribe(client, rest, channels::Kind::Pattern),
            "unsubscribe" => channels::unsubscribe(client, rest, channels::Kind::Channel),
            _ => channels::unsubscribe(client, rest, channels::Kind::Pattern),
        }
    }

    fn ping(&self, client: &Client, rest: &[Bytes]) -> Reply {
        match rest {
            [] | [_] if client.proto() == Proto::Two && client.subscribes() => Reply::Array(vec![
                Reply::bulk("pong"),
                Reply::Bulk(rest.first().cloned().unwrap_or_default()),
            ]),
            [] => Reply::Simple("PONG".into()),
            [message] => Reply::Bulk(message.clone()),
            [_, _, ..] => arity("ping"),
        }
    }

    fn role(&self) -> Reply {
        let view = self.view();
        let names = view.records().map(|record| record.group.as_str());
        Reply::Array(vec![Reply::bulk("sentinel"), Reply::bulks(names)])
    }
}

/// Sentinels greet each other on this channel; nothing is taken from it here.
fn publish(rest: &[Bytes]) -> Reply {
    match rest {
        [channel, _] if channel.as_ref() == b"__sentinel__:hello" => Reply::Integer(1),
        _ => Reply::err("Only HELLO messages are accepted by Sentinel instances."),
    }
}

/// Whether a word is this name, which is in lower case.
pub(crate) fn is(word: &Bytes, name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

pub(crate) fn lower(word: &Bytes) -> String {
    text(word).to_ascii_lowercase()
}

pub(crate) fn text(word: &Bytes) -> String {
    String::from_utf8_lossy(word).into_owned()
}

/// The beginning of a word, on one line.
pub(crate) fn shown(word: &Bytes) -> String {
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    text(word).chars().take(WORD_SHOWN).map(clean).collect()
}

/// A command's name with its subcommand, as errors tell it.
fn full_name(name: &str, rest: &[Bytes]) -> String {
    match (name, rest.first()) {
        ("sentinel" | "client" | "acl" | "command", Some(second)) => {
            format!("{name}|{}", shown(second).to_ascii_lowercase())
        }
        _ => name.into(),
    }
}

fn unknown(name: &Bytes, rest: &[Bytes]) -> Reply {
    let mut given = String::new();
    for word in rest {
        if given.len() >= WORD_SHOWN {
            break;
        }
        given.push_str(&format!("'{}' ", shown(word)));
    }
    let name = shown(name);
    Reply::err(format!("unknown command '{name}', with args beginning with: {given}"))
}

pub(crate) fn arity(command: &str) -> Reply {
    Reply::err(format!("wrong number of arguments for '{command}' command"))
}

pub(crate) fn unknown_subcommand(given: &Bytes, container: &str) -> Reply {
    Reply::err(format!("unknown subcommand '{}'. Try {container} HELP.", shown(given)))
}
