//! The whole service on a real NATS.

use crate::support::{Answer, Receiver, event};
use std::path::Path;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vedette_harness::{LIMIT, NatsServer, within};
use vedette_model::{Event, EventName, Fact, FactKind, Health, Service, StatusQuery};
use vedette_notifier::{Config, run};
use vedette_runtime::{Bus, Received, Shutdown, life};

/// A notifier, its NATS, and somebody who talks to it.
struct Stage {
    folder: TempDir,
    nats: Vec<NatsServer>,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
    bus: Bus,
    heard: mpsc::Receiver<Received>,
}

impl Stage {
    async fn set(configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nats = NatsServer::start(1, false, folder.path()).await.unwrap();
        let mut config = Config::default();
        config.common.id = "n1".into();
        config.common.nats.servers = vec![nats[0].url().into()];
        configure(&mut config);
        let shutdown = Shutdown::new();
        let bus = life::visit(&config.common.nats, &shutdown).await.unwrap();
        let heard = bus.subscribe(&[FactKind::Heartbeat]).await.unwrap();
        let running = tokio::spawn(run(config, shutdown.clone()));
        let mut stage = Self { folder, nats, shutdown, running, bus, heard };
        // It has subscribed when it sends heartbeats of its machine.
        stage.health(|_| true).await;
        stage
    }

    async fn tell(&self, event: &Event) {
        self.bus.publish(&event.clone().into()).await;
    }

    /// Asks until the notifier's health is such.
    async fn health(&mut self, wanted: impl Fn(&Health) -> bool) -> Health {
        let asking = async {
            loop {
                self.bus.publish(&StatusQuery {}.into()).await;
                let Fact::Heartbeat(beat) = self.heard.recv().await.unwrap().fact else { continue };
                if beat.service == Service::Notifier && beat.tick > 0 && wanted(&beat.health) {
                    return beat.health;
                }
            }
        };
        timeout(LIMIT, asking).await.expect("the notifier's health")
    }

    /// Stops it, and gives its folder for looking at what is left.
    async fn end(self) -> TempDir {
        self.shutdown.trigger("the test is over");
        timeout(LIMIT, self.running).await.expect("it stops").unwrap().unwrap();
        drop(self.nats);
        self.folder
    }
}

fn switch(id: &str) -> Event {
    event(id, EventName::SwitchMaster, "g 10.0.0.1 6379 10.0.0.2 6379")
}

fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts").join(name)
}

#[tokio::test]
async fn an_event_reaches_a_receiver_that_fails_at_first_once_and_in_order() {
    let receiver = Receiver::start(&[Answer::Status("503 Busy"), Answer::HangUp]).await;
    let url = receiver.url.clone();
    let mut stage = Stage::set(|config| config.sink.webhook.urls = vec![url]).await;
    for id in ["1", "2", "1"] {
        stage.tell(&switch(id)).await;
    }
    stage.health(|health| matches!(health, Health::Impaired(why) if why.contains("webhook"))).await;
    let ids = || {
        let requests = receiver.requests();
        let ids = requests.iter().map(|request| request.header("vedette-event-id").unwrap().into());
        ids.collect::<Vec<String>>()
    };
    let all = within(LIMIT, "both events are delivered", async || (ids().len() >= 4).then_some(()));
    all.await.unwrap();
    stage.health(|health| *health == Health::Well).await;
    stage.end().await;
    assert_eq!(ids(), ["1", "1", "1", "2"], "two failures, then each once");
}

#[tokio::test]
async fn a_dead_receiver_delays_no_script_and_no_end() {
    let receiver = Receiver::start(&[Answer::Silence]).await;
    let url = receiver.url.clone();
    let stage = Stage::set(|config| {
        config.sink.webhook.urls = vec![url];
        config.sink.webhook.limit_ms = 600_000;
        config.sink.executable.notification_script = Some(script("record"));
    })
    .await;
    let file = stage.folder.path().join("told");
    stage.tell(&event("1", EventName::Odown, file.to_str().unwrap())).await;
    let told = within(LIMIT, "the script ran", async || file.exists().then_some(()));
    told.await.unwrap();
    let waits = within(LIMIT, "the receiver has it", async || receiver.requests().pop());
    waits.await.unwrap();
    stage.end().await;
}

#[tokio::test]
async fn a_reconfig_script_runs_on_a_switch_alone() {
    let mut stage = Stage::set(|config| {
        config.sink.executable.client_reconfig_script = Some(script("show-switch"));
    })
    .await;
    stage.tell(&event("1", EventName::Odown, "master g 10.0.0.1 6379")).await;
    stage.tell(&switch("2")).await;
    // The script refuses and says what it was called with.
    let health = stage.health(|health| *health != Health::Well).await;
    let Health::Impaired(why) = health else { panic!("{health:?}") };
    assert!(why.contains("client-reconfig-script"), "{why}");
    assert!(why.contains("7 g leader start 10.0.0.1 6379 10.0.0.2 6379"), "{why}");
    stage.end().await;
}
