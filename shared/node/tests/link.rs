//! A prober's link against real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod server;

use server::{Server, nobody, password, user};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use vedette_harness::{LIMIT, within};
use vedette_model::{Credentials, NodeAddr, NodeFault, Role, Secret};
use vedette_node::link::{Ask, Heard, UNANSWERED_LIMIT};
use vedette_node::{ErrorCode, Link, Lookups, Reply};

/// Long enough for a machine under load, short enough to fail soon.
const SOON: Duration = Duration::from_secs(2);

async fn open(addr: &NodeAddr, credentials: Option<&Credentials>) -> Result<Link, NodeFault> {
    Link::open(addr, &Lookups::default(), credentials, "vedette-test", SOON).await
}

async fn next(link: &mut Link) -> Result<Heard, NodeFault> {
    tokio::time::timeout(LIMIT, link.next()).await.expect("an answer")
}

fn pong() -> Heard {
    Heard::Pong(Reply::Text("PONG".into()))
}

async fn ping_code(link: &mut Link) -> Option<ErrorCode> {
    assert!(link.ask(Ask::Ping));
    let heard = next(link).await.unwrap();
    if let Heard::Pong(Reply::Error(error)) = heard {
        return Some(error.code);
    }
    assert_eq!(heard, pong());
    None
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_questions() {
    let server = Server::start(&[]).await;
    let mut link = open(server.addr(), None).await.unwrap();
    for ask in [Ask::Ping, Ask::Info, Ask::Ping, Ask::Ping] {
        assert!(link.ask(ask));
    }
    assert_eq!(next(&mut link).await.unwrap(), pong());
    let Heard::Info(Ok(view)) = next(&mut link).await.unwrap() else { panic!("INFO") };
    assert_eq!((view.role, view.empty), (Role::Master, true));
    assert_eq!(next(&mut link).await.unwrap(), pong());
    assert_eq!(next(&mut link).await.unwrap(), pong());
    let clients: String = server.command(&["CLIENT", "LIST"]).await.unwrap();
    assert!(clients.contains("name=vedette-test"));
}

#[tokio::test]
async fn a_killed_server_is_heard_at_once_while_nothing_is_asked() {
    let mut server = Server::start(&[]).await;
    let mut link = open(server.addr(), None).await.unwrap();
    assert_eq!(ping_code(&mut link).await, None);
    server.kill9().unwrap();
    let end = tokio::time::timeout(SOON, link.next()).await.expect("heard without asking");
    assert!(matches!(end, Err(NodeFault::Broken(_))), "{end:?}");
    let again = open(server.addr(), None).await.err();
    assert_eq!(again, Some(NodeFault::Refused));
}

#[tokio::test]
async fn a_stopped_server_blocks_nothing_and_owes_its_answers() {
    let server = Server::start(&[]).await;
    let mut link = open(server.addr(), None).await.unwrap();
    server.stop().unwrap();
    let taken = (0..2 * UNANSWERED_LIMIT).filter(|_| link.ask(Ask::Ping)).count();
    assert_eq!(taken, UNANSWERED_LIMIT);
    let silence = tokio::time::timeout(Duration::from_millis(50), link.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    let limit = Duration::from_millis(100);
    let second =
        Link::open(server.addr(), &Lookups::default(), None, "vedette-test", limit).await.err();
    assert_eq!(second, Some(NodeFault::TimedOut));
    server.cont().unwrap();
    for _ in 0..UNANSWERED_LIMIT {
        assert_eq!(next(&mut link).await.unwrap(), pong());
    }
    assert_eq!(ping_code(&mut link).await, None);
}

/// A link to a node that does nothing of itself, and the node's end.
async fn peer() -> (Link, tokio::net::TcpStream) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let greet = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(b"+OK\r\n").await.unwrap();
        stream
    };
    let (link, stream) = tokio::join!(open(&addr, None), greet);
    (link.unwrap(), stream)
}

#[tokio::test]
async fn an_answer_that_nobody_asked_for_breaks_the_link() {
    let (mut link, mut stream) = peer().await;
    assert!(link.ask(Ask::Ping));
    stream.write_all(b"+PONG\r\n+PONG\r\n").await.unwrap();
    assert_eq!(next(&mut link).await.unwrap(), pong());
    let end = next(&mut link).await;
    assert!(matches!(&end, Err(NodeFault::Broken(w)) if w.contains("nobody asked")), "{end:?}");
}

