//! The end of a process: asked for once, polite; asked for twice, at once.

use std::io;
use std::process;
use std::sync::Arc;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A token that all parts of a process share: triggered once, never taken back.
#[derive(Debug, Clone)]
pub struct Shutdown {
    state: Arc<watch::Sender<bool>>,
}

impl Default for Shutdown {
    fn default() -> Self {
        Self::new()
    }
}

impl Shutdown {
    /// A token that nothing has triggered.
    pub fn new() -> Self {
        Self { state: Arc::new(watch::Sender::new(false)) }
    }

    /// A token that SIGTERM and SIGINT trigger; a second signal ends the process at once with
    /// 128 plus the signal's number, as a shell would report it. Needs a tokio runtime.
    ///
    /// # Errors
    /// The operating system's, if the signals cannot be caught.
    pub fn on_signals() -> io::Result<Self> {
        let token = Self::new();
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        tokio::spawn(watch_signals(token.clone(), terminate, interrupt));
        Ok(token)
    }

    /// Asks everybody to finish. `why` is logged the first time.
    pub fn trigger(&self, why: &str) {
        let first = self.state.send_if_modified(|done| !std::mem::replace(done, true));
        if first {
            tracing::info!(from = "running", to = "stopping", cause = why, "stopping");
        }
    }

    /// Whether it was triggered.
    pub fn is_triggered(&self) -> bool {
        *self.state.borrow()
    }

    /// Waits until it is triggered; at once if it was before.
    pub async fn triggered(&self) {
        let mut receiver = self.state.subscribe();
        // The sender lives in self, so that waiting cannot fail.
        let _ = receiver.wait_for(|done| *done).await;
    }
}

async fn watch_signals(token: Shutdown, mut terminate: Signal, mut interrupt: Signal) {
    loop {
        let (name, number) = tokio::select! {
            _ = terminate.recv() => ("SIGTERM", SignalKind::terminate().as_raw_value()),
            _ = interrupt.recv() => ("SIGINT", SignalKind::interrupt().as_raw_value()),
        };
        if token.is_triggered() {
            tracing::info!(signal = name, "exiting at once: asked a second time");
            process::exit(128 + number);
        }
        token.trigger(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_hears_it_also_afterwards() {
        let token = Shutdown::new();
        let clone = token.clone();
        let waiting = tokio::spawn(async move { clone.triggered().await });
        assert!(!token.is_triggered());
        token.trigger("test");
        waiting.await.unwrap();
        token.triggered().await;
        assert!(token.clone().is_triggered());
    }
}
