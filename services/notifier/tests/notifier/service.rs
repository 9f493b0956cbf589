//! The whole service on a real NATS.

use crate::stage::Stage;
use crate::support::{Answer, Receiver, event};
use std::path::Path;
use vedette_harness::{LIMIT, within};
use vedette_model::{Event, EventName, Health};

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
    let file = stage.path().join("told");
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
