use super::*;
use crate::commands::tests::{ENDS, answers};
use crate::config::ClientsConfig;
use tokio::io::duplex;
use vedette_harness::papers::Papers;
use vedette_runtime::tls::Files;

#[tokio::test(start_paused = true)]
async fn a_handshake_that_says_nothing_takes_no_place_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let Papers { certificate, key, .. } = Papers::issue(folder.path(), &["gateway.test"]).unwrap();
    let tls = Tls::load(Files { certificate, key, client_ca: None }).unwrap();
    let (_client, server) = duplex(64);
    let answers = answers(ClientsConfig::default());
    let since = answers.now();
    encrypted(server, ENDS, Arc::clone(&answers), &tls).await;
    assert!(answers.now().since(since) <= LOGIN_LIMIT + Duration::from_secs(1));
    let text = answers.metrics().meter.text(vedette_runtime::metrics::Form::OpenMetrics).unwrap();
    assert!(text.contains("refused_total{reason=\"handshake\"} 1"), "{text}");
}
