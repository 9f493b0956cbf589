//! Whoever gets the notifications: an HTTP server that can be away.

use anyhow::{Context, Result, ensure};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use vedette_model::Event;

/// A path that it does not have.
const WRONG: &str = "/wrong";

/// A receiver with a port of its own, which it keeps while it is away.
pub struct Receiver {
    at: SocketAddr,
    got: Arc<Mutex<Vec<Event>>>,
    serving: Option<JoinSet<()>>,
}

impl Receiver {
    /// One that is there.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let mut receiver = Self { at: listener.local_addr()?, got: Arc::default(), serving: None };
        receiver.serve(listener);
        Ok(receiver)
    }

    /// Where events are to be sent.
    pub fn url(&self) -> String {
        format!("http://{}/events", self.at)
    }

    /// Where nothing is ever taken.
    pub fn wrong_url(&self) -> String {
        format!("http://{}{WRONG}", self.at)
    }

    /// From now on it refuses connections.
    pub fn leave(&mut self) {
        self.serving = None;
    }

    /// It is there again.
    ///
    /// # Errors
    /// If somebody else has taken its port.
    pub async fn come_back(&mut self) -> Result<()> {
        ensure!(self.serving.is_none(), "it is there");
        let listener = TcpListener::bind(self.at).await.context("its port is taken")?;
        self.serve(listener);
        Ok(())
    }

    /// What it got and acknowledged, in order, repetitions too.
    pub fn got(&self) -> Vec<Event> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn serve(&mut self, listener: TcpListener) {
        let mut serving = JoinSet::new();
        let got = Arc::clone(&self.got);
        serving.spawn(async move {
            // They end with it.
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let got = Arc::clone(&got);
                open.spawn(async move { while answer(&mut stream, &got).await.is_some() {} });
                while open.try_join_next().is_some() {}
            }
        });
        self.serving = Some(serving);
    }
}

/// Takes one request; nothing when the connection has ended.
async fn answer(stream: &mut TcpStream, got: &Mutex<Vec<Event>>) -> Option<()> {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            let is_it = name.eq_ignore_ascii_case("content-length");
            is_it.then(|| value.parse::<usize>().ok()).flatten()
        })?;
        if body.len() >= length {
            break (head, body);
        }
    };
    if head.starts_with(&format!("POST {WRONG} ")) {
        let answer = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        return stream.write_all(answer).await.ok();
    }
    let event = serde_json::from_str(body).ok()?;
    got.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.ok()
}
