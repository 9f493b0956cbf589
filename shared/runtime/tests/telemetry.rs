//! Traces on the wire. Alone in its process: telemetry is set up once.

mod support;

use std::sync::{Arc, Mutex};
use support::{NatsServer, eventually, group, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use vedette_model::{Epoch, Fact, NodeAddr, Service, StatusQuery, TraceId};
use vedette_runtime::config::{LogConfig, LogFormat, TelemetryConfig};
use vedette_runtime::life::{Named, Threads};
use vedette_runtime::{Observer, telemetry};
use vedette_trace::{Heard, Notes, Span, Witness, names};

/// An HTTP/2 server's first words: an empty SETTINGS frame.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Records a span for whatever is said.
struct Saying(TraceId);

impl Witness for Saying {
    fn heard(&mut self, _: &Heard<'_>) {}

    fn says(&mut self, _: &Fact, _: u64) {}

    fn take(&mut self) -> Notes {
        let spans = vec![Span::new(self.0, names::VERDICT, "v1", 1, 2)];
        Notes { spans, ..Notes::default() }
    }
}

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
    let traces = TelemetryConfig { otlp_endpoint: Some(endpoint), ..TelemetryConfig::default() };
    let named = Named { service: "voter", traced: "voter", id: "v1", threads: Threads::One };
    let telemetry = telemetry::init(&named, &log, &traces).unwrap();
    assert!(telemetry::init(&named, &log, &traces).is_err(), "twice is once too often");

    let addr = NodeAddr::parse("10.0.0.1:6379").unwrap();
    let trace = TraceId::of(&group("orders"), Epoch(7), &addr, None);
    let server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Voter, "v1", 1).await;
    let observer = Observer::new(&bus, Saying(trace));
    observer.says(&StatusQuery {}.into());

    let holds = |wanted: &[u8]| {
        let heard = heard.lock().unwrap();
        heard.windows(wanted.len()).any(|bytes| bytes == wanted)
    };
    let arrived = || async { holds(names::VERDICT.as_bytes()) };
    eventually("the collector hears our span", arrived).await;
    assert!(holds(&trace.as_u128().to_be_bytes()));
    assert!(holds(b"vedette-voter") && holds(b"service.instance.id"));
    assert!(holds(b"voter/v1"));

    observer.says(&StatusQuery {}.into());
    let begun = vedette_runtime::Clock::start();
    soon(telemetry.finish()).await;
    assert!(begun.now().as_nanos() < 4_000_000_000, "{:?}", begun.now());
}
