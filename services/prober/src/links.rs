//! The links to the watched nodes: one task per connection, fed by a short queue, telling the
//! machine what happens.

use crate::metrics::Metrics;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use vedette_model::{Credentials, Instant, NodeAddr, NodeFault};
use vedette_node::link::{Ask, Heard, Link};
use vedette_node::{ErrorCode, Lookups, Reply, Tls};
use vedette_protocol::prober::{Input, LinkEvent, PingReply, RoleReply, Watch};
use vedette_runtime::Clock;

/// For connecting and logging in; the machine counts on an answer within a second.
const CONNECT_LIMIT: Duration = Duration::from_millis(900);
/// Questions on their way to a link's task, which never waits for the node.
const ASK_LIMIT: usize = 16;

/// All links, by the node they watch.
pub struct Links {
    name: String,
    inputs: mpsc::Sender<Input>,
    clock: Clock,
    metrics: Arc<Metrics>,
    open: HashMap<Watch, Wire>,
    lookups: HashMap<Watch, Lookups>,
    tls: Option<Arc<Tls>>,
}

impl Links {
    /// No links yet. `name` is what the nodes' `CLIENT LIST` shows; what happens on the links goes
    /// into `inputs`, and a link waits while that queue is full.
    pub fn new(
        name: String,
        inputs: mpsc::Sender<Input>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (open, lookups) = (HashMap::new(), HashMap::new());
        Self { name, inputs, clock, metrics, open, lookups, tls: None }
    }

    /// With TLS to all nodes, if there is any.
    pub fn over(self, tls: Option<Arc<Tls>>) -> Self {
        Self { tls, ..self }
    }

    /// Opens a connection, dropping the one before.
    pub fn connect(&mut self, watch: Watch, attempt: u64, credentials: Option<Credentials>) {
        let (asks, queue) = mpsc::channel(ASK_LIMIT);
        let lookups = self.lookups.entry(watch.clone());
        let lookups = lookups.or_insert_with(|| Lookups::over(self.tls.clone())).clone();
        let inputs = self.inputs.clone();
        let times = Stopwatch {
            clock: self.clock.clone(),
            metrics: Arc::clone(&self.metrics),
            asked: VecDeque::new(),
        };
        let teller =
            Teller { watch: watch.clone(), attempt, lookups, name_told: None, inputs, times };
        let task = tokio::spawn(run(teller, credentials, self.name.clone(), queue));
        self.open.insert(watch, Wire { asks, task: task.abort_handle() });
    }

    /// Asks on the node's connection. What cannot be sent is dropped: the machine counts the
    /// silence, whatever its cause.
    pub fn ask(&self, watch: &Watch, ask: Ask) {
        let Some(wire) = self.open.get(watch) else { return };
        if let Err(error) = wire.asks.try_send(Job::Ask(ask)) {
            tracing::debug!(group = %watch.group, node = %watch.node, ?ask, %error, "not asked");
        }
    }

    /// Greets on the node's connection, if there is one. What cannot be sent comes again.
    pub fn greet(&self, watch: &Watch, text: String) {
        let Some(wire) = self.open.get(watch) else { return };
        if let Err(error) = wire.asks.try_send(Job::Greet(text)) {
            tracing::debug!(group = %watch.group, node = %watch.node, %error, "not greeted");
        }
    }

    /// Closes the node's connection.
    pub fn forget(&mut self, watch: &Watch) {
        self.open.remove(watch);
        self.lookups.remove(watch);
    }
}

/// What a link's task is to send.
#[derive(Debug)]
enum Job {
    Ask(Ask),
    Greet(String),
}

/// A link's task; it ends with this.
struct Wire {
    asks: mpsc::Sender<Job>,
    task: AbortHandle,
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Tells the machine what happens on one connection.
struct Teller {
    watch: Watch,
    attempt: u64,
    lookups: Lookups,
    name_told: Option<Result<(), String>>,
    inputs: mpsc::Sender<Input>,
    times: Stopwatch,
}

/// Tells how long answers take.
struct Stopwatch {
    clock: Clock,
    metrics: Arc<Metrics>,
    /// What is owed, in its order.
    asked: VecDeque<(Ask, Instant)>,
}

impl Stopwatch {
    fn asked(&mut self, ask: Ask) {
        self.asked.push_back((ask, self.clock.now()));
    }

