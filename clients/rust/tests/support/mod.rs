//! An orchestrator as far as applications see it.
#![allow(dead_code, reason = "each test file uses a part")]

use anyhow::{Context, Result};
use async_nats::jetstream::{self, kv};
use futures::StreamExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vedette_client::Masters;
use vedette_harness::{LIMIT, NatsServer, within};

/// Where `orders.eu` is announced.
pub const SUBJECT: &str = "vedette.v1.master.orders=2Eeu";
const QUESTION: &str = "vedette.v1.ask.master.orders=2Eeu";

const WHOLE: &str = "nobody panics while holding it";

/// Epoch, revision and port of a master on loopback.
pub type Said = (u64, u64, u16);

/// A nats-server in a folder of its own.
pub async fn server(arguments: &[&str]) -> Result<(NatsServer, TempDir)> {
    let folder = tempfile::tempdir()?;
    Ok((NatsServer::start_with(arguments, folder.path()).await?, folder))
}

/// The record as JSON, as `docs/protocol.md` says.
pub fn record((epoch, revision, port): Said) -> String {
    format!(
        "{{\"schema\":1,\"group\":\"orders.eu\",\"epoch\":{epoch},\"revision\":{revision},\
         \"master\":\"127.0.0.1:{port}\",\"host\":\"127.0.0.1\",\"port\":{port},\
         \"previous\":null,\"reason\":\"failover\",\"loss\":{{\"bytes\":null,\"as_of_ms\":null}},\
         \"trace_id\":\"29867b1cf572cf05bb979b81c44452e3\"}}"
    )
}

/// Publishes a record.
pub async fn announce(nats: &NatsServer, said: Said) -> Result<()> {
    let client = nats.client().await?;
    client.publish(SUBJECT, record(said).into()).await?;
    Ok(client.flush().await?)
}

/// Keeps a record in the bucket.
pub async fn retain(nats: &NatsServer, said: Said) -> Result<()> {
    let context = jetstream::new(nats.client().await?);
    let config = kv::Config { bucket: "vedette-masters".into(), ..kv::Config::default() };
    let store = context.create_key_value(config).await?;
    store.put("orders=2Eeu", record(said).into()).await?;
    Ok(())
}

/// Epoch and port of the next master.
pub async fn next(masters: &mut Masters) -> Result<(u64, u16)> {
    let next = timeout(LIMIT, masters.next()).await.context("no master came")?;
    let master = next.context("the stream ended")?;
    Ok((master.epoch.0, master.port))
}

/// Answers questions, or is silent.
pub struct Orchestrator {
    answer: Arc<Mutex<Option<Said>>>,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Orchestrator {
    /// Starts silent.
    pub async fn start(nats: &NatsServer) -> Result<Self> {
        let client = nats.client().await?;
        let mut questions = client.subscribe(QUESTION).await?;
        client.flush().await?;
        let answer = Arc::new(Mutex::new(None));
        let asked = Arc::new(AtomicUsize::new(0));
        let (said, count) = (Arc::clone(&answer), Arc::clone(&asked));
        let task = tokio::spawn(async move {
            while let Some(question) = questions.next().await {
                count.fetch_add(1, Ordering::SeqCst);
                let said: Option<Said> = *said.lock().expect(WHOLE);
                if let (Some(said), Some(reply)) = (said, question.reply) {
                    client.publish(reply, record(said).into()).await.expect("the client is open");
                }
            }
        });
        Ok(Self { answer, asked, task })
    }

    /// From now on.
    pub fn says(&self, said: Option<Said>) {
        *self.answer.lock().expect(WHOLE) = said;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Waits for one more question.
    pub async fn is_asked(&self) -> Result<()> {
        let before = self.asked();
        within(LIMIT, "a question", async || (self.asked() > before).then_some(())).await
    }
}

impl Drop for Orchestrator {
    fn drop(&mut self) {
        self.task.abort();
    }
}
