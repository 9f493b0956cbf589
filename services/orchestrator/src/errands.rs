//! Commands to nodes: each in a task and over a connection that nobody else uses meanwhile, so many
//! at a time, each answered within its limit whatever happens.

use crate::fault::FaultPoint;
use crate::metrics::Metrics;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, mpsc};
use vedette_model::{Answer, Command, Credentials, Instant, NodeAddr, NodeFault};
use vedette_node::command::{self, carry_out};
use vedette_node::{Kept, Tls};
use vedette_protocol::orchestrator::Input;
use vedette_runtime::{Clock, Observer};
use vedette_trace::{Errand, Orchestrators};

/// Commands carried out at the same time: each has a socket and, for a name, a look-up. More wait
/// for their turn within their own limits.
pub const AT_A_TIME: usize = 1024;

/// Sends commands and tells the machine what came of them.
pub struct Errands {
    name: Arc<str>,
    tools: Tools,
    answers: mpsc::Sender<Input>,
    places: Arc<Semaphore>,
    kept: Kept,
    observer: Option<Observer<Orchestrators>>,
}

/// What every errand is carried out with.
#[derive(Debug, Clone)]
pub struct Tools {
    /// The time.
    pub clock: Clock,
    /// Where this process may be made to fail.
    pub fault: Arc<FaultPoint>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How to speak TLS with nodes; absent: it is not spoken.
    pub tls: Option<Arc<Tls>>,
}

/// One command to one node, as the machine wants it done.
#[derive(Debug)]
pub struct Order {
    /// Comes back with the answer.
    pub ticket: u64,
    /// The node.
    pub node: NodeAddr,
    /// What to do.
    pub command: Command,
    /// How to log in.
    pub credentials: Option<Credentials>,
    /// After it nothing is sent any more.
    pub not_after: Option<Instant>,
    /// For everything, in milliseconds.
    pub limit_ms: u64,
    /// How the incident's trace knows it, if it belongs to one.
    pub seen: Option<Errand>,
}

impl Errands {
    /// `name` is what the nodes' `CLIENT LIST` shows; answers go into `answers`.
    pub fn new(name: &str, tools: Tools, answers: mpsc::Sender<Input>, at_a_time: usize) -> Self {
        let (places, kept) = (Arc::new(Semaphore::new(at_a_time)), Kept::default());
        Self { name: name.into(), tools, answers, places, kept, observer: None }
    }

    /// The same, with somebody who sees what comes of each command.
    pub fn seen_by(self, observer: Observer<Orchestrators>) -> Self {
        Self { observer: Some(observer), ..self }
    }

    /// Sets off at once; the answer comes by itself.
    pub fn send(&self, mut order: Order) {
        let seen = self.observer.clone().zip(order.seen.take());
        let (name, tools) = (Arc::clone(&self.name), self.tools.clone());
        let (answers, places) = (self.answers.clone(), Arc::clone(&self.places));
        let kept = self.kept.clone();
        let end = tools.clock.now() + Duration::from_millis(order.limit_ms);
        tokio::spawn(async move {
            let ticket = order.ticket;
            let waited = tokio::time::timeout(end.since(tools.clock.now()), places.acquire());
            let answer = match waited.await {
                Ok(_place) => carry_out_until(end, &name, &kept, &tools, order).await,
                Err(_elapsed) => {
                    tracing::warn!(
                        node = %order.node,
                        "not sent: {AT_A_TIME} commands to nodes are under way; are many nodes \
                         unreachable, or is this machine overloaded?"
                    );
                    Answer::Failed(NodeFault::TimedOut)
                }
            };
            if let Some((observer, seen)) = seen {
                observer.with(|witness, at_us| witness.answered_by(seen, &answer, at_us));
            }
            // Nobody listens only while the process is ending.
            let _ = answers.send(Input::Answer { ticket, answer }).await;
        });
    }
}

