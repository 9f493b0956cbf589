//! A redis-rs connection to whoever is master.

use crate::masters::Task;
use crate::{Master, Masters};
use futures::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, Pipeline, RedisError,
    RedisFuture, RedisResult, ServerError, ServerErrorKind, Value,
};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// Before the same master is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long a [`Follower`] waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a node to accept the connection, and the login and `SELECT` with it; then it is tried
    /// again.
    pub connect: Duration,
    /// For a node to answer a command; then the command fails and the connection is replaced. Must
    /// be longer than a blocking command of the application (`BLPOP`, `WAIT`) may take.
    pub answer: Duration,
    /// Of a command for a connection while there is none; then the command fails without having
    /// been sent.
    pub wait: Duration,
}

impl Default for Limits {
    /// 1 s to connect, 1 s for an answer, 5 s of waiting.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(1),
            answer: Duration::from_secs(1),
            wait: Duration::from_secs(5),
        }
    }
}

/// A connection of redis-rs that follows the master. Use it where a
/// [`MultiplexedConnection`] fits; clones share one connection, and the last one ends it.
///
/// On a change of master it drops the old connection at once and connects to the new one. On
/// `READONLY`, `MASTERDOWN` or a broken connection it drops the connection too, asks who is master
/// ([`Masters::doubt`]) and connects again, to the same master every 100 ms.
///
/// # What an error means
///
/// No command is ever sent twice. A command that was under way when the connection was dropped
/// fails with an error of kind [`redis::ErrorKind::Io`]; whether it was carried out is not known, nor, if
/// the old master carried it out, whether the new one has it. The application decides whether
/// to repeat it. While there is no connection, commands wait up to [`Limits::wait`] and then
/// fail with a timeout, unsent.
///
/// # What is not guaranteed
///
/// Between the promotion of a replica and the moment at which the announcement arrives, a command
/// may still reach the old master, which may accept it; replication being asynchronous, such a
/// write can be lost. `WAIT` after a write, or `min-replicas-to-write` on the nodes, bounds that.
/// `WATCH` and `SELECT` of one clone are seen by the others, as in any multiplexed connection, and
/// end with the connection: pass the database in the template, use scripts or atomic pipelines.
#[derive(Clone)]
pub struct Follower {
    links: watch::Receiver<Option<Link>>,
    broken: Arc<watch::Sender<u64>>,
    newest: watch::Receiver<Option<Master>>,
    wait: Duration,
    db: i64,
    _task: Arc<Task>,
}

/// One connection to one master.
#[derive(Clone)]
struct Link {
    number: u64,
    connection: MultiplexedConnection,
}

impl Follower {
    /// Begins to follow: connects as soon as a master is known, and commands wait until then.
    ///
    /// `login` is a template: its host and port are replaced by the master's; user, password,
    /// database, protocol, TCP settings and, if it is a `rediss://` address, TLS settings are
    /// kept. Over TLS the announced port must be the one that speaks TLS. The library's name is told to the
    /// node (`CLIENT SETINFO`) only if the template has one.
    ///
    /// Starts one task on the present tokio runtime.
    pub fn start(masters: Masters, login: ConnectionInfo, limits: Limits) -> Self {
        let (tell, links) = watch::channel(None);
        let (broken, complaints) = watch::channel(0);
        let (newest, db) = (masters.newest(), login.redis_settings().db());
        let keeper = Keeper { newest: masters.newest(), masters, login, limits, tell, complaints };
        let task = Arc::new(Task(tokio::spawn(keeper.run()).abort_handle()));
        Self { links, broken: Arc::new(broken), newest, wait: limits.wait, db, _task: task }
    }

    /// The newest master that is known at this moment; none before the first answer.
    pub fn present(&self) -> Option<Master> {
        self.newest.borrow().clone()
    }

