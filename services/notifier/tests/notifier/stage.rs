//! The service on a real NATS, for the tests of several files.

use std::path::Path;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use vedette_harness::{LIMIT, NatsServer, within};
use vedette_model::{Event, Fact, FactKind, Health, Service, StatusQuery};
use vedette_notifier::{Config, run};
use vedette_runtime::history::{Kept, What, past};
use vedette_runtime::{Bus, Historian, HistoryConfig, Received, Shutdown, life};

/// A NATS, somebody who talks on it, and notifiers.
pub struct Stage {
    folder: TempDir,
    nats: Vec<NatsServer>,
    pub bus: Bus,
    heard: mpsc::Receiver<Received>,
    historian: Option<Historian>,
    base: Config,
    running: Vec<(String, Shutdown, JoinHandle<anyhow::Result<()>>)>,
}

impl Stage {
    /// With one notifier, `n1`, and a history that is kept.
    pub async fn set(configure: impl FnOnce(&mut Config)) -> Self {
        let mut stage = Self::empty(true, configure).await;
        stage.start("n1").await;
        stage
    }

    /// With JetStream or without, and nobody who notifies.
    pub async fn empty(jetstream: bool, configure: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let nats = NatsServer::start(1, jetstream, folder.path()).await.unwrap();
        let mut base = Config::default();
        base.common.nats.servers = vec![nats[0].url().into()];
        configure(&mut base);
        let shutdown = Shutdown::new();
        let bus = life::visit(&base.common.nats, &shutdown).await.unwrap();
        let heard = bus.subscribe(&[FactKind::Heartbeat]).await.unwrap();
        let historian = jetstream.then(|| Historian::spawn(&bus, &HistoryConfig::default()));
        if let Some(historian) = &historian {
            let begun = async || historian.is_reached().then_some(());
            within(LIMIT, "the history is begun", begun).await.unwrap();
        }
        Self { folder, nats, bus, heard, historian, base, running: Vec::new() }
    }

    /// Changes the configuration of those that are started from now on.
    pub fn set_anew(&mut self, configure: impl FnOnce(&mut Config)) {
        configure(&mut self.base);
    }

    /// Starts a notifier and waits until it listens.
    pub async fn start(&mut self, id: &str) {
        let mut config = self.base.clone();
        config.common.id = id.into();
        let shutdown = Shutdown::new();
        let running = tokio::spawn(run(config, shutdown.clone()));
        self.running.push((id.into(), shutdown, running));
        // It has subscribed when it sends heartbeats of its machine.
        self.health_of(id, |_| true).await;
    }

    /// Ends one politely.
    pub async fn stop(&mut self, id: &str) {
        let (shutdown, running) = self.take(id);
        shutdown.trigger("the test is over");
        timeout(LIMIT, running).await.expect("it stops").unwrap().unwrap();
    }

    /// Ends one as a `kill -9` would.
    pub fn kill(&mut self, id: &str) {
        self.take(id).1.abort();
    }

    fn take(&mut self, id: &str) -> (Shutdown, JoinHandle<anyhow::Result<()>>) {
        let at = self.running.iter().position(|(name, ..)| name == id).unwrap();
        let (_, shutdown, running) = self.running.remove(at);
        (shutdown, running)
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Says it on the bus, and waits until the history has it if there is one.
    pub async fn tell(&self, event: &Event) {
        self.bus.publish(&event.clone().into()).await;
        if self.historian.is_none() {
            return;
        }
        within(LIMIT, "the history has it", async || {
            let past = past(&self.bus, None, None, LIMIT).await.ok()?;
            let is_it = |kept: &Kept| {
                matches!(&kept.what, What::Said { fact: Fact::Event(e), .. } if e.id == event.id)
            };
            past.kept.iter().any(is_it).then_some(())
        })
        .await
        .unwrap();
    }

    /// Asks until the notifier `n1`'s health is such.
    pub async fn health(&mut self, wanted: impl Fn(&Health) -> bool) -> Health {
        self.health_of("n1", wanted).await
    }

    /// Asks until a notifier's health is such.
    pub async fn health_of(&mut self, id: &str, wanted: impl Fn(&Health) -> bool) -> Health {
        let asking = async {
            loop {
                self.bus.publish(&StatusQuery {}.into()).await;
                let Fact::Heartbeat(beat) = self.heard.recv().await.unwrap().fact else { continue };
                let is_it = beat.service == Service::Notifier && beat.id == id;
                if is_it && beat.tick > 0 && wanted(&beat.health) {
                    return beat.health;
                }
            }
        };
        timeout(LIMIT, asking).await.expect("the notifier's health")
    }

    /// Stops all, and gives the folder for looking at what is left.
    pub async fn end(mut self) -> TempDir {
        while let Some((id, ..)) = self.running.first() {
            let id = id.clone();
            self.stop(&id).await;
        }
        drop(self.nats);
        self.folder
    }
}
