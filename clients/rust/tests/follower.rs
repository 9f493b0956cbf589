//! The connection that follows, with real nodes and an orchestrator that the test plays.

mod support;

use anyhow::{Context, Result, ensure};
use redis::{AsyncCommands, ErrorKind, IntoConnectionInfo, RedisResult, ServerErrorKind};
use std::time::Duration;
use support::{Orchestrator, announce, server};
use tempfile::TempDir;
use vedette_client::{Follower, Limits, Masters};
use vedette_harness::{LIMIT, NatsServer, Node, now, within};

/// Less than the 5 s after which it is asked anyhow.
const SOON: Duration = Duration::from_secs(3);
const PASSWORD: &str = "sesame";

struct Scene {
    nats: NatsServer,
    /// A master and its replica.
    nodes: Vec<Node>,
    orchestrator: Orchestrator,
    follower: Follower,
    _folder: TempDir,
}

impl Scene {
    /// The orchestrator says that this node is master.
    async fn start(master: usize, limits: Limits) -> Result<Self> {
        let (nats, folder) = server(&[]).await?;
        let nodes = Node::start_group(1, folder.path(), Some(PASSWORD)).await?;
        let orchestrator = Orchestrator::start(&nats).await?;
        orchestrator.says(Some((1, 1, nodes[master].addr().port())));
        let client = vedette_client::connect(nats.url()).await?;
        let masters = Masters::watch(client, "vedette", "orders.eu").await?;
        let login = "redis://nobody.invalid:1/3".into_connection_info()?;
        let settings = login.redis_settings().clone().set_password(PASSWORD);
        let follower = Follower::start(masters, login.set_redis_settings(settings), limits);
        Ok(Self { nats, nodes, orchestrator, follower, _folder: folder })
    }

    fn port(&self, node: usize) -> u16 {
        self.nodes[node].addr().port()
    }
}

#[tokio::test]
async fn login_and_database_are_those_of_the_template() -> Result<()> {
    let mut scene = Scene::start(0, Limits::default()).await?;
    let _: () = scene.follower.set("k", 1).await?;
    let keys = scene.nodes[0].info("keyspace").await?;
    ensure!(keys.contains_key("db3"), "{keys:?}");
    ensure!(redis::aio::ConnectionLike::get_db(&scene.follower) == 3);
    Ok(())
}

#[tokio::test]
async fn readonly_is_an_error_and_a_question_and_the_next_command_finds_the_master() -> Result<()> {
    let mut scene = Scene::start(1, Limits::default()).await?;
    let mut pipe = redis::pipe();
    pipe.atomic().set("a", 1).set("b", 2);
    for attempt in 0..3 {
        let asked = scene.orchestrator.asked();
        // One alone, in a pipeline and in a transaction.
        let refused: RedisResult<()> = match attempt {
            0 => scene.follower.set("k", 1).await,
            1 => redis::pipe().get("a").set("b", 2).query_async(&mut scene.follower).await,
            _ => pipe.query_async(&mut scene.follower).await,
        };
        let error = refused.err().context("a replica takes no writes")?;
        let kind = if attempt < 2 { ServerErrorKind::ReadOnly } else { ServerErrorKind::ExecAbort };
        ensure!(error.kind() == ErrorKind::Server(kind), "attempt {attempt}: {error}");
        within(SOON, "a question", async || (scene.orchestrator.asked() > asked).then_some(()))
            .await?;
    }
    scene.orchestrator.says(Some((2, 4, scene.port(0))));
    let write: RedisResult<()> = scene.follower.set("k", 2).await;
    if write.is_err() {
        let mut follower = scene.follower.clone();
        within(LIMIT, "a write on the master", async || {
            let write: RedisResult<()> = follower.set("k", 2).await;
            write.ok()
        })
        .await?;
    }
    ensure!(scene.follower.present().is_some_and(|master| master.epoch.0 == 2));
    Ok(())
}

#[tokio::test]
async fn a_command_under_way_fails_when_the_master_changes_and_is_not_repeated() -> Result<()> {
    let limits = Limits { answer: LIMIT * 2, ..Limits::default() };
    let mut scene = Scene::start(0, limits).await?;
    let _: u64 = scene.follower.incr("count", 1).await?;
    let received: u64 = redis::cmd("WAIT").arg(1).arg(0).query_async(&mut scene.follower).await?;
    ensure!(received == 1);
    scene.nodes[0].stop()?;
    let mut other = scene.follower.clone();
    let hanging = tokio::spawn(async move { other.incr::<_, _, u64>("count", 1).await });
    let promoted: String = scene.nodes[1].command(&["REPLICAOF", "NO", "ONE"]).await?;
    ensure!(promoted == "OK");
    let since = now();
    announce(&scene.nats, (2, 4, scene.port(1))).await?;
    let outcome = tokio::time::timeout(LIMIT, hanging).await.context("it hangs")??;
    let error = outcome.err().context("the stopped node cannot have answered")?;
    ensure!(error.is_io_error(), "{error}");
    let count: u64 = scene.follower.incr("count", 10).await?;
    ensure!(count == 11, "one before the change and ten after it, not {count}");
    ensure!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    scene.nodes[0].cont()?;
    Ok(())
}

#[tokio::test]
async fn a_command_waits_for_a_master_and_no_longer_than_it_may() -> Result<()> {
    let limits = Limits { wait: Duration::from_millis(300), ..Limits::default() };
    let mut scene = Scene::start(0, limits).await?;
    let _: () = scene.follower.set("k", 1).await?;
    scene.nodes[0].kill9()?;
    let mut follower = scene.follower.clone();
    let error = within(LIMIT, "an error that says that it waited", async || {
        let write: RedisResult<()> = follower.set("k", 2).await;
        write.err().filter(|error| error.is_timeout() && error.to_string().contains("nothing was"))
    })
    .await?;
    ensure!(error.is_io_error());
    scene.nodes[0].start()?;
    within(LIMIT, "a write on the same master again", async || {
        let write: RedisResult<()> = follower.set("k", 3).await;
        write.ok()
    })
    .await?;
    Ok(())
}