    /// Carries out one exchange with the master. `complains` looks for the errors that stand
    /// inside of an answer.
    async fn exchange<T, F>(
        &self,
        send: impl FnOnce(MultiplexedConnection) -> F,
        complains: impl FnOnce(&T) -> bool,
    ) -> RedisResult<T>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let mut links = self.links.clone();
        let broken = *self.broken.borrow();
        let sound = |link: &Option<Link>| link.as_ref().is_some_and(|link| link.number > broken);
        let link = match timeout(self.wait, links.wait_for(sound)).await {
            Ok(Ok(link)) => link.clone(),
            Ok(Err(_)) => None,
            Err(_) => {
                return Err(failure(
                    io::ErrorKind::TimedOut,
                    format!("no connection to a master within {:?}; nothing was sent", self.wait),
                ));
            }
        };
        let Some(Link { number, connection }) = link else {
            return Err(failure(io::ErrorKind::NotConnected, "the nats client is closed".into()));
        };
        let outcome = tokio::select! {
            biased;
            _ = links.changed() => Err(failure(
                io::ErrorKind::ConnectionAborted,
                "the connection was replaced meanwhile; it is not known whether the command was \
                 carried out".into(),
            )),
            outcome = send(connection) => outcome,
        };
        let trouble = match &outcome {
            Ok(answer) => complains(answer),
            Err(error) => is_trouble(error),
        };
        if trouble {
            self.broken.send_if_modified(|broken| {
                let later = number > *broken;
                *broken = number.max(*broken);
                later
            });
        }
        outcome
    }
}

impl ConnectionLike for Follower {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        let send = move |mut connection: MultiplexedConnection| async move {
            connection.req_packed_command(cmd).await
        };
        self.exchange(send, holds_trouble).boxed()
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let send = move |mut connection: MultiplexedConnection| async move {
            connection.req_packed_commands(pipeline, offset, count).await
        };
        self.exchange(send, |answers: &Vec<Value>| answers.iter().any(holds_trouble)).boxed()
    }

    fn get_db(&self) -> i64 {
        self.db
    }
}

/// Keeps the connection.
struct Keeper {
    masters: Masters,
    newest: watch::Receiver<Option<Master>>,
    login: ConnectionInfo,
    limits: Limits,
    tell: watch::Sender<Option<Link>>,
    complaints: watch::Receiver<u64>,
}

impl Keeper {
    /// Until the NATS client is closed or nobody uses the connection any more.
    async fn run(mut self) {
        let mut number = 0;
        loop {
            let master = self.newest.borrow_and_update().clone();
            let moved = match master {
                None => self.newest.changed().await.is_ok(),
                Some(master) => {
                    number += 1;
                    self.stay_at(&master, number).await
                }
            };
            self.tell.send_replace(None);
            if moved {
                continue;
            }
            if self.newest.has_changed().is_err() {
                return;
            }
            self.masters.doubt();
            // The same master again after a moment, another one at once.
            let _ = timeout(AGAIN_AFTER, self.newest.changed()).await;
        }
    }

    /// Connects and stays until there is another master (true) or the connection is no good.
    async fn stay_at(&mut self, master: &Master, number: u64) -> bool {
        let connection = tokio::select! {
            changed = self.newest.changed() => return changed.is_ok(),
            connection = connect(&self.login, master, &self.limits) => connection,
        };
        let Ok(connection) = connection else { return false };
        self.tell.send_replace(Some(Link { number, connection }));
        tokio::select! {
            changed = self.newest.changed() => changed.is_ok(),
            _ = self.complaints.wait_for(|broken| *broken >= number) => false,
        }
    }
}

async fn connect(
    login: &ConnectionInfo,
    master: &Master,
    limits: &Limits,
) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(limits.connect))
        .set_response_timeout(Some(limits.answer));
    let mut settings = login.redis_settings().clone();
    if settings.lib_name().is_none() {
        // Without a login, telling the library's name would be a round trip of its own, for which
        // every command that waits for the new master would wait.
        settings = settings.set_skip_set_lib_name();
    }
    let login = login.clone().set_addr(at(login.addr(), master)).set_redis_settings(settings);
    let client = Client::open(login)?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// The master's address, over TLS if the template's is.
fn at(template: &ConnectionAddr, master: &Master) -> ConnectionAddr {
    let (host, port) = (master.host.clone(), master.port);
    if let ConnectionAddr::TcpTls { insecure, tls_params, .. } = template {
        let (insecure, tls_params) = (*insecure, tls_params.clone());
        return ConnectionAddr::TcpTls { host, port, insecure, tls_params };
    }
    ConnectionAddr::Tcp(host, port)
}

fn failure(kind: io::ErrorKind, text: String) -> RedisError {
    io::Error::new(kind, text).into()
}

/// Whether the connection is no good any more, or not one to a master.
fn is_trouble(error: &RedisError) -> bool {
    // Alone, in a pipeline or in a transaction.
    let said = || error.clone().into_server_errors();
    error.is_io_error()
        || error.is_unrecoverable_error()
        || said().is_some_and(|errors| errors.iter().any(|(_, error)| is_replica(error)))
}

fn is_replica(error: &ServerError) -> bool {
    matches!(error.kind(), Some(ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown))
}

fn holds_trouble(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if is_replica(error))
}
