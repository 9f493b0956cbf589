//! The bus over TLS, with a certificate of its own.

#![allow(clippy::unwrap_used, reason = "all of this is test code")]

mod support;

use async_nats::connection::State;
use std::path::Path;
use support::{NatsServer, eventually, soon};
use vedette_harness::papers::Papers;
use vedette_model::{Sender, Service};
use vedette_runtime::bus::BusError;
use vedette_runtime::{Bus, NatsConfig, Shutdown};

/// What a server is told that shows these papers and wants to see others of the same authority.
fn arguments(papers: &Papers) -> Vec<String> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    let files = [
        ("--tlscert", &papers.certificate),
        ("--tlskey", &papers.key),
        ("--tlscacert", &papers.authority),
    ];
    let files = files.into_iter().flat_map(|(flag, file)| [flag.to_owned(), path(file)]);
    ["--tls".to_owned(), "--tlsverify".into()].into_iter().chain(files).collect()
}

async fn started(arguments: &[String]) -> NatsServer {
    NatsServer::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await
}

fn config(server: &NatsServer, papers: &Papers) -> NatsConfig {
    NatsConfig {
        servers: vec![format!("tls://127.0.0.1:{}", server.port)],
        ca_file: Some(papers.authority.clone()),
        // Who issues it says nothing of what it is for.
        certificate_file: Some(papers.certificate.clone()),
        key_file: Some(papers.key.clone()),
        ..NatsConfig::default()
    }
}

async fn connect(config: &NatsConfig) -> Result<Bus, BusError> {
    let sender = Sender::parse(Service::Voter, "v1", 1).unwrap();
    Bus::connect(config, sender, &Shutdown::new()).await
}

#[tokio::test]
async fn a_server_that_verifies_lets_in_who_shows_a_certificate_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let papers = Papers::issue(folder.path(), &["127.0.0.1"]).unwrap();
    let server = started(&arguments(&papers)).await;
    let with = config(&server, &papers);
    let bus = soon(connect(&with)).await.unwrap();
    assert_eq!(bus.client().connection_state(), State::Connected);

    let without = NatsConfig { certificate_file: None, key_file: None, ..with };
    tokio::select! {
        joined = connect(&without) => panic!("it was let in: {}", joined.is_ok()),
        () = eventually("the server refuses it", || async {
            server.log().contains("client didn't provide a certificate")
        }) => {}
    }
}

#[tokio::test]
async fn certificate_key_and_authority_are_read_again_when_it_connects_again() {
    let folder = tempfile::tempdir().unwrap();
    let papers = Papers::issue(folder.path(), &["127.0.0.1"]).unwrap();
    let arguments = arguments(&papers);
    let mut server = started(&arguments).await;
    let bus = soon(connect(&config(&server, &papers))).await.unwrap();
    server.kill();
    let state = || bus.client().connection_state();
    eventually("it is disconnected", || async { state() != State::Connected }).await;

    // All three of another authority, in the same files: what was read before fits nothing.
    Papers::issue(folder.path(), &["127.0.0.1"]).unwrap();
    server.restart(&arguments.iter().map(String::as_str).collect::<Vec<_>>()).await;
    eventually("it is connected", || async { state() == State::Connected }).await;
}