    fn heard(&mut self, event: &LinkEvent) {
        match event {
            LinkEvent::Pong(_) | LinkEvent::Info(_) | LinkEvent::Role(_) => {
                if let Some((ask, at)) = self.asked.pop_front() {
                    self.metrics.answered(ask, self.clock.now().since(at));
                }
            }
            LinkEvent::Lost => drop(self.metrics.lost.inc()),
            LinkEvent::ConnectFailed(_) => drop(self.metrics.failed.inc()),
            LinkEvent::Name(_) | LinkEvent::Connected => {}
        }
    }
}

impl Teller {
    /// Tells how the node's name was looked up last, if that is new.
    async fn tell_name(&mut self) {
        let last = self.lookups.last();
        if let Some(resolved) = last.clone().filter(|_| last != self.name_told) {
            self.name_told = last;
            self.tell(LinkEvent::Name(resolved)).await;
        }
    }

    /// Returns false when nobody listens any more.
    async fn tell(&mut self, what: LinkEvent) -> bool {
        self.times.heard(&what);
        // An input is large: it is made once there is room for it, and never part of the task.
        let Ok(room) = self.inputs.reserve().await else { return false };
        room.send(Input::Link { watch: self.watch.clone(), attempt: self.attempt, what });
        true
    }
}

async fn run(
    mut teller: Teller,
    credentials: Option<Credentials>,
    name: String,
    mut asks: mpsc::Receiver<Job>,
) {
    let node = &teller.watch.node.clone();
    let lookups = teller.lookups.clone();
    // On the heap for as long as it takes: it needs more room than what follows.
    let opening = Link::open(node, &lookups, credentials.as_ref(), &name, CONNECT_LIMIT);
    let opened = Box::pin(opening).await;
    let unresolved = matches!(opened, Err(NodeFault::Unresolved(_)));
    if !unresolved {
        teller.tell_name().await;
    }
    let mut link = match opened {
        Ok(link) => link,
        Err(fault) => {
            teller.tell(LinkEvent::ConnectFailed(fault)).await;
            return;
        }
    };
    if !teller.tell(LinkEvent::Connected).await {
        return;
    }
    let mut refused = false;
    loop {
        let event = tokio::select! {
            // What is asked together is sent together.
            biased;
            job = asks.recv() => {
                let Some(job) = job else { return };
                if matches!(job, Job::Ask(Ask::Info)) {
                    // In time with it, to know of a name that is lost before it is needed.
                    teller.tell_name().await;
                    lookups.again(node);
                }
                let sent = match &job {
                    Job::Ask(ask) => link.ask(*ask),
                    Job::Greet(text) => link.greet(text),
                };
                if let (true, Job::Ask(ask)) = (sent, &job) {
                    teller.times.asked(*ask);
                }
                if !sent {
                    tracing::debug!(%node, ?job, "not sent: too many answers are owed");
                }
                continue;
            }
            heard = link.next() => match event(node, heard) {
                Ok(event) => event,
                Err(error) => {
                    if let Some(error) = error.filter(|_| !std::mem::replace(&mut refused, true)) {
                        tracing::info!(%node, error, "it takes no greeting: give the ACL user \
                            +publish and &__sentinel__:hello, if tools listen there");
                    }
                    continue;
                }
            },
        };
        let over = event == LinkEvent::Lost;
        if !teller.tell(event).await || over {
            return;
        }
    }
}

/// What the machine is told.
///
/// # Errors
/// What became of a greeting, which is nothing to the machine.
fn event(node: &NodeAddr, heard: Result<Heard, NodeFault>) -> Result<LinkEvent, Option<String>> {
    match heard {
        Ok(Heard::Pong(reply)) => Ok(LinkEvent::Pong(ping_reply(reply))),
        Ok(Heard::Info(view)) => Ok(LinkEvent::Info(view)),
        Ok(Heard::Role(reply)) => Ok(LinkEvent::Role(role_reply(&reply))),
        Ok(Heard::Greeted(refused)) => Err(refused),
        Err(fault) => {
            tracing::debug!(%node, %fault, "link lost");
            Ok(LinkEvent::Lost)
        }
    }
}

fn ping_reply(reply: Reply) -> PingReply {
    match reply {
        Reply::Text(text) if text == "PONG" => PingReply::Pong,
        Reply::Error(error) => match error.code {
            ErrorCode::Loading => PingReply::Loading,
            ErrorCode::MasterDown => PingReply::MasterDown,
            ErrorCode::Busy => PingReply::Busy,
            ErrorCode::Misconf => PingReply::Misconf,
            ErrorCode::Denied => PingReply::Denied(error.text),
            ErrorCode::ExecAbort | ErrorCode::Other => PingReply::Other(error.text),
        },
        other @ (Reply::Text(_)
        | Reply::Integer(_)
        | Reply::Array(_)
        | Reply::Nil
        | Reply::Unexpected(_)) => PingReply::Other(other.to_string()),
    }
}

fn role_reply(reply: &Reply) -> RoleReply {
    let words = match reply {
        Reply::Array(words) => words.as_slice(),
        Reply::Error(error) if error.code == ErrorCode::Denied || error.says_unknown() => {
            return RoleReply::Refused;
        }
        Reply::Error(_)
        | Reply::Text(_)
        | Reply::Integer(_)
        | Reply::Nil
        | Reply::Unexpected(_) => return RoleReply::Unclear,
    };
    match words {
        [Reply::Text(role), Reply::Integer(offset), Reply::Array(replicas)] if role == "master" => {
            let least = replicas.iter().map(acknowledged).min();
            let offset = u64::try_from(*offset).unwrap_or(0);
            RoleReply::Master { offset, replicas: replicas.len(), least }
        }
        [Reply::Text(role), _, _, Reply::Text(state), _] if role == "slave" => {
            RoleReply::Replica { linked: state == "connected" }
        }
        _ => RoleReply::Unclear,
    }
}

/// What a replica in the master's list has acknowledged: address, port, offset in words.
fn acknowledged(replica: &Reply) -> u64 {
    let Reply::Array(words) = replica else { return 0 };
    let Some(Reply::Text(offset)) = words.get(2) else { return 0 };
    offset.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};
    use vedette_model::GroupName;
    use vedette_node::ErrorReply;
    use vedette_runtime::metrics::Meter;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A listener in a node's place.
    async fn node() -> (TcpListener, Watch) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let node = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
        (listener, Watch { group: GroupName::parse("g").unwrap(), node })
    }

    /// Takes a connection and its `CLIENT SETNAME`.
    async fn accept(listener: &TcpListener) -> TcpStream {
        let (mut stream, _) = listener.accept().await.unwrap();
        assert!(read(&mut stream).await.contains("SETNAME"));
        stream.write_all(b"+OK\r\n").await.unwrap();
        stream
    }

    async fn read(stream: &mut TcpStream) -> String {
        let mut bytes = [0; 256];
        let read = tokio::time::timeout(LIMIT, stream.read(&mut bytes));
        let count = read.await.expect("in time").unwrap_or(0);
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    async fn heard(inputs: &mut mpsc::Receiver<Input>) -> (u64, LinkEvent) {
        let input = tokio::time::timeout(LIMIT, inputs.recv()).await.expect("in time");
        let Some(Input::Link { attempt, what, .. }) = input else { panic!("{input:?}") };
        (attempt, what)
    }

    fn links() -> (Links, mpsc::Receiver<Input>) {
        let (inputs, events) = mpsc::channel(64);
        let metrics = Arc::new(Metrics::new(&Meter::default()));
        (Links::new("vedette-prober-p1".into(), inputs, Clock::start(), metrics), events)
    }

    #[tokio::test]
    async fn what_happens_on_a_link_carries_its_attempt() {
        let (listener, watch) = node().await;
        let (mut links, mut events) = links();
        links.connect(watch.clone(), 7, None);
        let mut stream = accept(&listener).await;
        assert_eq!(heard(&mut events).await, (7, LinkEvent::Connected));
        links.ask(&watch, Ask::Ping);
        assert!(read(&mut stream).await.contains("PING"));
        stream.write_all(b"-LOADING Redis is loading\r\n").await.unwrap();
        assert_eq!(heard(&mut events).await, (7, LinkEvent::Pong(PingReply::Loading)));
        drop(stream);
        assert_eq!(heard(&mut events).await, (7, LinkEvent::Lost));
    }

    #[tokio::test]
    async fn a_greeting_is_published_and_its_answer_is_nobodys() {
        let (listener, watch) = node().await;
        let (mut links, mut events) = links();
        links.connect(watch.clone(), 1, None);
        let mut stream = accept(&listener).await;
        assert_eq!(heard(&mut events).await, (1, LinkEvent::Connected));
        links.greet(&watch, "10.0.0.1,26379,…".into());
        let sent = read(&mut stream).await;
        assert!(sent.contains("PUBLISH\r\n$18\r\n__sentinel__:hello\r\n"), "{sent}");
        links.ask(&watch, Ask::Ping);
        assert!(read(&mut stream).await.contains("PING"));
        stream.write_all(b"-NOPERM no\r\n+PONG\r\n").await.unwrap();
        assert_eq!(heard(&mut events).await, (1, LinkEvent::Pong(PingReply::Pong)));
    }

    #[tokio::test]
    async fn a_new_attempt_drops_the_connection_before() {
        let (listener, watch) = node().await;
        let (mut links, mut events) = links();
        links.connect(watch.clone(), 1, None);
        let mut first = accept(&listener).await;
        assert_eq!(heard(&mut events).await, (1, LinkEvent::Connected));
        links.connect(watch.clone(), 2, None);
        let _second = accept(&listener).await;
        assert_eq!(read(&mut first).await, "", "closed");
        assert_eq!(heard(&mut events).await, (2, LinkEvent::Connected));
        assert_eq!(links.open.len(), 1);
    }

    #[tokio::test]
    async fn a_forgotten_node_is_left_alone() {
        let (listener, watch) = node().await;
        let (mut links, mut events) = links();
        links.connect(watch.clone(), 1, None);
        let mut stream = accept(&listener).await;
        assert_eq!(heard(&mut events).await, (1, LinkEvent::Connected));
        links.forget(&watch);
        assert_eq!(read(&mut stream).await, "", "closed");
        assert!(links.open.is_empty());
        links.ask(&watch, Ask::Ping);
        drop(links);
        assert_eq!(events.recv().await, None, "nothing more is told");
    }

    #[tokio::test]
    async fn a_refused_connection_is_told() {
        let (listener, watch) = node().await;
        drop(listener);
        let (mut links, mut events) = links();
        links.connect(watch, 3, None);
        let refused = LinkEvent::ConnectFailed(NodeFault::Refused);
        assert_eq!(heard(&mut events).await, (3, refused));
    }

    #[tokio::test]
    async fn a_silent_node_fails_to_connect_within_a_second() {
        let (_listener, watch) = node().await;
        let (mut links, mut events) = links();
        links.connect(watch, 1, None);
        let told = tokio::time::timeout(Duration::from_secs(1), heard(&mut events)).await;
        assert_eq!(told, Ok((1, LinkEvent::ConnectFailed(NodeFault::TimedOut))));
    }

    #[test]
    fn role_is_read_as_masters_and_replicas_say_it() {
        let text = |text: &str| Reply::Text(text.into());
        let listed = |offset| Reply::Array(vec![text("10.0.0.2"), text("6379"), text(offset)]);
        let replicas = Reply::Array(vec![listed("90"), listed("80")]);
        let master = Reply::Array(vec![text("master"), Reply::Integer(100), replicas]);
        assert_eq!(
            role_reply(&master),
            RoleReply::Master { offset: 100, replicas: 2, least: Some(80) }
        );
        for (state, linked) in [("connected", true), ("sync", false), ("connect", false)] {
            let (host, port, offset) = (text("10.0.0.1"), Reply::Integer(6379), Reply::Integer(-1));
            let replica = Reply::Array(vec![text("slave"), host, port, text(state), offset]);
            assert_eq!(role_reply(&replica), RoleReply::Replica { linked });
        }
        for other in [text("OK"), Reply::Array(vec![text("sentinel"), Reply::Array(vec![])])] {
            assert_eq!(role_reply(&other), RoleReply::Unclear);
        }
        let error = |code, text: &str| Reply::Error(ErrorReply { code, text: text.into() });
        let denied = error(ErrorCode::Denied, "NOPERM this user has no permissions");
        let unknown = error(ErrorCode::Other, "ERR unknown command 'ROLE'");
        assert_eq!([denied, unknown].map(|e| role_reply(&e)), [RoleReply::Refused; 2]);
        let busy = error(ErrorCode::Busy, "BUSY Redis is busy running a script.");
        assert_eq!(role_reply(&busy), RoleReply::Unclear, "a script ends");
    }

    #[test]
    fn every_other_reply_is_no_pong() {
        let reply = ping_reply(Reply::Text("GNOP".into()));
        assert_eq!(reply, PingReply::Other("GNOP".into()));
        assert_eq!(ping_reply(Reply::Integer(1)), PingReply::Other("1".into()));
    }
}
