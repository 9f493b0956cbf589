//! The master hangs, its sockets stay open. `VEDETTE_SECONDS=60` in the environment leaves it so
//! for longer.

use anyhow::{Context, Result, ensure};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, Node, Plan, System, now, pick, stays, until, within};
use vedette_live::{finish, ms, seconds, switched, tell, writing};
use vedette_model::EventName;

#[tokio::test]
async fn silence_is_death_after_down_after_and_the_woken_master_is_demoted() -> Result<()> {
    let plan = Plan::default();
    let down_after = Duration::from_millis(plan.down_after_ms);
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down"]);
    let old = system.master();
    let writer = writing(&system).await?;
    // A client that does not follow anything and would go on with the old master.
    let mut client = TcpStream::connect((old.host(), old.port())).await?;
    let mark = system.watcher.mark();

    let stopped = system.nodes[0].stop()?;
    let switch = switched(&system, &writer, mark, &old, stopped).await?;
    let new = switch.master.master.clone();
    tell(&format!(
        "SIGSTOP to announcement {:.0} ms, down_after {down_after:?}",
        ms(stopped, switch.announced)
    ));
    // From the first unanswered ping on, which may have been sent a moment before the stop.
    ensure!(switch.announced > stopped + down_after * 8 / 10, "too early");

    system.nodes[0].cont()?;
    system.all_follow(&new).await?;
    let end = tokio::time::timeout(LIMIT, client.read(&mut [0; 16])).await?;
    ensure!(matches!(end, Ok(0) | Err(_)), "the old master kept its client: {end:?}");
    finish(system, writer, &new).await
}

/// A client that writes to one node, whoever is master, and notes when it was acknowledged.
struct Stubborn {
    acknowledged: Arc<Mutex<Vec<Instant>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Stubborn {
    fn start(node: &Node) -> Result<Self> {
        let (client, acknowledged) = (node.client()?, Arc::<Mutex<Vec<Instant>>>::default());
        let log = acknowledged.clone();
        let patience = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(Some(Duration::from_millis(200)))
            .set_response_timeout(Some(Duration::from_millis(200)));
        let task = tokio::spawn(async move {
            loop {
                let connection = client.get_multiplexed_async_connection_with_config(&patience);
                let Ok(mut connection) = connection.await else { continue };
                let set = redis::cmd("SET").arg("stubborn").arg(1).to_owned();
                while set.query_async::<String>(&mut connection).await.is_ok() {
                    log.lock().unwrap_or_else(PoisonError::into_inner).push(now());
                }
                until(now() + Duration::from_millis(2)).await;
            }
        });
        Ok(Self { acknowledged, task })
    }

    fn since(&self, at: Instant) -> Vec<Instant> {
        let all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|acknowledged| **acknowledged > at).copied().collect()
    }
}

/// What a woken master took is said when it is demoted: not fewer bytes than its writes have.
async fn told_to_give_up(system: &System, mark: usize, writes: usize) -> Result<()> {
    let demoted = |fact: &_| pick::event(fact, EventName::ConvertToSlave).cloned();
    let what = "the woken master is demoted";
    let (_, event) = system.watcher.wait(mark, LIMIT, what, demoted).await?;
    let bytes =
        event.cause.split_once("gives up the ").and_then(|(_, rest)| rest.split_once(" bytes"));
    let bytes: usize = bytes.with_context(|| event.cause.clone())?.0.parse()?;
    // `SET stubborn 1` is longer than this.
    ensure!(bytes >= writes * 20, "{writes} writes, and it says: {}", event.cause);
    Ok(())
}

/// How a master comes to hang.
#[derive(Clone, Copy, Debug)]
enum Hang {
    /// `SIGSTOP`.
    Signal,
    /// `DEBUG SLEEP`: it wakes by itself.
    Sleep,
}

