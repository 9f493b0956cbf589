//! What is said while JetStream is missing. Alone in its process: it reads the log.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::{LIMIT, NatsServer, eventually, group, master, refused};
use tracing_subscriber::fmt::MakeWriter;
use vedette_model::{Health, Service};
use vedette_runtime::Retainer;
use vedette_runtime::retained::{RetainedError, retained};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn count(&self, text: &str) -> usize {
        String::from_utf8_lossy(&self.0.lock().expect("no writer panicked")).matches(text).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no writer panicked").write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn missing_jetstream_is_said_once_delays_nobody_and_is_made_up_for() {
    let log = Log::default();
    tracing_subscriber::fmt().with_ansi(false).with_writer(log.clone()).init();
    let mut server = NatsServer::start(&[]).await;
    let bus = server.bus(Service::Orchestrator, "o1", 1).await;
    let retainer = Retainer::spawn(&bus);
    assert_eq!(retainer.health(), Health::Well, "a moment without is no trouble");
    retainer.retain(master("orders", 1, 1, 6000));
    retainer.retain(master("orders", 2, 2, 6001));

    let mut health = retainer.watch_health();
    let impaired = |health: &Health| matches!(health, Health::Impaired(_));
    tokio::time::timeout(LIMIT, health.wait_for(impaired)).await.unwrap().unwrap();
    let Health::Impaired(text) = retainer.health() else { panic!("it was impaired") };
    assert!(text.contains("jetstream is not there") && text.contains("enable it"), "{text}");
    assert!(!retainer.drain(Duration::ZERO).await);
    let error = refused(retained(&bus, &group("orders"), LIMIT).await);
    assert!(matches!(error, RetainedError::Absent), "{error}");

    server.kill();
    server.restart(&["--jetstream"]).await;
    assert!(retainer.drain(LIMIT).await);
    let kept = retained(&bus, &group("orders"), LIMIT).await.unwrap();
    assert_eq!(kept, Some(master("orders", 2, 2, 6001)));
    eventually("it is well again", || async { retainer.health() == Health::Well }).await;
    assert_eq!(log.count("masters are not retained for late subscribers; failovers"), 1);
    assert_eq!(log.count("masters are retained again"), 1);
    assert_eq!(log.count("WARN"), 1);
}
