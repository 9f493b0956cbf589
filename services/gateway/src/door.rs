//! Lets clients in while the view is fresh, and none otherwise.

use crate::commands::Answers;
use crate::metrics::Turned;
use crate::session::{self, Told};
use anyhow::Context as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::task::JoinSet;
use vedette_runtime::Shutdown;

/// Between two attempts at the port, or at a client.
const TAKE_AGAIN: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// Takes the port without listening: connecting is refused, and no other process can have it.
///
/// # Errors
/// If another process has it.
pub fn bind(at: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the time before may linger; a process that listens is in the way all the same.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    Ok(socket)
}

/// Keeps the door until shutdown. The port is held all the time, and listened on while the door is
/// open.
///
/// # Errors
/// If the port cannot be listened on.
pub async fn keep(
    mut socket: TcpSocket,
    answers: Arc<Answers>,
    tell: broadcast::Sender<Told>,
    mut is_open: watch::Receiver<bool>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let at = socket.local_addr()?;
    loop {
        tokio::select! {
            biased;
            () = shutdown.triggered() => return Ok(()),
            // The machine ends with the shutdown, and may be seen to first.
            open = is_open.wait_for(|open| *open) => if open.is_err() { return Ok(()) },
        }
        let listener = socket.listen(BACKLOG).with_context(|| format!("listening on {at}"))?;
        tracing::info!(%at, "the view is fresh: clients are served");
        let mut sessions = JoinSet::new();
        tokio::select! {
            biased;
            () = shutdown.triggered() => return Ok(()),
            shut = is_open.wait_for(|open| !*open) => if shut.is_err() { return Ok(()) },
            () = admit(&listener, &answers, &tell, &mut sessions) => {}
        }
        drop(listener);
        let served = sessions.len();
        sessions.shutdown().await;
        tracing::warn!(
            %at,
            served,
            "too few voters answer to know who is master: clients are turned away to other gateways"
        );
        socket = tokio::select! {
            biased;
            () = shutdown.triggered() => return Ok(()),
            socket = again(at, &answers) => socket,
        };
    }
}

/// Takes the port again, right after it was let go.
async fn again(at: SocketAddr, answers: &Answers) -> TcpSocket {
    loop {
        match bind(at) {
            Ok(socket) => return socket,
            Err(error) => tracing::warn!(%error, %at, "the port cannot be had; it is tried again"),
        }
        answers.rest(TAKE_AGAIN).await;
    }
}

/// Accepts for ever.
async fn admit(
    listener: &TcpListener,
    answers: &Arc<Answers>,
    tell: &broadcast::Sender<Told>,
    sessions: &mut JoinSet<()>,
) {
    let places = Arc::new(Semaphore::new(answers.config().max_clients));
    loop {
        while sessions.try_join_next().is_some() {}
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted; raise the file limit?");
                answers.rest(TAKE_AGAIN).await;
                continue;
            }
        };
        answers.metrics().connections.inc();
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            answers.metrics().turned(Turned::Full);
            sessions.spawn(turn_away(stream));
            continue;
        };
        let (answers, told) = (Arc::clone(answers), tell.subscribe());
        sessions.spawn(async move {
            session::serve(stream, from, answers, told).await;
            drop(place);
        });
    }
}

async fn turn_away(mut stream: TcpStream) {
    let refusal = b"-ERR max number of clients reached\r\n";
    // It may be gone already.
    let _ = tokio::time::timeout(TAKE_AGAIN, stream.write_all(refusal)).await;
}
