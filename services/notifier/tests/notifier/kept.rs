//! What is told although somebody was away: the notifier, its receiver, or JetStream.

use crate::stage::Stage;
use crate::support::{Answer, Receiver, event};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use std::time::Duration;
use vedette_harness::{LIMIT, within};
use vedette_model::{Event, EventName, GroupName, Health, Secret, Service};
use vedette_notifier::Config;
use vedette_notifier::webhook::Webhook;
use vedette_protocol::notice::Outcome;
use vedette_runtime::Overrides;
use vedette_runtime::config::load_from;
use vedette_runtime::outbox::DeadLetters;

fn odown(id: &str) -> Event {
    event(id, EventName::Odown, "master g 10.0.0.1 6379")
}

fn to(receiver: &Receiver) -> impl FnOnce(&mut Config) {
    let url = receiver.url.clone();
    move |config| config.sink.webhook.urls = vec![url]
}

fn of(group: &str, id: &str) -> Event {
    Event { group: GroupName::parse(group).unwrap(), ..odown(id) }
}

/// Reads the routing table as from a configuration file.
fn route(config: &mut Config, rows: &str) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), rows).unwrap();
    let id = [("VEDETTE_ID".to_string(), "n1".to_string())];
    let own = Overrides::default();
    let loaded: Config = load_from(Service::Notifier, Some(file.path()), id, own).unwrap();
    config.route = loaded.route;
}

/// Waits until these ids have come; what came in all.
async fn come(receiver: &Receiver, wanted: &[&str]) -> Vec<String> {
    let what = format!("{wanted:?} come");
    within(LIMIT, &what, async || {
        let ids = receiver.ids();
        wanted.iter().all(|id| ids.iter().any(|come| come == id)).then_some(ids)
    })
    .await
    .unwrap()
}

/// Each id once, where it stood first.
fn once(ids: &[String]) -> Vec<&str> {
    let mut first = Vec::new();
    for id in ids {
        if !first.contains(&id.as_str()) {
            first.push(id.as_str());
        }
    }
    first
}

#[tokio::test]
async fn what_was_said_while_no_notifier_ran_is_told_by_the_next_in_order_and_once() {
    let receiver = Receiver::start(&[]).await;
    let mut stage = Stage::set(to(&receiver)).await;
    stage.tell(&odown("1")).await;
    come(&receiver, &["1"]).await;
    stage.stop("n1").await;
    for id in ["2", "3", "4"] {
        stage.tell(&odown(id)).await;
    }
    stage.start("n1").await;
    assert_eq!(come(&receiver, &["2", "3", "4"]).await, ["1", "2", "3", "4"]);
    stage.end().await;
}

#[tokio::test]
async fn of_two_notifiers_one_tells_and_when_it_is_killed_the_other_goes_on() {
    let receiver = Receiver::start(&[]).await;
    let mut stage = Stage::empty(true, to(&receiver)).await;
    stage.start("n1").await;
    stage.start("n2").await;
    for id in ["1", "2"] {
        stage.tell(&odown(id)).await;
    }
    come(&receiver, &["1", "2"]).await;
    stage.kill("n1");
    for id in ["3", "4"] {
        stage.tell(&odown(id)).await;
    }
    come(&receiver, &["3", "4"]).await;
    stage.start("n3").await;
    stage.kill("n2");
    stage.tell(&odown("5")).await;
    let ids = come(&receiver, &["5"]).await;
    assert_eq!(once(&ids), ["1", "2", "3", "4", "5"], "{ids:?}");
    stage.end().await;
}

#[tokio::test]
async fn what_a_killed_notifier_could_not_deliver_comes_first_from_the_next() {
    // The first one's try has no answer until it is killed.
    let receiver = Receiver::start(&[Answer::Silence]).await;
    let mut stage = Stage::set(to(&receiver)).await;
    stage.tell(&odown("1")).await;
    stage.tell(&odown("2")).await;
    come(&receiver, &["1"]).await;
    stage.kill("n1");
    stage.tell(&odown("3")).await;
    stage.start("n2").await;
    let ids = come(&receiver, &["1", "2", "3"]).await;
    assert_eq!(once(&ids), ["1", "2", "3"], "{ids:?}");
    stage.end().await;
}

