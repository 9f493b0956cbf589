//! What is lost without each right of `deploy/redis/users.acl`.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod server;

use server::{Server, nobody, user};
use std::time::Duration;
use vedette_harness::{LIMIT, within};
use vedette_model::{Answer, Command, Credentials, NodeAddr, NodeFault};
use vedette_node::Lookups;
use vedette_node::command::{Errand, carry_out};
use vedette_node::link::{Ask, Link};

const FILE: &str = include_str!("../../../deploy/redis/users.acl");
const SOON: Duration = Duration::from_secs(5);

/// What somebody with a login can do on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Can {
    /// Be told that it is alive.
    ping: bool,
    inspect: bool,
    promote: bool,
    follow: bool,
    /// The role outlives a restart.
    rewrite: bool,
    /// The clients of a demoted master are closed.
    cut: bool,
    pause: bool,
    unpause: bool,
    /// Learn who changed the role.
    who: bool,
    /// Be seen by its name.
    name: bool,
}

const ALL: Can = Can {
    ping: true,
    inspect: true,
    promote: true,
    follow: true,
    rewrite: true,
    cut: true,
    pause: true,
    unpause: true,
    who: true,
    name: true,
};

/// What is left without a right.
fn without(right: &str) -> Can {
    match right {
        "+ping" => Can { ping: false, ..ALL },
        "+info" => Can {
            inspect: false,
            promote: false,
            follow: false,
            rewrite: false,
            pause: false,
            unpause: false,
            who: false,
            ..ALL
        },
        "+replicaof" => Can { promote: false, follow: false, cut: false, who: false, ..ALL },
        "+config|rewrite" => Can { rewrite: false, ..ALL },
        "+client|kill" => Can { cut: false, ..ALL },
        "+client|pause" => Can { pause: false, ..ALL },
        "+client|unpause" => Can { unpause: false, ..ALL },
        "+client|list" => Can { who: false, ..ALL },
        "+client|setname" => Can { name: false, ..ALL },
        // What they are for is done without them, less well.
        "+multi" | "+exec" | "+role" => ALL,
        other => panic!("say in this test what is lost without {other}"),
    }
}

fn rights() -> Vec<&'static str> {
    FILE.split_whitespace().filter(|word| word.starts_with('+')).collect()
}

async fn allow(server: &Server, rights: &[&str]) {
    let words = [&["ACL", "SETUSER", "vedette", "reset", "on", ">hush"], rights].concat();
    server.run(&words).await;
}

async fn errand(server: &Server, login: &Credentials, command: Command) -> Answer {
    let errand = Errand {
        node: server.addr(),
        credentials: Some(login),
        name: "vedette-test",
        limit: SOON,
        kept: None,
        tls: None,
    };
    carry_out(errand, &command, || true).await
}

fn is_done(answer: &Answer) -> bool {
    match answer {
        Answer::Done { .. } => true,
        Answer::Failed(NodeFault::Denied(words)) => {
            assert!(words.contains("NOPERM"), "{words}");
            false
        }
        Answer::Failed(other) => panic!("{other}"),
    }
}

async fn answers_ping(server: &Server, login: &Credentials) -> bool {
    let mut link =
        Link::open(server.addr(), &Lookups::default(), Some(login), "vedette-test", SOON)
            .await
            .unwrap();
    assert!(link.ask(Ask::Ping));
    let reply = tokio::time::timeout(LIMIT, link.next()).await.unwrap().unwrap();
    !format!("{reply:?}").contains("NOPERM")
}

async fn tried(server: &Server, login: &Credentials, other: &NodeAddr) -> Can {
    let promoted = errand(server, login, Command::Promote { run_id: None }).await;
    let mut rewritten = false;
    if let Answer::Done { rewrite_error, .. } = errand(server, login, Command::Save).await {
        rewritten = rewrite_error.is_none();
        assert!(rewritten || rewrite_error.as_ref().unwrap().contains("NOPERM"));
    }
    // Somebody's hands, seen as long as that client is there.
    let mut hands = server.client().unwrap().get_multiplexed_async_connection().await.unwrap();
    let mut by_hand = redis::cmd("REPLICAOF");
    let _: String = by_hand.arg("NO").arg("ONE").query_async(&mut hands).await.unwrap();
    let mut idle =
        Link::open(server.addr(), &Lookups::default(), None, "idle", SOON).await.unwrap();
    let follow = Command::Follow { master: other.clone(), cut_clients: true, ask_who: true };
    let followed = errand(server, login, follow).await;
    let who = matches!(&followed, Answer::Done { changed_by: Some(_), .. });
    let names: String = server.command(&["CLIENT", "LIST"]).await.unwrap();
    let cut = !names.contains("name=idle");
    if cut {
        assert!(tokio::time::timeout(LIMIT, idle.next()).await.unwrap().is_err());
    }
    let back = ["REPLICAOF", "NO", "ONE"];
    server.run(&back).await;
    Can {
        ping: answers_ping(server, login).await,
        inspect: is_done(&errand(server, login, Command::Inspect).await),
        promote: is_done(&promoted),
        follow: is_done(&followed),
        rewrite: rewritten,
        cut,
        pause: is_done(&errand(server, login, Command::PauseWrites { for_ms: 1 }).await),
        unpause: is_done(&errand(server, login, Command::Unpause).await),
        who,
        name: is_seen(server, login).await,
    }
}

async fn is_seen(server: &Server, login: &Credentials) -> bool {
    let _link =
        Link::open(server.addr(), &Lookups::default(), Some(login), "by-name", SOON).await.unwrap();
    let seen: String = server.command(&["CLIENT", "LIST"]).await.unwrap();
    seen.contains("name=by-name")
}

#[tokio::test]
async fn each_right_that_is_given_is_needed_for_what_the_page_says() {
    let server = Server::start(&[]).await;
    let (login, other) = (user("vedette", "hush"), nobody());
    let all = rights();
    allow(&server, &all).await;
    assert_eq!(tried(&server, &login, &other).await, ALL, "with all of them");
    for right in &all {
        let left: Vec<&str> = all.iter().copied().filter(|other| other != right).collect();
        allow(&server, &left).await;
        assert_eq!(tried(&server, &login, &other).await, without(right), "without {right}");
    }
}

#[tokio::test]
async fn the_login_reads_and_writes_no_data() {
    let server = Server::start(&[]).await;
    allow(&server, &rights()).await;
    for words in [
        &["GET", "a"][..],
        &["SET", "a", "b"],
        &["KEYS", "*"],
        &["FLUSHALL"],
        &["EVAL", "return 1", "0"],
        &["SUBSCRIBE", "a"],
        &["PUBLISH", "a", "b"],
        &["CONFIG", "GET", "*"],
        &["CONFIG", "SET", "dir", "/"],
        &["ACL", "LIST"],
        &["MODULE", "LIST"],
        &["DEBUG", "SLEEP", "0"],
        &["SHUTDOWN"],
        &["SAVE"],
        &["MIGRATE", "h", "1", "k", "0", "1"],
    ] {
        let dry = [&["ACL", "DRYRUN", "vedette"], words].concat();
        let said: Result<String, _> = server.command(&dry).await;
        // Not every server knows every command, or lets one ask about it.
        let allowed = said.is_ok_and(|said| said == "OK");
        assert!(!allowed, "{words:?}");
    }
    let said: String = server.command(&["ACL", "DRYRUN", "vedette", "PING"]).await.unwrap();
    assert_eq!(said, "OK", "it can be asked at all");
    within(LIMIT, "it answers", async || server.command::<String>(&["PING"]).await.ok())
        .await
        .unwrap();
}
