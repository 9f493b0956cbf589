//! The history: a stream of JetStream that keeps what led to each decision, by its subjects alone.
//! Whoever says something says it as ever and waits for nobody; while JetStream is away, what is
//! said is missing, and those who notice leave a mark.

mod read;
mod stream;

pub use read::{Kept, Past, What, newest, past};

use crate::Clock;
use crate::bus::Bus;
use crate::config::HistoryConfig;
use crate::retained::RetainedError;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use stream::{Opened, Shelf};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How often it is looked whether the stream is there: no gap that is longer is overlooked.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The same while it is not.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A time in which somebody could not reach the history: what was said then may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gap {
    /// Who could not, as `service/id`.
    pub by: String,
    /// When it was last seen to be there, in milliseconds since 1970 by that process's clock.
    pub from_ms: u64,
    /// When it was there again.
    pub to_ms: u64,
}

/// Keeps the stream in being until it is dropped.
#[derive(Debug)]
pub struct Historian {
    task: AbortHandle,
    reached: watch::Receiver<bool>,
}

impl Historian {
    /// Starts the task that makes the stream and looks after it. Nothing waits for it.
    pub fn spawn(bus: &Bus, config: &HistoryConfig) -> Self {
        let by = bus.sender().to_string();
        let (tell, reached) = watch::channel(false);
        let task = tokio::spawn(look_after(Shelf::new(bus, config), by, Clock::start(), tell));
        Self { task: task.abort_handle(), reached }
    }

    /// Whether the stream was there when it was last looked for.
    pub fn is_reached(&self) -> bool {
        *self.reached.borrow()
    }

    /// The same, for looking at it later.
    pub fn watch(&self) -> watch::Receiver<bool> {
        self.reached.clone()
    }
}

impl Drop for Historian {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn look_after(shelf: Shelf, by: String, clock: Clock, tell: watch::Sender<bool>) {
    // When it was last seen to be there; what was before this process began is not its to say.
    let mut seen_ms = clock.unix_ms();
    let mut away = false;
    let mut said = false;
    let mut configured = false;
    loop {
        let outcome = if configured { shelf.look().await } else { shelf.open().await };
        let outcome = match outcome {
            Ok(Opened::Found) if away => {
                let gap = Gap { by: by.clone(), from_ms: seen_ms, to_ms: clock.unix_ms() };
                shelf.mark(&gap).await
            }
            Ok(Opened::Found | Opened::Made) => Ok(()),
            Err(error) => Err(error),
        };
        tell.send_replace(outcome.is_ok());
        match outcome {
            Ok(()) => {
                if std::mem::take(&mut said) {
                    tracing::info!(from = "refused", to = "kept", "the history is kept again");
                }
                (away, configured) = (false, true);
                seen_ms = clock.unix_ms();
                clock.sleep(LOOK_EVERY).await;
            }
            Err(error) => {
                // That JetStream is away is said by whoever retains the masters.
                let refused = matches!(error, RetainedError::Refused(_));
                if refused && !std::mem::replace(&mut said, true) {
                    tracing::warn!(
                        from = "kept", to = "refused", cause = %error,
                        "no history is kept; failovers go on without"
                    );
                } else {
                    tracing::debug!(%error, "the history cannot be reached");
                }
                (away, configured) = (true, false);
                clock.sleep(LOOK_AGAIN).await;
            }
        }
    }
}