#[tokio::test]
async fn what_a_receiver_refuses_is_kept_and_told_again_on_demand() {
    let receiver = Receiver::start(&[Answer::Status("404 Where")]).await;
    let mut stage = Stage::set(to(&receiver)).await;
    stage.tell(&odown("1")).await;
    stage.tell(&odown("2")).await;
    come(&receiver, &["2"]).await;
    let dead = DeadLetters::new(&stage.bus);
    let kept = within(LIMIT, "it is kept", async || dead.list().await.ok()?.pop()).await.unwrap();
    assert_eq!((kept.letter.sink.as_str(), kept.letter.tries), ("webhook", 1));
    assert_eq!((kept.letter.event.id.as_str(), kept.letter.by.as_str()), ("1", "notifier/n1"));
    assert!(kept.letter.why.contains("404"), "{}", kept.letter.why);
    dead.tell_again(&kept).await.unwrap();
    let again = async || (receiver.ids() == ["1", "2", "1"]).then_some(());
    within(LIMIT, "it is told again", again).await.unwrap();
    assert_eq!(dead.list().await.unwrap(), []);
    // Told by nobody before: a restart does not repeat it.
    stage.stop("n1").await;
    stage.start("n1").await;
    stage.tell(&odown("3")).await;
    assert_eq!(come(&receiver, &["3"]).await, ["1", "2", "1", "3"]);
    stage.end().await;
}

#[tokio::test]
async fn without_jetstream_it_is_told_live_and_health_says_what_is_missing() {
    let receiver = Receiver::start(&[]).await;
    let mut stage = Stage::empty(false, to(&receiver)).await;
    stage.start("n1").await;
    stage.tell(&odown("1")).await;
    come(&receiver, &["1"]).await;
    stage
        .health(|health| matches!(health, Health::Impaired(why) if why.contains("jetstream")))
        .await;
    stage.tell(&odown("2")).await;
    come(&receiver, &["2"]).await;
    assert_eq!(receiver.ids(), ["1", "2"]);
    stage.end().await;
}

#[tokio::test]
async fn a_route_decides_which_events_of_which_groups_a_sink_gets() {
    let receiver = Receiver::start(&[]).await;
    let mut stage = Stage::set(|config| {
        to(&receiver)(config);
        route(
            config,
            "[[route]]\nsinks = [\"webhook\"]\nevents = [\"+switch-*\", \"+odown\"]\n\
             groups = [\"prod-*\"]\n",
        );
    })
    .await;
    stage.tell(&of("test-1", "1")).await;
    let sdown = Event { name: EventName::Sdown, ..of("prod-1", "2") };
    stage.tell(&sdown).await;
    stage.tell(&of("prod-1", "3")).await;
    assert_eq!(come(&receiver, &["3"]).await, ["3"]);
    stage.health(|health| *health == Health::Well).await;
    stage.end().await;
}

#[tokio::test]
async fn what_happens_in_a_quiet_time_waits_also_over_a_restart() {
    let receiver = Receiver::start(&[]).await;
    let mut stage = Stage::set(|config| {
        to(&receiver)(config);
        // All day, every day.
        route(config, "[[route]]\ngroups = [\"test-*\"]\nquiet = [\"00:00-00:00\"]\n[[route]]\n");
    })
    .await;
    for (group, id) in [("test-1", "1"), ("test-1", "2"), ("prod-1", "3")] {
        stage.tell(&of(group, id)).await;
    }
    assert_eq!(come(&receiver, &["3"]).await, ["3"]);
    stage.health(|health| *health == Health::Well).await;
    stage.stop("n1").await;
    stage.set_anew(|config| route(config, "[[route]]\n"));
    stage.start("n2").await;
    let ids = come(&receiver, &["1", "2"]).await;
    assert_eq!(once(&ids), ["3", "1", "2"], "{ids:?}");
    stage.end().await;
}

#[tokio::test]
async fn a_receiver_can_check_the_signature_with_each_of_two_secrets() {
    let keys = [[7_u8; 32], [8; 32]];
    let secrets = keys.map(|key| Secret::new(format!("whsec_{}", STANDARD.encode(key))));
    let receiver = Receiver::start(&[]).await;
    let webhook = Webhook::new(receiver.url.parse().unwrap(), None, Duration::from_secs(5));
    let webhook = webhook.unwrap().signed(&secrets).unwrap();
    assert_eq!(webhook.deliver(&[odown("v1-42")]).await, Outcome::Delivered);
    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert_eq!(request.header("webhook-id"), Some("v1-42"));
    let time = request.header("webhook-timestamp").unwrap();
    assert!(time.parse::<u64>().unwrap() > 1_700_000_000, "{time}");
    let signed = format!("v1-42.{time}.{}", request.body);
    let signatures: Vec<_> =
        request.header("webhook-signature").unwrap().split(' ').map(String::from).collect();
    for (key, signature) in keys.iter().zip(&signatures) {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key).unwrap();
        mac.update(signed.as_bytes());
        let wanted = STANDARD.decode(signature.strip_prefix("v1,").unwrap()).unwrap();
        mac.verify_slice(&wanted).expect("the signature fits the body");
    }
    assert_eq!(signatures.len(), 2);
}
