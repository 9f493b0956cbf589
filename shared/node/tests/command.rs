//! An orchestrator's errands against real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod server;

use server::{Server, nobody, password, user};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use vedette_harness::{LIMIT, within};
use vedette_model::{Answer, Command, Credentials, NodeAddr, NodeFault, NodeView, Role};
use vedette_node::command::{Errand, carry_out};
use vedette_node::{Kept, Link, Lookups};

const SOON: Duration = Duration::from_secs(5);

async fn errand(
    node: &NodeAddr,
    credentials: Option<&Credentials>,
    command: &Command,
    permitted: impl Fn() -> bool + Send,
) -> Answer {
    let errand =
        Errand { node, credentials, name: "vedette-test", limit: SOON, kept: None, tls: None };
    carry_out(errand, command, permitted).await
}

/// As [`errand`], over a connection that is kept.
async fn keeping(kept: &Kept, server: &Server, command: &Command) -> Answer {
    let (node, name) = (server.addr(), "vedette-test");
    let errand = Errand { node, credentials: None, name, limit: SOON, kept: Some(kept), tls: None };
    carry_out(errand, command, || true).await
}

async fn send(server: &Server, command: &Command) -> Answer {
    errand(server.addr(), None, command, || true).await
}

fn done(answer: Answer) -> (NodeView, Option<String>) {
    match answer {
        Answer::Done { view, rewrite_error, .. } => (view, rewrite_error),
        Answer::Failed(fault) => panic!("failed: {fault}"),
    }
}

fn follow(server: &Server, cut_clients: bool) -> Command {
    Command::Follow { master: server.addr().clone(), cut_clients, ask_who: false }
}

async fn replica_of(master: &Server, lines: &[&str]) -> Server {
    let replica = Server::start_as(Some(master.addr()), None, lines).await;
    is_linked(&replica, master).await;
    replica
}

async fn is_linked(replica: &Server, master: &Server) {
    let follows = async || replica.follows(master.addr()).await.then_some(());
    within(LIMIT, "the replica is linked", follows).await.unwrap();
}

/// A client that does nothing, as most do most of the time.
async fn idle_client(server: &Server) -> Link {
    Link::open(server.addr(), &Lookups::default(), None, "idle", SOON).await.unwrap()
}

/// A client that says one line and waits for what comes, or for ever.
async fn client_that_says(server: &Server, line: &str) -> TcpStream {
    let mut client = TcpStream::connect(server.addr().to_string()).await.unwrap();
    client.write_all(format!("PING\r\n{line}\r\n").as_bytes()).await.unwrap();
    let mut pong = [0; 7];
    client.read_exact(&mut pong).await.unwrap();
    client
}

async fn is_cut(client: &mut Link) -> bool {
    matches!(tokio::time::timeout(LIMIT, client.next()).await, Ok(Err(NodeFault::Broken(_))))
}

#[tokio::test]
async fn inspecting_changes_nothing_and_needs_no_permission() {
    let server = Server::start(&[]).await;
    let answer = errand(server.addr(), None, &Command::Inspect, || false).await;
    assert_eq!(done(answer).0.run_id, server.view().await.run_id);
    assert!(!server.statistics().await.contains("cmdstat_multi"));
}

#[tokio::test]
async fn a_promoted_replica_is_master_for_good_and_its_clients_are_cut() {
    let master = Server::start(&[]).await;
    master.run(&["SET", "key", "value"]).await;
    let replica = replica_of(&master, &[]).await;
    let mut client = idle_client(&replica).await;
    let (view, _) = done(send(&replica, &Command::Promote { run_id: None }).await);
    assert_eq!((view.role, view.upstream), (Role::Master, None));
    assert_eq!(view.replid2, Some(master.view().await.replid), "its history goes on");
    assert!(is_cut(&mut client).await);
    assert!(replica.config().contains("replicaof"), "nobody waits for a disk");
    let (saved, rewrite_error) = done(send(&replica, &Command::Save).await);
    assert_eq!((saved.role, rewrite_error), (Role::Master, None));
    let file = replica.config();
    assert!(!file.contains("replicaof"), "{file}");
    let (again, _) = done(send(&replica, &Command::Promote { run_id: None }).await);
    assert_eq!(again.replid, view.replid, "safe to repeat");
}

