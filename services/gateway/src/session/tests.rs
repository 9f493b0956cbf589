//! What a connection may do, and for how long. Time is the test's own.

use super::*;
use crate::commands::tests::{ENDS, answers};
use crate::config::ClientsConfig;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;
use vedette_model::Secret;

/// A client, and why it left in the end.
struct Script {
    stream: DuplexStream,
    answers: Arc<Answers>,
    left: JoinHandle<Left>,
}

impl Script {
    fn with(config: ClientsConfig) -> Self {
        Self::beside(answers(config), 4_096)
    }

    fn beside(answers: Arc<Answers>, room: usize) -> Self {
        let (stream, ours) = duplex(room);
        let left = tokio::spawn(serve(ours, ENDS, Arc::clone(&answers)));
        Self { stream, answers, left }
    }

    async fn says(&mut self, text: &[u8]) {
        self.stream.write_all(text).await.unwrap();
    }

    async fn hears(&mut self, wanted: &str) {
        let mut heard = vec![0; wanted.len()];
        self.stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(String::from_utf8_lossy(&heard), wanted);
    }

    async fn left(self) -> Left {
        self.left.await.unwrap()
    }
}

fn locked() -> ClientsConfig {
    let password = Some(Secret::new("secret".into()));
    ClientsConfig { password, ..ClientsConfig::default() }
}

#[tokio::test(start_paused = true)]
async fn requests_are_answered_in_order_also_when_they_come_together_or_in_pieces() {
    let mut script = Script::with(ClientsConfig::default());
    script.says(b"PING\r\nPING a\r\n*1\r\n$4\r\nPI").await;
    script.hears("+PONG\r\n$1\r\na\r\n").await;
    script.says(b"NG\r\n").await;
    script.hears("+PONG\r\n").await;
    script.says(b"QUIT\r\nPING\r\n").await;
    script.hears("+OK\r\n").await;
    assert_eq!(script.left().await, Left::Quit);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_log_in_in_time_is_closed_and_who_has_may_be_silent() {
    let mut idle = Script::with(locked());
    // Talking is no login.
    idle.says(b"PING\r\n").await;
    idle.hears("-NOAUTH Authentication required.\r\n").await;
    let since = idle.answers.now();
    let answers = Arc::clone(&idle.answers);
    assert_eq!(idle.left().await, Left::Idle);
    assert!(answers.now().since(since) <= LOGIN_LIMIT + Duration::from_secs(1));
    let mut known = Script::beside(answers, 4_096);
    known.says(b"AUTH secret\r\n").await;
    known.hears("+OK\r\n").await;
    known.answers.rest(Duration::from_secs(86_400)).await;
    known.says(b"PING\r\n").await;
    known.hears("+PONG\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_not_brought_to_its_end_is_given_up() {
    let mut script = Script::with(ClientsConfig::default());
    let since = script.answers.now();
    // A byte now and then does not keep it.
    for byte in b"*1\r\n$1" {
        if script.stream.write_all(&[*byte]).await.is_err() {
            break;
        }
        script.answers.rest(Duration::from_secs(9)).await;
    }
    let answers = Arc::clone(&script.answers);
    assert_eq!(script.left().await, Left::Idle);
    assert!(answers.now().since(since) < Duration::from_secs(60));
}

#[tokio::test(start_paused = true)]
async fn idle_clients_are_closed_if_that_is_wished_and_subscribers_are_not() {
    let config = ClientsConfig { idle_seconds: 5, ..ClientsConfig::default() };
    let mut subscriber = Script::with(config);
    let silent = Script::beside(Arc::clone(&subscriber.answers), 4_096);
    subscriber.says(b"SUBSCRIBE x\r\n").await;
    subscriber.hears("*3\r\n$9\r\nsubscribe\r\n$1\r\nx\r\n:1\r\n").await;
    let since = subscriber.answers.now();
    assert_eq!(silent.left().await, Left::Idle);
    assert!(subscriber.answers.now().since(since) <= Duration::from_secs(6));
    subscriber.answers.rest(Duration::from_secs(600)).await;
    subscriber.says(b"PING\r\n").await;
    subscriber.hears("*2\r\n$4\r\npong\r\n$0\r\n\r\n").await;
}

#[tokio::test(start_paused = true)]
async fn too_large_requests_are_refused_and_end_the_connection() {
    let words = "*2\r\n$4\r\nPING\r\n$2000\r\n".to_owned() + &"x".repeat(3_000);
    for (sent, wanted) in [
        (&*words, "-ERR Protocol error: invalid bulk length\r\n"),
        ("*1025\r\n", "-ERR Protocol error: invalid multibulk length\r\n"),
        ("*1\r\n+PING\r\n", "-ERR Protocol error: expected '$', got '+'\r\n"),
        (&"x".repeat(2_000), "-ERR Protocol error: too big inline request\r\n"),
    ] {
        let config = ClientsConfig { max_request_bytes: 1_024, ..ClientsConfig::default() };
        let mut script = Script::with(config);
        script.says(sent.as_bytes()).await;
        script.hears(wanted).await;
        assert_eq!(script.left().await, Left::Malformed);
    }
}

#[tokio::test(start_paused = true)]
async fn before_the_login_only_a_small_request_is_taken() {
    let mut script = Script::with(locked());
    script.says(b"*11\r\n").await;
    script.hears("-ERR Protocol error: unauthenticated multibulk length\r\n").await;
    assert_eq!(script.left().await, Left::Malformed);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_does_not_read_is_closed_and_holds_nobody_up() {
    let config = ClientsConfig { max_waiting_events: 16, ..ClientsConfig::default() };
    let mut slow = Script::with(config);
    let mut quick = Script::beside(Arc::clone(&slow.answers), 65_536);
    for script in [&mut slow, &mut quick] {
        script.says(b"SUBSCRIBE +sdown\r\n").await;
        script.hears("*3\r\n$9\r\nsubscribe\r\n$6\r\n+sdown\r\n:1\r\n").await;
    }
    let payload = "x".repeat(1_000);
    for _ in 0..64 {
        let _ = slow.answers.tell().send(Told::new("+sdown".into(), payload.clone()));
        quick
            .hears(&format!("*3\r\n$7\r\nmessage\r\n$6\r\n+sdown\r\n$1000\r\n{payload}\r\n"))
            .await;
    }
    let Script { stream, left, answers } = slow;
    let since = answers.now();
    assert!([Left::Slow, Left::Unread].contains(&left.await.unwrap()));
    assert!(answers.now().since(since) <= WRITE_LIMIT);
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_and_does_not_read_is_closed() {
    let mut script = Script::beside(answers(ClientsConfig::default()), 1_024);
    script.says(&b"SENTINEL MASTERS\r\n".repeat(10)).await;
    let Script { stream, left, .. } = script;
    assert_eq!(left.await.unwrap(), Left::Unread);
    drop(stream);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_killed_leaves_at_once_also_while_it_does_not_read() {
    let mut script = Script::beside(answers(ClientsConfig::default()), 1_024);
    script.says(&b"SENTINEL MASTERS\r\n".repeat(10)).await;
    let mut other = Script::beside(Arc::clone(&script.answers), 1_024);
    other.says(b"CLIENT KILL ID 1\r\n").await;
    other.hears(":1\r\n").await;
    let since = other.answers.now();
    let Script { stream, left, .. } = script;
    assert_eq!(left.await.unwrap(), Left::Killed);
    assert!(other.answers.now().since(since) < Duration::from_secs(1));
    drop(stream);
}
