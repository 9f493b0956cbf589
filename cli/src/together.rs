//! Several services as tasks of this process.

use anyhow::Context;
use std::future::Future;
use std::time::Duration;
use tokio::task::JoinSet;
use tracing::Instrument;
use vedette_runtime::Shutdown;

/// For all services to end.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);

/// Services that run.
#[derive(Default)]
pub struct Together {
    tasks: JoinSet<(String, anyhow::Result<()>)>,
}

impl Together {
    /// Starts one; `name` is for errors and the log.
    pub fn spawn(
        &mut self,
        name: &str,
        run: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        // For the log alone: a span as long as the process would tell a trace nothing.
        let span = tracing::info_span!(target: "up", "in", service = name);
        let name = name.to_owned();
        self.tasks.spawn(async move { (name, run.await) }.instrument(span));
    }

    /// Waits for shutdown, or for the first part that fails, and ends the rest. `beside` is one more
    /// part, which ends by failing only.
    ///
    /// # Errors
    /// Why a part failed.
    pub async fn run(
        mut self,
        beside: impl Future<Output = anyhow::Error>,
        shutdown: &Shutdown,
    ) -> anyhow::Result<()> {
        let outcome = tokio::select! {
            biased;
            () = shutdown.triggered() => Ok(()),
            ended = self.tasks.join_next() => ended.map_or(Ok(()), |ended| {
                let (name, outcome) = ended.context("a service panicked")?;
                outcome.with_context(|| format!("{name} failed"))?;
                // A service may have heard of the shutdown and ended before this task looked again.
                anyhow::ensure!(shutdown.is_triggered(), "{name} ended without being asked to");
                Ok(())
            }),
            error = beside => Err(error),
        };
        if outcome.is_err() {
            shutdown.trigger("a part of the system failed");
        }
        let rest = async {
            while let Some(ended) = self.tasks.join_next().await {
                if let Ok((name, Err(error))) = ended {
                    tracing::debug!(name, error = format!("{error:#}"), "ended");
                }
            }
        };
        if tokio::time::timeout(DRAIN_LIMIT, rest).await.is_err() {
            tracing::warn!("not all services ended in time: they are left where they are");
        }
        outcome
    }
}