#[tokio::test]
async fn another_process_than_the_one_that_was_looked_at_is_not_promoted() {
    let master = Server::start(&[]).await;
    let replica = replica_of(&master, &[]).await;
    let looked_at = |run_id| Command::Promote { run_id: Some(run_id) };
    let answer = send(&replica, &looked_at(master.view().await.run_id)).await;
    assert_eq!(answer, Answer::Failed(NodeFault::Replaced));
    assert_eq!(replica.view().await.role, Role::Replica);
    let (view, _) = done(send(&replica, &looked_at(replica.view().await.run_id)).await);
    assert_eq!(view.role, Role::Master);
}

#[tokio::test]
async fn a_demoted_master_follows_and_its_clients_are_cut() {
    let master = Server::start(&[]).await;
    let demoted = Server::start(&[]).await;
    let mut client = idle_client(&demoted).await;
    let (view, rewrite_error) = done(send(&demoted, &follow(&master, true)).await);
    assert_eq!((view.role, rewrite_error), (Role::Replica, None));
    assert_eq!(&view.upstream.unwrap().addr, master.addr());
    assert!(is_cut(&mut client).await);
    is_linked(&demoted, &master).await;
    let file = demoted.config();
    assert!(file.contains(&format!("replicaof 127.0.0.1 {}", master.addr().port())), "{file}");
}

#[tokio::test]
async fn whatever_clients_of_a_demoted_master_are_at_they_are_cut() {
    let master = Server::start(&[]).await;
    let demoted = Server::start(&[]).await;
    let mut clients = Vec::new();
    for line in ["SUBSCRIBE c", "PSUBSCRIBE *", "BLPOP k 0", "MULTI", "WATCH k", "MONITOR"] {
        clients.push((line, client_that_says(&demoted, line).await));
    }
    done(send(&demoted, &follow(&master, true)).await);
    for (line, mut client) in clients {
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(LIMIT, client.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "{line} is still connected");
    }
}

#[tokio::test]
async fn who_changed_a_role_is_named_while_connected() {
    let master = Server::start(&[]).await;
    let replica = replica_of(&master, &["user script on >pw +@all"]).await;
    let asks = Command::Follow { master: master.addr().clone(), cut_clients: true, ask_who: true };
    let who = async || match send(&replica, &asks).await {
        Answer::Done { changed_by, view, .. } => {
            assert_eq!(view.role, Role::Replica);
            changed_by
        }
        Answer::Failed(fault) => panic!("failed: {fault}"),
    };
    assert_eq!(who().await, None, "nobody did anything");
    let mut client = client_that_says(&replica, "AUTH script pw").await;
    let lines = b"CLIENT SETNAME healer\r\nREPLICAOF NO ONE\r\n";
    client.write_all(lines).await.unwrap();
    let promoted = async || (replica.view().await.role == Role::Master).then_some(());
    within(LIMIT, "the script promoted it", promoted).await.unwrap();
    let from = client.local_addr().unwrap();
    let words = format!("{from}, name healer, user script, last command replicaof");
    assert_eq!(who().await, Some(words));
}

#[tokio::test]
async fn a_right_to_see_clients_that_is_missing_stops_nothing() {
    let master = Server::start(&[]).await;
    let lines = ["user errand on >pw +@all -client|list"];
    let replica = Server::start_as(None, None, &lines).await;
    let asks = Command::Follow { master: master.addr().clone(), cut_clients: true, ask_who: true };
    let credentials = user("errand", "pw");
    let answer = errand(replica.addr(), Some(&credentials), &asks, || true).await;
    assert_eq!(done(answer).0.role, Role::Replica);
}

#[tokio::test]
async fn a_moved_replica_keeps_its_clients() {
    let master = Server::start(&[]).await;
    let replica = Server::start(&[]).await;
    let mut client = idle_client(&replica).await;
    done(send(&replica, &follow(&master, false)).await);
    assert!(client.ask(vedette_node::link::Ask::Ping));
    tokio::time::timeout(LIMIT, client.next()).await.expect("an answer").expect("not cut");
    assert!(!replica.statistics().await.contains("cmdstat_client|kill"));
}

#[tokio::test]
async fn a_failed_rewrite_is_reported_and_survived() {
    let replica = Server::start_as(Some(&nobody()), None, &[]).await;
    // A folder in the file's place.
    let file = replica.folder.path().join("redis.conf");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    let (view, rewrite_error) = done(send(&replica, &Command::Save).await);
    assert_eq!(view.role, Role::Replica);
    let words = rewrite_error.expect("there is no file to rewrite");
    assert!(words.contains("config file"), "{words}");
}

