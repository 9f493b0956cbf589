//! Waiting: the only place of all tests that sleeps or reads a clock.
#![allow(
    clippy::disallowed_methods,
    reason = "everybody else waits for a condition through this file"
)]

use anyhow::{Result, bail};
use std::time::{Duration, Instant};

/// Between two looks at a condition.
const STEP: Duration = Duration::from_millis(5);

/// The tests' one clock: what happens on different processes is ordered by when it is seen here.
pub fn now() -> Instant {
    Instant::now()
}

/// Looks again and again until the condition gives a value.
///
/// # Errors
/// If it gave none within the limit; the error names what was waited for.
pub async fn within<T>(
    limit: Duration,
    what: &str,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> Result<T> {
    let wait = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(STEP).await;
        }
    };
    match tokio::time::timeout(limit, wait).await {
        Ok(value) => Ok(value),
        Err(_) => bail!("not within {limit:?}: {what}"),
    }
}

/// Looks again and again over a whole span: for what must *not* happen.
///
/// # Errors
/// The condition's own, at the first look at which it does not hold.
pub async fn stays(span: Duration, mut condition: impl AsyncFnMut() -> Result<()>) -> Result<()> {
    let end = Instant::now() + span;
    while Instant::now() < end {
        condition().await?;
        tokio::time::sleep(STEP * 4).await;
    }
    condition().await
}

/// Until a moment of a schedule.
pub async fn until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}

/// A writer's rest between two writes or two attempts.
pub(crate) async fn rest(span: Duration) {
    tokio::time::sleep(span).await;
}