impl Hang {
    fn begin(self, node: &Node, span: Duration) -> Result<Instant> {
        let began = match self {
            Self::Signal => node.stop()?,
            Self::Sleep => {
                let (client, at) = (node.client()?, now());
                tokio::spawn(async move {
                    let mut connection = client.get_multiplexed_async_connection().await?;
                    let mut sleep = redis::cmd("DEBUG");
                    sleep.arg("SLEEP").arg(span.as_secs_f64());
                    // Nobody waits for its answer.
                    sleep.query_async::<()>(&mut connection).await
                });
                at
            }
        };
        Ok(began)
    }

    async fn end(self, node: &Node, began: Instant, span: Duration) -> Result<Instant> {
        match self {
            Self::Signal => {
                until(began + span).await;
                node.cont()
            }
            Self::Sleep => {
                let limit = (began + span + LIMIT).saturating_duration_since(now());
                within(limit, "it wakes", async || {
                    node.command::<String>(&["PING"]).await.ok().map(|_| now())
                })
                .await
            }
        }
    }
}

/// Makes the master hang under load for a good while, and counts what it still takes afterwards.
async fn hangs(how: Hang) -> Result<()> {
    let span = seconds(12)?;
    let plan = Plan { node_lines: vec!["enable-debug-command yes".into()], ..Plan::default() };
    let down_after = Duration::from_millis(plan.down_after_ms);
    let mut system = System::start(plan).await?;
    system.announce(&["sdown", "odown", "down"]);
    let (old, writer) = (system.master(), writing(&system).await?);
    let stubborn = Stubborn::start(&system.nodes[0])?;
    let mark = system.watcher.mark();
    let load = now();
    stays(Duration::from_millis(500), async || Ok(())).await?;
    ensure!(!stubborn.since(load).is_empty(), "the stubborn one writes");

    let stopped = how.begin(&system.nodes[0], span)?;
    let switch = switched(&system, &writer, mark, &old, stopped).await?;
    let took = ms(stopped, switch.announced);
    ensure!(took <= ms(stopped, stopped + down_after) + 1_000.0, "announced after {took:.0} ms");

    let new = switch.master.master.clone();
    let woken = how.end(&system.nodes[0], stopped, span).await?;
    system.all_follow(&new).await?;
    stays((woken + Duration::from_secs(2)).saturating_duration_since(now()), async || Ok(()))
        .await?;
    let late = stubborn.since(woken);
    let last = late.last().map_or(0.0, |at| ms(woken, *at));
    tell(&format!(
        "{how:?} for {span:?}: announced after {took:.0} ms; woken it took {} writes, the last \
         after {last:.0} ms",
        late.len()
    ));
    ensure!(last <= 1_000.0, "the woken master took writes for {last:.0} ms");
    stubborn.task.abort();
    told_to_give_up(&system, mark, late.len()).await?;

    // What the former master acknowledged in time and the new one lacks is within the bound: no
    // more bytes than are stated, or it came after the master was last asked.
    let bound = switch.master.loss;
    let lost = writer.missing_on(system.node(&new)?).await?;
    let age = bound.as_of_ms.context("the master had been asked")?;
    let (age, slack) = (Duration::from_millis(age), Duration::from_millis(500));
    let known_lost = lost.iter().filter(|write| write.at + age + slack < switch.announced).count();
    // `SET seq:<number> <number>` is longer than this.
    let stated = bound.bytes.context("its offset was known")? / 30;
    ensure!(
        u64::try_from(known_lost)? <= stated,
        "{} writes are lost, {known_lost} of them before the time of doubt: {bound:?}",
        lost.len()
    );
    finish(system, writer, &new).await
}

#[tokio::test]
async fn a_master_frozen_under_load_takes_next_to_nothing_when_it_wakes() -> Result<()> {
    hangs(Hang::Signal).await
}

#[tokio::test]
async fn nor_does_one_that_slept_by_itself() -> Result<()> {
    hangs(Hang::Sleep).await
}
