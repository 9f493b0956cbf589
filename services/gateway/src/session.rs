//! One client's connection.

use crate::commands::{Answers, Client, Next};
use crate::metrics::Left;
use crate::reply::Reply;
use crate::request;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::broadcast::error::RecvError;
use vedette_model::Instant;

/// Replies are sent when so many bytes wait, also if more requests do.
const SEND_AT: usize = 65_536;
/// A client that does not read is given up after this.
pub const WRITE_LIMIT: Duration = Duration::from_secs(30);
/// From its first byte on a request must be there within this.
pub const REQUEST_LIMIT: Duration = Duration::from_secs(30);
/// Whoever must log in has to do so within this; the same for a TLS handshake.
pub const LOGIN_LIMIT: Duration = Duration::from_secs(10);

/// An event on its way to subscribers.
#[derive(Debug, Clone)]
pub struct Told {
    /// Its channel.
    pub channel: Arc<str>,
    /// Its payload.
    pub payload: Arc<str>,
}

impl Told {
    /// An event.
    pub fn new(channel: String, payload: String) -> Self {
        Self { channel: channel.into(), payload: payload.into() }
    }
}

/// Both ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client's.
    pub from: SocketAddr,
    /// Ours.
    pub to: SocketAddr,
}

/// Serves one client until it leaves, or must.
pub async fn serve<S>(mut stream: S, ends: Ends, answers: Arc<Answers>) -> Left
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let mut client = answers.welcome(ends);
    let killed = client.killed();
    let why = tokio::select! {
        biased;
        () = killed.notified() => Left::Killed,
        why = talk(&mut stream, &mut client, &answers) => why,
    };
    answers.farewell(&client);
    answers.metrics().left(why);
    tracing::debug!(client = client.id(), from = %ends.from, why = why.word(), "a client left");
    why
}

async fn talk<S>(stream: &mut S, client: &mut Client, answers: &Answers) -> Left
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (mut input, mut output) = (BytesMut::with_capacity(4_096), BytesMut::new());
    // When the request that is not all there yet began.
    let mut begun = None;
    loop {
        let until = deadline(client, answers, begun);
        tokio::select! {
            biased;
            event = client.event() => match event {
                Ok(event) => client.hear(&event, &mut output),
                Err(RecvError::Lagged(_)) => return Left::Slow,
                Err(RecvError::Closed) => return Left::Stopping,
            },
            read = stream.read_buf(&mut input) => match read {
                Ok(0) => return Left::Closed,
                Ok(_) => {}
                Err(_) => return Left::Broken,
            },
            () = answers.until(until), if until.is_some() => return Left::Idle,
        }
        loop {
            match request::next(&mut input, &answers.limits(client)) {
                Ok(Some(words)) if words.is_empty() => {}
                Ok(Some(words)) => match answers.run(client, &words, &mut output) {
                    Next::Go => {}
                    Next::Wait(wish) => {
                        if !output.is_empty() && !send(stream, &mut output).await {
                            return Left::Unread;
                        }
                        answers.grant(wish, client.proto(), &mut output).await;
                    }
                    Next::Leave(why) => {
                        let _ = send(stream, &mut output).await;
                        return why;
                    }
                },
                Ok(None) => break,
                Err(error) => {
                    Reply::err(error.to_string()).write(client.proto(), &mut output);
                    let _ = send(stream, &mut output).await;
                    return Left::Malformed;
                }
            }
            if output.len() >= SEND_AT && !send(stream, &mut output).await {
                return Left::Unread;
            }
        }
        begun = if input.is_empty() { None } else { begun.or_else(|| Some(answers.now())) };
        if !output.is_empty() && !send(stream, &mut output).await {
            return Left::Unread;
        }
    }
}

/// When the client must have said more; none if it may be silent for ever.
fn deadline(client: &Client, answers: &Answers, begun: Option<Instant>) -> Option<Instant> {
    let idle = Duration::from_secs(answers.config().idle_seconds);
    let login = client.user().is_none().then(|| client.came() + LOGIN_LIMIT);
    let request = begun.map(|begun| begun + REQUEST_LIMIT);
    let idle = (!idle.is_zero() && !client.subscribes()).then(|| client.active() + idle);
    login.into_iter().chain(request).chain(idle).min()
}

async fn send<S>(stream: &mut S, output: &mut BytesMut) -> bool
where
    S: AsyncWrite + Unpin + Send,
{
    let all = async {
        stream.write_all(output).await?;
        // What is encrypted may wait in between.
        stream.flush().await
    };
    let sent = tokio::time::timeout(WRITE_LIMIT, all).await;
    output.clear();
    matches!(sent, Ok(Ok(())))
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
