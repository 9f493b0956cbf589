//! What is waited for, on standard error: people must see that something goes on.

use std::io::{self, IsTerminal as _, Write as _};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::interval;

/// What takes less is not worth a word; then it is said again so often.
const EVERY: Duration = Duration::from_secs(1);

static WANTED: AtomicBool = AtomicBool::new(false);

/// Has it shown also where standard error is no terminal.
pub fn want() {
    WANTED.store(true, Ordering::Relaxed);
}

/// Says what is waited for, and for how many seconds, until the work is done.
pub async fn during<T>(what: &str, work: impl Future<Output = T>) -> T {
    let terminal = io::stderr().is_terminal();
    if !terminal && !WANTED.load(Ordering::Relaxed) {
        return work.await;
    }
    let mut work = pin!(work);
    let mut tick = interval(EVERY);
    let mut seconds = 0_u32;
    loop {
        tokio::select! {
            biased;
            done = &mut work => {
                if terminal && seconds > 1 {
                    put("\r\u{1b}[K");
                }
                return done;
            }
            // The first comes at once.
            _ = tick.tick() => {
                if seconds > 0 {
                    let text = format!("waiting for {what}: {seconds} s");
                    put(&if terminal { format!("\r\u{1b}[K{text}") } else { format!("{text}\n") });
                }
                seconds += 1;
            }
        }
    }
}

fn put(text: &str) {
    // Nothing is left to tell anybody if standard error is closed.
    let mut err = io::stderr().lock();
    let _ = err.write_all(text.as_bytes()).and_then(|()| err.flush());
}
