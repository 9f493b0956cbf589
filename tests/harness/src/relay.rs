//! A detour on which messages are late, or which is cut.

use crate::wait::{now, until};
use anyhow::Result;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Chunks under way in one direction.
const UNDER_WAY: usize = 4_096;

/// Passes bytes on to a server, each chunk late by any time up to a limit, in order. Ends on drop.
pub struct Relay {
    at: SocketAddr,
    limit: watch::Sender<Duration>,
    cut: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Starts one that delays nothing yet.
    ///
    /// # Errors
    /// If it cannot listen.
    pub async fn start(to: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind((to.ip(), 0)).await?;
        let at = listener.local_addr()?;
        let (limit, limits) = watch::channel(Duration::ZERO);
        let (cut, cuts) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((from, _)) = listener.accept().await {
                let (limits, mut cuts) = (limits.clone(), cuts.clone());
                tokio::spawn(async move {
                    let Ok(to) = TcpStream::connect(to).await else { return };
                    let ((from, back), (answers, to)) = (from.into_split(), to.into_split());
                    // Whoever ends first ends the connection.
                    tokio::select! {
                        () = pass(from, to, limits.clone()) => {}
                        () = pass(answers, back, limits.clone()) => {}
                        _ = cuts.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Ok(Self { at, limit, cut, task })
    }

    /// Where it listens.
    pub const fn at(&self) -> SocketAddr {
        self.at
    }

    /// From now on each chunk is late by up to this; if by nothing, what is under way arrives.
    pub fn delay(&self, limit: Duration) {
        self.limit.send_replace(limit);
    }

    /// Whether all connections are closed, and new ones as soon as they are made.
    pub fn cut(&self, cut: bool) {
        self.cut.send_replace(cut);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, limit: watch::Receiver<Duration>) {
    let mut hurry = limit.clone();
    let (tell, mut hear) = mpsc::channel::<(Instant, Vec<u8>)>(UNDER_WAY);
    let read = async move {
        let (mut last, mut buffer, mut count) = (now(), vec![0; 65_536], 0_u64);
        while let Ok(length) = from.read(&mut buffer).await {
            // Any number does, as long as it is another one each time.
            count = count.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let late = limit.borrow().mul_f64((count >> 32) as f64 / f64::from(u32::MAX));
            last = last.max(now() + late);
            let end = length == 0;
            if tell.send((last, buffer[..length].to_vec())).await.is_err() || end {
                return;
            }
        }
    };
    let write = async {
        while let Some((due, bytes)) = hear.recv().await {
            tokio::select! {
                () = until(due) => {}
                // Closed or zero: either way at once.
                _ = hurry.wait_for(Duration::is_zero) => {}
            }
            if bytes.is_empty() || to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    };
    tokio::join!(read, write);
}
