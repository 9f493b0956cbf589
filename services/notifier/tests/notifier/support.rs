//! What the notifier's tests share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vedette_model::{Epoch, Event, EventName, GroupName, NodeAddr, TraceId};

/// An event of the group `g`.
pub fn event(id: &str, name: EventName, payload: &str) -> Event {
    let group = GroupName::parse("g").unwrap();
    let master = NodeAddr::parse("10.0.0.1:6379").unwrap();
    Event {
        id: id.into(),
        trace_id: TraceId::of(&group, Epoch(7), &master, None),
        group,
        name,
        payload: payload.into(),
        cause: "two of three probers".into(),
        epoch: Epoch(7),
        source: "voter/v1".into(),
    }
}

/// A request as it came.
#[derive(Debug, Clone)]
pub struct Request {
    /// The request line and the headers, one each, names in lower case.
    pub head: Vec<String>,
    /// The body.
    pub body: String,
}

impl Request {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }
}

/// A small HTTP server: answers each request with the next status of its script, then with 200.
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    state: Arc<State>,
}

struct State {
    script: Mutex<VecDeque<Answer>>,
    requests: Mutex<Vec<Request>>,
}

/// What the receiver does with a request.
#[derive(Debug, Clone, Copy)]
pub enum Answer {
    /// Answers with a status line's rest.
    Status(&'static str),
    /// Never answers.
    Silence,
    /// Closes the connection.
    HangUp,
}

impl Receiver {
    /// A receiver on a free port.
    pub async fn start(script: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let script = Mutex::new(script.iter().copied().collect());
        let state = Arc::new(State { script, requests: Mutex::default() });
        tokio::spawn(listen(listener, Arc::clone(&state)));
        Self { url, state }
    }

    /// The ids of the events that came so far, each try of each.
    pub fn ids(&self) -> Vec<String> {
        let id = |request: &Request| request.header("vedette-event-id").map(String::from);
        self.requests().iter().filter_map(id).collect()
    }

    /// What came so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.requests.lock().unwrap().clone()
    }
}

async fn listen(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        tokio::spawn(async move { serve(stream, &state).await });
    }
}

async fn serve(mut stream: TcpStream, state: &State) -> Option<()> {
    let request = read(&mut stream).await?;
    state.requests.lock().unwrap().push(request);
    let answer = state.script.lock().unwrap().pop_front().unwrap_or(Answer::Status("200 OK"));
    match answer {
        Answer::Status(status) => {
            let text = format!(
                "HTTP/1.1 {status}\r\nLocation: /elsewhere\r\nContent-Length: 5\r\n\
                 Connection: close\r\n\r\nwords"
            );
            stream.write_all(text.as_bytes()).await.ok()
        }
        Answer::Silence => {
            // Until the other side gives up.
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await.ok().map(|_| ())
        }
        Answer::HangUp => None,
    }
}

async fn read(stream: &mut TcpStream) -> Option<Request> {
    let mut bytes = Vec::new();
    loop {
        stream.read_buf(&mut bytes).await.ok().filter(|count| *count > 0)?;
        let text = String::from_utf8(bytes.clone()).unwrap();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let head = head.lines().map(|line| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
            None => line.to_owned(),
        });
        let request = Request { head: head.collect(), body: body.to_owned() };
        if request.header("content-length").unwrap().parse() == Ok(body.len()) {
            return Some(request);
        }
    }
}
