//! TLS to real servers.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod server;

use server::Server;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use vedette_harness::papers::Papers;
use vedette_harness::{LIMIT, ports, within};
use vedette_model::{Answer, Command, NodeAddr, NodeFault, Role};
use vedette_node::command::{Errand, carry_out};
use vedette_node::link::{Ask, Heard};
use vedette_node::{Link, Lookups, Reply, Tls};

const SOON: Duration = Duration::from_secs(5);
const HOST: &str = "127.0.0.1";

/// A server that speaks TLS on a port of its own, and its papers.
struct Script {
    server: Server,
    papers: Papers,
    folder: TempDir,
    at: NodeAddr,
}

impl Script {
    /// `wants` says whether clients need a certificate.
    async fn new(wants: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let papers = Papers::issue(folder.path(), &[HOST]).unwrap();
        let at = NodeAddr::new(HOST, ports::free().unwrap()).unwrap();
        let lines = [
            format!("tls-port {}", at.port()),
            format!("tls-cert-file {}", papers.certificate.display()),
            format!("tls-key-file {}", papers.key.display()),
            format!("tls-ca-cert-file {}", papers.authority.display()),
            format!("tls-auth-clients {}", if wants { "yes" } else { "no" }),
        ];
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        let server = Server::start(&lines).await;
        Self { server, papers, folder, at }
    }

    fn trusting(authority: &Path) -> Arc<Tls> {
        Tls::configured(Some(authority.into()), None, None).unwrap().unwrap()
    }

    fn tls(&self) -> Arc<Tls> {
        Self::trusting(&self.papers.authority)
    }

    async fn open(&self, at: &NodeAddr, tls: Arc<Tls>) -> Result<Link, NodeFault> {
        Link::open(at, &Lookups::over(Some(tls)), None, "vedette-test", SOON).await
    }
}

async fn carried_out(at: &NodeAddr, tls: &Arc<Tls>, command: &Command) -> Answer {
    let name = "vedette-test";
    let tls = Some(tls);
    let errand = Errand { node: at, credentials: None, name, limit: SOON, kept: None, tls };
    carry_out(errand, command, || true).await
}

fn words(fault: Result<Link, NodeFault>) -> String {
    match fault {
        Err(NodeFault::Denied(words)) => words,
        other => panic!("{:?}", other.map(|_| "a link")),
    }
}

#[tokio::test]
async fn questions_are_answered_however_long_the_answer() {
    let script = Script::new(false).await;
    let mut link = script.open(&script.at, script.tls()).await.unwrap();
    for _ in 0..20 {
        assert!(link.ask(Ask::Ping) && link.ask(Ask::Info));
        let pong = tokio::time::timeout(LIMIT, link.next()).await.unwrap().unwrap();
        assert!(matches!(pong, Heard::Pong(Reply::Text(_))), "{pong:?}");
        let info = tokio::time::timeout(LIMIT, link.next()).await.unwrap().unwrap();
        let Heard::Info(Ok(view)) = info else { panic!("{info:?}") };
        assert_eq!(view.role, Role::Master);
    }
}

#[tokio::test]
async fn a_node_is_promoted_and_its_end_is_heard_at_once() {
    let mut script = Script::new(false).await;
    let tls = script.tls();
    let frozen = carried_out(&script.at, &tls, &Command::Freeze).await;
    assert!(matches!(frozen, Answer::Done { .. }), "{frozen:?}");
    let promote = Command::Promote { run_id: None };
    let Answer::Done { view, .. } = carried_out(&script.at, &tls, &promote).await else {
        panic!("not promoted")
    };
    assert_eq!(view.role, Role::Master);
    let mut link = script.open(&script.at, tls).await.unwrap();
    script.server.kill9().unwrap();
    let end = tokio::time::timeout(LIMIT, link.next()).await.unwrap();
    assert!(matches!(end, Err(NodeFault::Broken(_))), "{end:?}");
}

#[tokio::test]
async fn what_is_wrong_is_our_fault_and_says_what_to_do() {
    let script = Script::new(true).await;
    let other = TempDir::new().unwrap();
    let stranger = Papers::issue(other.path(), &[HOST]).unwrap();
    let untrusted = script.open(&script.at, Script::trusting(&stranger.authority)).await;
    assert!(words(untrusted).contains("nodes.ca_file"));
    // Redis waits for the end of what it takes for a command: nobody can tell that from silence.
    let plain = script.open(script.server.addr(), script.tls()).await;
    assert!(matches!(plain, Err(NodeFault::TimedOut)));
    // It wants a certificate, and we show none.
    let bare = within(LIMIT, "the node refuses", async || {
        let mut link = match script.open(&script.at, script.tls()).await {
            Ok(link) => link,
            Err(fault) => return Some(fault),
        };
        link.ask(Ask::Ping);
        link.next().await.err()
    });
    let bare = bare.await.unwrap();
    assert!(matches!(&bare, NodeFault::Denied(words) if words.contains("key_file")), "{bare:?}");
    let Papers { authority, certificate, key } = &script.papers;
    let (certificate, key) = (certificate.clone(), key.clone());
    let own = Tls::configured(Some(authority.clone()), Some(certificate), Some(key));
    let shown = carried_out(&script.at, &own.unwrap().unwrap(), &Command::Inspect).await;
    assert!(matches!(shown, Answer::Done { .. }), "{shown:?}");
    let missing = Tls::configured(Some("/no/ca.pem".into()), None, None).unwrap_err();
    assert!(missing.to_string().contains("/no/ca.pem"), "{missing}");
}

#[tokio::test]
async fn a_new_authority_is_taken_without_a_restart() {
    let script = Script::new(false).await;
    let other = TempDir::new().unwrap();
    let stranger = Papers::issue(other.path(), &[HOST]).unwrap();
    let file = script.folder.path().join("trusted.pem");
    std::fs::copy(&stranger.authority, &file).unwrap();
    let tls = Script::trusting(&file);
    assert!(script.open(&script.at, Arc::clone(&tls)).await.is_err());
    std::fs::write(&file, "half a file").unwrap();
    assert!(script.open(&script.at, Arc::clone(&tls)).await.is_err());
    std::fs::copy(&script.papers.authority, &file).unwrap();
    assert!(script.open(&script.at, tls).await.is_ok());
}
