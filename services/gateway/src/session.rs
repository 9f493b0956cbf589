//! One client's connection.

use crate::commands::{Answers, Client};
use crate::metrics::Left;
use crate::reply::Reply;
use crate::request;
use bytes::BytesMut;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::broadcast;

/// Replies are sent when so many bytes wait, also if more requests do.
const SEND_AT: usize = 65_536;
/// A client that does not read is given up after this.
const WRITE_LIMIT: Duration = Duration::from_secs(30);

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

/// Serves one client until it leaves, or must.
pub async fn serve(
    mut stream: TcpStream,
    from: SocketAddr,
    answers: Arc<Answers>,
    mut told: broadcast::Receiver<Told>,
) {
    // A small reply is not to wait for another.
    let _ = stream.set_nodelay(true);
    let mut client = answers.welcome(from);
    let why = talk(&mut stream, &mut client, &answers, &mut told).await;
    answers.farewell(&client);
    answers.metrics().left(why);
    tracing::debug!(client = client.id(), %from, why = why.word(), "a client left");
}

async fn talk(
    stream: &mut TcpStream,
    client: &mut Client,
    answers: &Answers,
    told: &mut broadcast::Receiver<Told>,
) -> Left {
    let config = answers.config();
    let (mut input, mut output) = (BytesMut::with_capacity(4_096), BytesMut::new());
    let idle = Duration::from_secs(config.idle_seconds);
    loop {
        let may_idle = idle.is_zero() || client.subscribes();
        tokio::select! {
            biased;
            event = told.recv() => match event {
                Ok(event) => client.hear(&event, &mut output),
                Err(broadcast::error::RecvError::Lagged(_)) if client.subscribes() => {
                    return Left::Slow;
                }
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return Left::Stopping,
            },
            read = stream.read_buf(&mut input) => match read {
                Ok(0) => return Left::Closed,
                Ok(_) => {}
                Err(_) => return Left::Broken,
            },
            () = answers.rest(idle), if !may_idle => return Left::Idle,
        }
        loop {
            match request::next(&mut input, config.max_request_bytes) {
                Ok(Some(words)) => {
                    if !words.is_empty() && answers.run(client, &words, &mut output) {
                        let _ = send(stream, &mut output).await;
                        return Left::Quit;
                    }
                }
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
        if !output.is_empty() && !send(stream, &mut output).await {
            return Left::Unread;
        }
    }
}

async fn send(stream: &mut TcpStream, output: &mut BytesMut) -> bool {
    let sent = tokio::time::timeout(WRITE_LIMIT, stream.write_all(output)).await;
    output.clear();
    matches!(sent, Ok(Ok(())))
}
