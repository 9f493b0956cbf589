//! Lets clients in while the view is fresh, and none otherwise.

use crate::commands::Answers;
use crate::metrics::Turned;
use crate::session::{self, Ends, LOGIN_LIMIT};
use anyhow::Context as _;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use vedette_runtime::Shutdown;
use vedette_runtime::tls::Tls;

/// Between two attempts at the port, or at a client.
const TAKE_AGAIN: Duration = Duration::from_millis(100);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// A port that is held, and what is spoken on it.
pub struct Port {
    at: SocketAddr,
    socket: TcpSocket,
    tls: Option<Arc<Tls>>,
}

impl Port {
    /// Takes the port without listening: connecting is refused, and no other process can have it.
    ///
    /// # Errors
    /// If another process has it.
    pub fn take(at: SocketAddr, tls: Option<Arc<Tls>>) -> std::io::Result<Self> {
        let socket = bind(at)?;
        Ok(Self { at: socket.local_addr()?, socket, tls })
    }

    /// Where it is.
    pub const fn at(&self) -> SocketAddr {
        self.at
    }

    fn listen(self) -> anyhow::Result<Open> {
        let Self { at, socket, tls } = self;
        let listener = socket.listen(BACKLOG).with_context(|| format!("listening on {at}"))?;
        Ok(Open { at, listener, tls })
    }
}

fn bind(at: SocketAddr) -> std::io::Result<TcpSocket> {
    let socket = if at.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the time before may linger; a process that listens is in the way all the same.
    socket.set_reuseaddr(true)?;
    socket.bind(at)?;
    Ok(socket)
}

/// A port that clients may connect to.
struct Open {
    at: SocketAddr,
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
}

/// Keeps the door until shutdown. The ports are held all the time, and listened on while the door
/// is open.
///
/// # Errors
/// If a port cannot be listened on.
pub async fn keep(
    mut ports: Vec<Port>,
    answers: Arc<Answers>,
    mut is_open: watch::Receiver<bool>,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    loop {
        tokio::select! {
            biased;
            () = shutdown.triggered() => return Ok(()),
            // The machine ends with the shutdown, and may be seen to first.
            open = is_open.wait_for(|open| *open) => if open.is_err() { return Ok(()) },
        }
        let open: Vec<Open> = ports.into_iter().map(Port::listen).collect::<Result<_, _>>()?;
        let at: Vec<String> = open.iter().map(|open| open.at.to_string()).collect();
        let at = at.join(", ");
        tracing::info!(at, "the view is fresh: clients are served");
        let mut sessions = JoinSet::new();
        tokio::select! {
            biased;
            () = shutdown.triggered() => return Ok(()),
            shut = is_open.wait_for(|open| !*open) => if shut.is_err() { return Ok(()) },
            () = admit(&open, &answers, &mut sessions) => {}
        }
        let again: Vec<_> = open.into_iter().map(|open| (open.at, open.tls)).collect();
        let served = sessions.len();
        sessions.shutdown().await;
        tracing::warn!(
            at,
            served,
            "too few voters answer to know who is master: clients are turned away to other gateways"
        );
        ports = Vec::new();
        for (at, tls) in again {
            let port = tokio::select! {
                biased;
                () = shutdown.triggered() => return Ok(()),
                port = retake(at, tls, &answers) => port,
            };
            ports.push(port);
        }
    }
}

/// Takes the port again, right after it was let go.
async fn retake(at: SocketAddr, tls: Option<Arc<Tls>>, answers: &Answers) -> Port {
    loop {
        match Port::take(at, tls.clone()) {
            Ok(port) => return port,
            Err(error) => tracing::warn!(%error, %at, "the port cannot be had; it is tried again"),
        }
        answers.rest(TAKE_AGAIN).await;
    }
}

/// Accepts for ever.
async fn admit(open: &[Open], answers: &Arc<Answers>, sessions: &mut JoinSet<()>) {
    let places = Arc::new(Semaphore::new(answers.config().max_clients));
    loop {
        while sessions.try_join_next().is_some() {}
        let next = poll_fn(|context| {
            for port in open {
                if let Poll::Ready(accepted) = port.listener.poll_accept(context) {
                    return Poll::Ready((port, accepted));
                }
            }
            Poll::Pending
        });
        let (port, accepted) = next.await;
        let (stream, from) = match accepted {
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
            if port.tls.is_none() {
                sessions.spawn(turn_away(stream));
            }
            continue;
        };
        // A small reply is not to wait for another.
        let _ = stream.set_nodelay(true);
        let ends = Ends { from, to: stream.local_addr().unwrap_or(port.at) };
        let (answers, tls) = (Arc::clone(answers), port.tls.clone());
        sessions.spawn(async move {
            match tls {
                None => {
                    session::serve(stream, ends, answers).await;
                }
                Some(tls) => encrypted(stream, ends, answers, &tls).await,
            }
            drop(place);
        });
    }
}

/// Serves a client after its handshake, which must not take long.
pub async fn encrypted<S>(stream: S, ends: Ends, answers: Arc<Answers>, tls: &Tls)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let shaken = tokio::time::timeout(LOGIN_LIMIT, tls.acceptor().accept(stream)).await;
    match shaken {
        Ok(Ok(stream)) => {
            session::serve(stream, ends, answers).await;
        }
        Ok(Err(error)) => {
            answers.metrics().turned(Turned::Handshake);
            tracing::debug!(%error, from = %ends.from, "a TLS handshake failed");
        }
        Err(_) => answers.metrics().turned(Turned::Handshake),
    }
}

async fn turn_away(mut stream: TcpStream) {
    let refusal = b"-ERR max number of clients reached\r\n";
    // It may be gone already.
    let _ = tokio::time::timeout(TAKE_AGAIN, stream.write_all(refusal)).await;
}

#[cfg(test)]
mod tests;
