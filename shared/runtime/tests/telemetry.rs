//! Traces on the wire. Alone in its process: telemetry is set up once.

mod support;

use std::sync::{Arc, Mutex};
use support::{eventually, group, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vedette_model::{Epoch, NodeAddr, TraceId};
use vedette_runtime::config::{LogConfig, LogFormat, TelemetryConfig};
use vedette_runtime::telemetry;

/// An HTTP/2 server's first words: an empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

#[tokio::test(flavor = "multi_thread")]
async fn spans_go_to_the_collector_and_one_that_never_answers_holds_nobody_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let keep = Arc::clone(&heard);
    // Takes everything, answers nothing.
    tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            socket.write_all(&SETTINGS).await.unwrap();
            let keep = Arc::clone(&keep);
            tokio::spawn(async move {
                let mut buffer = vec![0; 4096];
                while let Ok(count @ 1..) = socket.read(&mut buffer).await {
                    keep.lock().unwrap().extend_from_slice(&buffer[..count]);
                }
            });
        }
    });
    let log = LogConfig { format: LogFormat::Json, level: "off".into(), file: None };
    let traces = TelemetryConfig { otlp_endpoint: Some(endpoint) };
    let telemetry = telemetry::init("voter", "v1", &log, &traces).unwrap();
    assert!(telemetry::init("voter", "v1", &log, &traces).is_err(), "twice is once too often");

    let addr = NodeAddr::parse("10.0.0.1:6379").unwrap();
    let trace = TraceId::of(&group("orders"), Epoch(7), &addr, None);
    let span = tracing::info_span!(target: "vedette_test", "the_span_we_look_for");
    telemetry::attach(&span, trace);
    drop(span);
    drop(tracing::info_span!(target: "h2", "a_span_of_the_exporters_own"));

    let holds = |wanted: &[u8]| {
        let heard = heard.lock().unwrap();
        heard.windows(wanted.len()).any(|bytes| bytes == wanted)
    };
    let arrived = || async { holds(b"the_span_we_look_for") };
    eventually("the collector hears our span", arrived).await;
    assert!(holds(&trace.as_u128().to_be_bytes()));
    assert!(holds(b"vedette-voter") && holds(b"service.instance.id"));
    assert!(!holds(b"a_span_of_the_exporters_own"));

    drop(tracing::info_span!(target: "vedette_test", "the_last_one"));
    let begun = vedette_runtime::Clock::start();
    soon(telemetry.finish()).await;
    assert!(begun.now().as_nanos() < 4_000_000_000, "{:?}", begun.now());
}