#[tokio::test]
async fn a_renamed_config_command_is_reported_and_survived() {
    let master = Server::start(&[]).await;
    let replica = replica_of(&master, &["rename-command CONFIG \"\""]).await;
    let mut client = idle_client(&replica).await;
    let (view, _) = done(send(&replica, &Command::Promote { run_id: None }).await);
    assert_eq!(view.role, Role::Master);
    assert!(is_cut(&mut client).await);
    let (_, rewrite_error) = done(send(&replica, &Command::Save).await);
    let words = rewrite_error.expect("CONFIG has no name");
    assert!(words.contains("unknown command"), "{words}");
    let (view, rewrite_error) = done(send(&replica, &follow(&master, true)).await);
    assert_eq!(view.role, Role::Replica);
    assert!(rewrite_error.is_some());
}

#[tokio::test]
async fn where_replicaof_is_renamed_its_older_name_does() {
    let master = Server::start(&[]).await;
    let renamed = "rename-command REPLICAOF \"\"";
    for more in ["rename-command CONFIG \"\"", "user other on >pw +@all"] {
        let replica = Server::start_as(None, None, &[renamed, more]).await;
        let (view, _) = done(send(&replica, &follow(&master, true)).await);
        assert_eq!(view.role, Role::Replica);
        let (view, _) = done(send(&replica, &Command::Promote { run_id: None }).await);
        assert_eq!(view.role, Role::Master);
    }
}

#[tokio::test]
async fn a_server_that_takes_the_command_and_stays_a_replica_is_not_promoted() {
    let master = Server::start(&[]).await;
    let taken = ["rename-command REPLICAOF \"\"", "rename-command HGET REPLICAOF"];
    let replica = replica_of(&master, &taken).await;
    let Answer::Failed(NodeFault::Error(words)) =
        send(&replica, &Command::Promote { run_id: None }).await
    else {
        panic!("it is believed")
    };
    assert!(words.contains("still says replica"), "{words}");
}

#[tokio::test]
async fn whichever_right_besides_replicaof_is_missing_the_role_changes() {
    let master = Server::start(&[]).await;
    for missing in ["-config", "-client", "-multi", "-exec", "-role", "-config -client -multi"] {
        let rights = format!("user errand on >pw +@all {missing}");
        let node = Server::start(&[&rights]).await;
        let credentials = user("errand", "pw");
        for (command, role, rewrites) in [
            (follow(&master, true), Role::Replica, true),
            (Command::Promote { run_id: None }, Role::Master, false),
            (Command::Save, Role::Master, true),
        ] {
            let answer = errand(node.addr(), Some(&credentials), &command, || true).await;
            let (view, rewrite_error) = done(answer);
            assert_eq!(view.role, role, "{missing}");
            let fails = rewrites && missing.contains("config");
            assert_eq!(rewrite_error.is_some(), fails, "{missing}");
        }
    }
}

#[tokio::test]
async fn these_rights_are_enough() {
    let master = Server::start(&[]).await;
    let rights = "user errand on >pw +info +role +multi +exec +replicaof +config|rewrite \
                  +client|kill +client|setname +client|pause +client|unpause";
    let replica = replica_of(&master, &[rights]).await;
    let mut client = idle_client(&replica).await;
    let credentials = user("errand", "pw");
    let pause = Command::PauseWrites { for_ms: 1 };
    let switched = [pause, Command::Freeze, Command::Unpause];
    for command in
        [Command::Promote { run_id: None }, follow(&master, true)].into_iter().chain(switched)
    {
        let answer = errand(replica.addr(), Some(&credentials), &command, || true).await;
        assert_eq!(done(answer).1, None, "{command:?}");
    }
    assert!(is_cut(&mut client).await);
    let statistics = replica.statistics().await;
    assert!(!statistics.contains("rejected_calls=1"), "{statistics}");
}