#[tokio::test]
async fn answers_that_come_in_pieces_are_put_together() {
    let (mut link, mut stream) = peer().await;
    let role = Heard::Role(Reply::Array(vec![Reply::Text("master".into())]));
    for _ in 0..2 {
        assert!(link.ask(Ask::Ping) && link.ask(Ask::Role));
        let pieces = [("+PO", "NG\r\n*1\r\n", &pong()), ("$6\r\nma", "ster\r\n", &role)];
        for (first, last, answer) in pieces {
            stream.write_all(first.as_bytes()).await.unwrap();
            // Given up with a part of the answer read.
            let part = tokio::time::timeout(Duration::from_millis(20), link.next()).await;
            assert!(part.is_err(), "{part:?}");
            stream.write_all(last.as_bytes()).await.unwrap();
            assert_eq!(next(&mut link).await.as_ref(), Ok(answer));
        }
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_blocks_nothing() {
    let (mut link, stream) = peer().await;
    while link.ask(Ask::Info) {}
    drop(stream);
    assert!(matches!(next(&mut link).await, Err(NodeFault::Broken(_))));
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_denied() {
    let server = Server::start_as(None, Some("right"), &[]).await;
    let addr = server.addr();
    let missing = open(addr, None).await.err();
    assert!(matches!(&missing, Some(NodeFault::Denied(w)) if w.contains("NOAUTH")), "{missing:?}");
    let wrong = open(addr, Some(&password("wrong"))).await.err();
    assert!(matches!(&wrong, Some(NodeFault::Denied(w)) if w.contains("WRONGPASS")), "{wrong:?}");
    let mut link = open(addr, Some(&password("right"))).await.unwrap();
    assert_eq!(ping_code(&mut link).await, None);
    let mut link = open(addr, Some(&user("default", "right"))).await.unwrap();
    assert_eq!(ping_code(&mut link).await, None);
}

#[tokio::test]
async fn while_a_password_is_changed_either_is_taken() {
    let server = Server::start_as(None, Some("right"), &[]).await;
    let two = |one: &str, other: &str| {
        let other_password = Some(Secret::new(other.into()));
        Credentials { other_password, ..password(one) }
    };
    for credentials in [two("right", "wrong"), two("wrong", "right")] {
        let mut link = open(server.addr(), Some(&credentials)).await.unwrap();
        assert_eq!(ping_code(&mut link).await, None);
    }
    let neither = open(server.addr(), Some(&two("wrong", "wrong too"))).await.err();
    assert!(matches!(&neither, Some(NodeFault::Denied(w)) if w.contains("WRONGPASS")));
}

#[tokio::test]
async fn a_user_without_rights_is_denied_question_by_question() {
    let server = Server::start(&["user watch on >pw +info"]).await;
    let mut link = open(server.addr(), Some(&user("watch", "pw"))).await.unwrap();
    assert_eq!(ping_code(&mut link).await, Some(ErrorCode::Denied));
    assert!(link.ask(Ask::Info));
    assert!(matches!(next(&mut link).await.unwrap(), Heard::Info(Ok(_))));
}

#[tokio::test]
async fn these_rights_are_enough() {
    let server = Server::start(&["user watch on >pw +ping +info +client|setname"]).await;
    let mut link = open(server.addr(), Some(&user("watch", "pw"))).await.unwrap();
    assert_eq!(ping_code(&mut link).await, None);
    assert!(link.ask(Ask::Info));
    assert!(matches!(next(&mut link).await.unwrap(), Heard::Info(Ok(_))));
    let statistics = server.statistics().await;
    assert!(!statistics.contains("rejected_calls=1"), "{statistics}");
}

#[tokio::test]
async fn a_password_for_a_server_without_one_does_not_stop_the_watch() {
    let server = Server::start(&[]).await;
    let mut link = open(server.addr(), Some(&password("needless"))).await.unwrap();
    assert_eq!(ping_code(&mut link).await, None);
}

#[tokio::test]
async fn a_loading_server_says_so() {
    // 200 keys at 50 ms each: it will be loading for 10 s, and looks up after each.
    let slow =
        ["key-load-delay 50000", "loading-process-events-interval-bytes 1024", "rdbcompression no"];
    let mut server = Server::start(&slow).await;
    let value = "x".repeat(2_000);
    for key in 0..200 {
        server.run(&["SET", &format!("key{key}"), &value]).await;
    }
    server.run(&["SAVE"]).await;
    server.restart().unwrap();
    let address = (server.addr().host(), server.addr().port());
    let listens = async || tokio::net::TcpStream::connect(address).await.ok();
    within(LIMIT, "it listens again", listens).await.unwrap();
    let mut link =
        Link::open(server.addr(), &Lookups::default(), None, "vedette-test", LIMIT).await.unwrap();
    assert_eq!(ping_code(&mut link).await, Some(ErrorCode::Loading));
    assert!(link.ask(Ask::Info));
    let Heard::Info(Ok(view)) = next(&mut link).await.unwrap() else { panic!("INFO") };
    assert!(view.loading && !view.empty);
}

#[tokio::test]
async fn a_server_busy_with_a_script_says_so() {
    let server = Server::start(&["busy-reply-threshold 1"]).await;
    let addr = server.addr();
    let script = tokio::net::TcpStream::connect((addr.host(), addr.port())).await.unwrap();
    let (_answer, mut ask) = script.into_split();
    ask.write_all(b"EVAL \"while true do end\" 0\r\n").await.unwrap();
    let mut link = open(addr, None).await.unwrap();
    let mut code = None;
    for _ in 0..100 {
        code = ping_code(&mut link).await;
        if code.is_some() {
            break;
        }
    }
    assert_eq!(code, Some(ErrorCode::Busy));
    assert!(link.ask(Ask::Info));
    assert!(matches!(next(&mut link).await.unwrap(), Heard::Info(Err(NodeFault::Error(_)))));
    server.run(&["SCRIPT", "KILL"]).await;
}

#[tokio::test]
async fn a_server_that_cannot_save_says_so() {
    let server = Server::start(&[]).await;
    server.run(&["CONFIG", "SET", "save", "3600 1"]).await;
    let dump = server.dump();
    std::fs::create_dir(&dump).unwrap();
    std::fs::write(dump.join("in-the-way"), "").unwrap();
    server.run(&["BGSAVE"]).await;
    let failed = async || (!server.view().await.persistence_ok).then_some(());
    within(LIMIT, "the save fails", failed).await.unwrap();
    let mut link = open(server.addr(), None).await.unwrap();
    assert_eq!(ping_code(&mut link).await, Some(ErrorCode::Misconf));
}

#[tokio::test]
async fn a_replica_that_may_not_serve_stale_data_says_so() {
    let server = Server::start_as(Some(&nobody()), None, &[]).await;
    server.run(&["CONFIG", "SET", "replica-serve-stale-data", "no"]).await;
    let mut link = open(server.addr(), None).await.unwrap();
    assert_eq!(ping_code(&mut link).await, Some(ErrorCode::MasterDown));
}

#[tokio::test]
async fn a_server_that_has_all_the_clients_it_takes_says_so() {
    let server = Server::start(&["maxclients 2"]).await;
    let mut links = Vec::new();
    let fault = loop {
        match open(server.addr(), None).await {
            Ok(link) => links.push(link),
            Err(fault) => break fault,
        }
        assert!(links.len() <= 2, "the server takes more than it may");
    };
    assert!(matches!(&fault, NodeFault::Error(w) if w.contains("max number")), "{fault:?}");
}

#[tokio::test]
async fn an_unknown_name_is_unresolved() {
    let addr = NodeAddr::new("no-such-node.invalid", 6379).unwrap();
    let fault = open(&addr, None).await.err();
    assert!(matches!(fault, Some(NodeFault::Unresolved(_))), "{fault:?}");
}

#[tokio::test]
async fn a_peer_of_another_protocol_is_no_node() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = [0; 8];
        stream.read_exact(&mut request).await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
    });
    let fault = open(&addr, None).await.err();
    assert!(matches!(&fault, Some(NodeFault::Broken(w)) if w.contains("not a Redis")), "{fault:?}");
}

#[tokio::test]
async fn protected_mode_is_denied() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"-DENIED Redis is running in protected mode\r\n").await.unwrap();
    });
    let fault = open(&addr, None).await.err();
    assert!(matches!(fault, Some(NodeFault::Denied(_))), "{fault:?}");
}

#[tokio::test]
async fn an_endless_answer_breaks_the_link() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = NodeAddr::new("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"+OK\r\n$9000000000\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 65_536]).await.is_ok() {}
    });
    let mut link = open(&addr, None).await.unwrap();
    assert!(link.ask(Ask::Info));
    let end = next(&mut link).await;
    assert!(matches!(&end, Err(NodeFault::Broken(w)) if w.contains("bytes")), "{end:?}");
}