async fn carry_out_until(
    end: Instant,
    name: &str,
    kept: &Kept,
    Tools { clock, fault, metrics, tls }: &Tools,
    order: Order,
) -> Answer {
    let begun = clock.now();
    let errand = command::Errand {
        node: &order.node,
        credentials: order.credentials.as_ref(),
        name,
        limit: end.since(clock.now()),
        kept: Some(kept),
        tls: tls.as_ref(),
    };
    let permitted = || order.not_after.is_none_or(|until| clock.now() <= until);
    let answer = carry_out(errand, &order.command, permitted).await;
    let (node, command) = (&order.node, &order.command);
    metrics.answered(command, &answer, clock.now().since(begun));
    match &answer {
        Answer::Done { .. } => {
            tracing::debug!(%node, ?command, "carried out");
            fault.answered(command).await;
        }
        Answer::Failed(fault) => tracing::debug!(%node, ?command, %fault, "failed"),
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use vedette_runtime::metrics::Meter;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A listener in a node's place: it accepts by itself, as a stopped server's kernel does.
    async fn node() -> (TcpListener, NodeAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, NodeAddr::new("127.0.0.1", port).unwrap())
    }

    fn order(ticket: u64, node: &NodeAddr, command: Command) -> Order {
        Order {
            ticket,
            node: node.clone(),
            command,
            credentials: None,
            not_after: None,
            limit_ms: 10_000,
            seen: None,
        }
    }

    async fn answer(inputs: &mut mpsc::Receiver<Input>) -> (u64, Answer) {
        let input = tokio::time::timeout(LIMIT, inputs.recv()).await.expect("in time");
        let Some(Input::Answer { ticket, answer }) = input else { panic!("{input:?}") };
        (ticket, answer)
    }

    fn errands(at_a_time: usize) -> (Errands, Clock, mpsc::Receiver<Input>) {
        let clock = Clock::start();
        let (answers, inputs) = mpsc::channel(16);
        let metrics = Arc::new(Metrics::new(&Meter::default()));
        let tools = Tools { clock: clock.clone(), fault: Arc::default(), metrics, tls: None };
        (Errands::new("vedette-orchestrator-o1", tools, answers, at_a_time), clock, inputs)
    }

    #[tokio::test]
    async fn an_answer_carries_its_ticket() {
        let (listener, node) = node().await;
        drop(listener);
        let (errands, _, mut inputs) = errands(AT_A_TIME);
        errands.send(order(7, &node, Command::Inspect));
        assert_eq!(answer(&mut inputs).await, (7, Answer::Failed(NodeFault::Refused)));
    }

    #[tokio::test]
    async fn after_the_lease_nothing_is_sent() {
        let (listener, node) = node().await;
        let (errands, clock, mut inputs) = errands(AT_A_TIME);
        let until = clock.now() + Duration::from_millis(50);
        errands.send(Order {
            not_after: Some(until),
            ..order(1, &node, Command::Promote { run_id: None })
        });
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut name = [0; 128];
        let read = stream.read(&mut name).await.unwrap();
        assert!(String::from_utf8_lossy(&name[..read]).contains("SETNAME"));
        clock.sleep_until(until + Duration::from_millis(1)).await;
        stream.write_all(b"+OK\r\n").await.unwrap();
        assert_eq!(answer(&mut inputs).await, (1, Answer::Failed(NodeFault::Expired)));
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"");
    }

    #[tokio::test]
    async fn who_waits_for_a_place_is_answered_within_its_own_limit() {
        let (_listener, node) = node().await;
        let (errands, _, mut inputs) = errands(1);
        errands.send(order(1, &node, Command::Inspect));
        errands.send(Order { limit_ms: 20, ..order(2, &node, Command::Inspect) });
        assert_eq!(answer(&mut inputs).await, (2, Answer::Failed(NodeFault::TimedOut)));
    }

    #[tokio::test]
    async fn a_silent_node_is_given_up_at_the_limit() {
        let (_listener, node) = node().await;
        let (errands, _, mut inputs) = errands(AT_A_TIME);
        errands.send(Order { limit_ms: 50, ..order(1, &node, Command::Promote { run_id: None }) });
        assert_eq!(answer(&mut inputs).await, (1, Answer::Failed(NodeFault::TimedOut)));
    }
}