#[tokio::test]
async fn a_master_that_hands_over_takes_no_write_and_keeps_what_it_has() {
    let master = Server::start(&[]).await;
    let replica = replica_of(&master, &[]).await;
    let offset = master.view().await.offset;
    let (paused, _) = done(send(&master, &Command::PauseWrites { for_ms: 60_000 }).await);
    assert_eq!(paused.role, Role::Master);
    let mut waits = client_that_says(&master, "SET waits 1").await;

    let (frozen, rewrite_error) = done(send(&master, &Command::Freeze).await);
    assert_eq!((frozen.role, rewrite_error), (Role::Replica, None));
    assert_eq!(frozen.upstream.as_ref().map(|up| &up.addr), Some(master.addr()));
    assert!(frozen.offset >= offset && frozen.replid == paused.replid);
    let level = within(LIMIT, "the replica has everything", async || {
        Some(replica.view().await).filter(|view| view.offset >= frozen.offset)
    });
    assert_eq!(level.await.unwrap().replid, frozen.replid, "and is linked still");

    let (promoted, _) = done(send(&replica, &Command::Promote { run_id: None }).await);
    assert_eq!((promoted.role, promoted.replid2), (Role::Master, Some(frozen.replid)));
    let (demoted, _) = done(send(&master, &follow(&replica, true)).await);
    assert_eq!(demoted.role, Role::Replica);
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(LIMIT, waits.read_to_end(&mut rest)).await;
    assert!(closed.is_ok() && rest.is_empty(), "what waited was not carried out: {rest:?}");
    within(LIMIT, "it follows without a full synchronisation", async || {
        let statistics: String = replica.command(&["INFO", "stats"]).await.unwrap();
        let linked = master.view().await.upstream.is_some_and(|up| up.link_up);
        (linked && statistics.contains("sync_full:0")).then_some(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn writes_wait_no_longer_when_that_is_said() {
    let master = Server::start(&[]).await;
    let _ = done(send(&master, &Command::PauseWrites { for_ms: 60_000 }).await);
    let mut waits = client_that_says(&master, "SET waits 1").await;
    let _ = done(send(&master, &Command::Unpause).await);
    let mut answer = [0; 5];
    tokio::time::timeout(LIMIT, waits.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"+OK\r\n");
}

#[tokio::test]
async fn clients_that_may_not_be_cut_do_not_stop_a_promotion() {
    let master = Server::start(&[]).await;
    let rights = "user errand on >pw +@all -client|kill";
    let replica = replica_of(&master, &[rights]).await;
    let credentials = user("errand", "pw");
    let answer =
        errand(replica.addr(), Some(&credentials), &Command::Promote { run_id: None }, || true)
            .await;
    assert_eq!(done(answer).0.role, Role::Master);
}

#[tokio::test]
async fn without_transactions_a_promotion_still_works() {
    let master = Server::start(&[]).await;
    let replica = replica_of(&master, &["user errand on >pw +@all -multi -role"]).await;
    let credentials = user("errand", "pw");
    let answer =
        errand(replica.addr(), Some(&credentials), &Command::Promote { run_id: None }, || true)
            .await;
    assert_eq!((done(answer)).0.role, Role::Master);
}

#[tokio::test]
async fn a_refused_promotion_changes_nothing() {
    let master = Server::start(&[]).await;
    let rights = "user errand on >pw +@all -replicaof";
    let replica = replica_of(&master, &[rights]).await;
    let credentials = user("errand", "pw");
    let answer =
        errand(replica.addr(), Some(&credentials), &Command::Promote { run_id: None }, || true)
            .await;
    assert!(matches!(answer, Answer::Failed(NodeFault::Denied(_))), "{answer:?}");
    assert_eq!(replica.view().await.role, Role::Replica);
    assert!(!replica.statistics().await.contains("cmdstat_client|kill:calls=1"));
}

#[tokio::test]
async fn wrong_credentials_are_denied() {
    let server = Server::start_as(None, Some("right"), &[]).await;
    for credentials in [None, Some(password("wrong"))] {
        for command in [Command::Inspect, Command::Promote { run_id: None }] {
            let answer = errand(server.addr(), credentials.as_ref(), &command, || true).await;
            assert!(matches!(answer, Answer::Failed(NodeFault::Denied(_))), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_ended_permission_sends_nothing() {
    let master = Server::start(&[]).await;
    let commands = [Command::Promote { run_id: None }, follow(&master, true)];
    for command in commands {
        let server = Server::start(&[]).await;
        // Ended before connecting, and while connecting.
        for allowed in [0, 1] {
            let asked = AtomicUsize::new(0);
            let permitted = || asked.fetch_add(1, Ordering::Relaxed) < allowed;
            let answer = errand(server.addr(), None, &command, permitted).await;
            assert_eq!(answer, Answer::Failed(NodeFault::Expired));
        }
        let statistics = server.statistics().await;
        for name in ["multi", "replicaof", "config|rewrite", "client|kill", "exec"] {
            assert!(!statistics.contains(&format!("cmdstat_{name}:")), "{name}: {statistics}");
        }
        assert_eq!(server.view().await.role, Role::Master);
    }
}

#[tokio::test]
async fn a_permission_that_ends_between_two_tries_stops_the_second() {
    let nobody = nobody();
    let replica = Server::start_as(Some(&nobody), None, &["rename-command CLIENT \"\""]).await;
    let asked = AtomicUsize::new(0);
    let permitted = || asked.fetch_add(1, Ordering::Relaxed) < 2;
    let answer = errand(replica.addr(), None, &Command::Promote { run_id: None }, permitted).await;
    assert_eq!(answer, Answer::Failed(NodeFault::Expired));
    assert_eq!(replica.view().await.role, Role::Replica);
}

#[tokio::test]
async fn a_dead_node_refuses_and_a_stopped_one_is_given_up_in_time() {
    let answer = errand(&nobody(), None, &Command::Promote { run_id: None }, || true).await;
    assert_eq!(answer, Answer::Failed(NodeFault::Refused));
    let server = Server::start(&[]).await;
    server.stop().unwrap();
    let limit = Duration::from_millis(100);
    let node = server.addr();
    let stopped =
        Errand { node, credentials: None, name: "vedette-test", limit, kept: None, tls: None };
    let answer = tokio::time::timeout(
        LIMIT,
        carry_out(stopped, &Command::Promote { run_id: None }, || true),
    )
    .await;
    assert_eq!(answer, Ok(Answer::Failed(NodeFault::TimedOut)));
    server.cont().unwrap();
}

#[tokio::test]
async fn the_next_command_goes_over_the_connection_of_the_one_before() {
    let server = Server::start(&[]).await;
    let kept = Kept::default();
    let run_id = done(keeping(&kept, &server, &Command::Inspect).await).0.run_id;
    done(keeping(&kept, &server, &Command::PauseWrites { for_ms: 10 }).await);
    done(keeping(&kept, &server, &Command::Freeze).await);
    done(keeping(&kept, &server, &Command::Promote { run_id: Some(run_id) }).await);
    let statistics = server.statistics().await;
    assert!(statistics.contains("cmdstat_client|setname:calls=1,"), "{statistics}");
    assert!(statistics.contains("cmdstat_info:calls=4,"), "who it is, is known: {statistics}");
}

#[tokio::test]
async fn a_kept_connection_does_not_hide_that_the_process_was_restarted() {
    let mut server = Server::start(&[]).await;
    let kept = Kept::default();
    let before = done(keeping(&kept, &server, &Command::Inspect).await).0.run_id;
    server.kill9().unwrap();
    server.restart().unwrap();
    server.answers().await.unwrap();
    let promote = Command::Promote { run_id: Some(before.clone()) };
    let answer = keeping(&kept, &server, &promote).await;
    assert_eq!(answer, Answer::Failed(NodeFault::Replaced));
    let now = done(keeping(&kept, &server, &Command::Inspect).await).0.run_id;
    assert_ne!(now, before);
}

#[tokio::test]
async fn another_login_gets_a_connection_of_its_own() {
    let server = Server::start(&[]).await;
    server.run(&["ACL", "SETUSER", "other", "on", ">secret", "+@all"]).await;
    let kept = Kept::default();
    done(keeping(&kept, &server, &Command::Inspect).await);
    let (node, login) = (server.addr(), user("other", "wrong"));
    let credentials = Some(&login);
    let other = Errand {
        node,
        credentials,
        name: "vedette-test",
        limit: SOON,
        kept: Some(&kept),
        tls: None,
    };
    let answer = carry_out(other, &Command::Inspect, || true).await;
    assert!(matches!(answer, Answer::Failed(NodeFault::Denied(_))), "{answer:?}");
}

#[tokio::test]
async fn a_connection_that_nobody_uses_is_closed() {
    let server = Server::start(&[]).await;
    let kept = Kept::default();
    done(keeping(&kept, &server, &Command::Inspect).await);
    let ours = async || -> bool {
        let list: String = server.command(&["CLIENT", "LIST"]).await.unwrap();
        list.contains("name=vedette-test")
    };
    assert!(ours().await);
    let gone = async || (!ours().await).then_some(());
    within(LIMIT, "it is closed", gone).await.unwrap();
}
