//! Slack, `PagerDuty`, Alertmanager, e-mail and `CloudEvents`, against receivers that take what the
//! real ones take.

use crate::stage::Stage;
use crate::support::{Answer, Receiver, event};
use serde_json::Value;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use vedette_harness::{LIMIT, within};
use vedette_model::{Event, EventName, Secret};
use vedette_notifier::Config;
use vedette_notifier::config::EmailConfig;
use vedette_notifier::email::Email;
use vedette_protocol::notice::Outcome;

fn odown(id: &str) -> Event {
    event(id, EventName::Odown, "master g 10.0.0.1 6379")
}

fn switch(id: &str) -> Event {
    event(id, EventName::SwitchMaster, "g 10.0.0.1 6379 10.0.0.2 6379")
}

/// Tells these events through the whole service; the bodies that came.
async fn bodies(
    receiver: &Receiver,
    events: &[Event],
    count: usize,
    configure: impl FnOnce(&mut Config),
) -> Vec<Value> {
    let stage = Stage::set(configure).await;
    // At once, so that what is gathered is said within its time.
    for event in events {
        stage.bus.publish(&event.clone().into()).await;
    }
    let all = async || (receiver.requests().len() >= count).then_some(());
    within(LIMIT, "all have come", all).await.unwrap();
    stage.end().await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), count, "{requests:?}");
    requests.iter().map(|request| serde_json::from_str(&request.body).unwrap()).collect()
}

#[tokio::test]
async fn slack_gets_a_text_in_which_nothing_is_taken_for_its_own_marks() {
    let receiver = Receiver::start(&[Answer::Status("500 Oops")]).await;
    let url = Secret::new(receiver.url.clone());
    let told = Event { cause: "a < b & c".into(), ..odown("1") };
    let bodies = bodies(&receiver, &[told], 2, |config| {
        config.sink.slack.secret_url = Some(url);
    })
    .await;
    assert_eq!(bodies[0], bodies[1], "tried again after a failure");
    let text = bodies[0]["text"].as_str().unwrap();
    assert!(text.starts_with("*g: +odown*\ng: +odown master g 10.0.0.1 6379"), "{text}");
    assert!(text.contains("a &lt; b &amp; c"), "{text}");
}

#[tokio::test]
async fn pagerduty_is_told_of_a_problem_and_of_its_end_by_one_key_and_of_nothing_else() {
    let receiver = Receiver::start(&[]).await;
    let url = receiver.url.clone();
    let other = event("2", EventName::Slave, "slave 10.0.0.2:6379 10.0.0.2 6379 @ g 10.0.0.1 6379");
    let events = [odown("1"), other, switch("3")];
    let bodies = bodies(&receiver, &events, 2, |config| {
        config.sink.pagerduty.routing_key = Some(Secret::new("R0UT1NG".into()));
        config.sink.pagerduty.url = url;
    })
    .await;
    let [trigger, resolve] = &bodies[..] else { panic!("two") };
    assert_eq!(trigger["event_action"], "trigger");
    assert_eq!(resolve["event_action"], "resolve");
    assert_eq!(trigger["dedup_key"], resolve["dedup_key"]);
    for body in &bodies {
        assert_eq!(body["routing_key"], "R0UT1NG");
    }
    let payload = &trigger["payload"];
    assert_eq!(payload["severity"], "critical");
    assert_eq!(payload["custom_details"]["id"], "1");
    assert!(payload["summary"].as_str().unwrap().contains("g: +odown"), "{payload}");
    assert!(payload["source"].is_string(), "required by the API");
}

#[tokio::test]
async fn alertmanager_gets_labels_that_are_the_same_at_beginning_and_end() {
    let receiver = Receiver::start(&[]).await;
    let base = receiver.url.trim_end_matches("/hook").to_string();
    let bodies = bodies(&receiver, &[odown("1"), switch("2")], 2, |config| {
        config.sink.alertmanager.urls = vec![base];
    })
    .await;
    assert!(receiver.requests()[0].head[0].starts_with("POST /api/v2/alerts "));
    let (begins, ends) = (&bodies[0][0], &bodies[1][0]);
    assert_eq!(begins["labels"], ends["labels"]);
    assert_eq!(begins["labels"]["problem"], "master-down");
    assert!(begins["startsAt"].is_string() && ends["startsAt"].is_null());
    assert!(ends["endsAt"].as_str() < begins["endsAt"].as_str(), "{begins} {ends}");
}

#[tokio::test]
async fn a_mass_failure_is_one_message() {
    let receiver = Receiver::start(&[]).await;
    let url = receiver.url.clone();
    let of = |n: usize| {
        let group = vedette_model::GroupName::parse(&format!("g{n}")).unwrap();
        Event { group, ..odown(&n.to_string()) }
    };
    let events: Vec<Event> = (0..30).map(of).collect();
    let bodies = bodies(&receiver, &events, 1, |config| {
        config.sink.webhook.urls = vec![url];
        config.route =
            vec![vedette_notifier::config::RouteConfig { gather_ms: 10_000, ..Default::default() }];
    })
    .await;
    let told = bodies[0]["events"].as_array().unwrap();
    let ids: Vec<_> = told.iter().map(|event| event["id"].as_str().unwrap().to_string()).collect();
    assert_eq!(ids, (0..30).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn cloudevents_come_on_the_subject_and_hold_the_event() {
    let stage = Stage::set(|config| config.sink.cloudevents.subject = Some("ops.redis".into()));
    let stage = stage.await;
    let client = stage.bus.client().clone();
    let mut heard = client.subscribe("ops.redis").await.unwrap();
    client.flush().await.unwrap();
    stage.tell(&odown("1")).await;
    let next = futures::StreamExt::next(&mut heard);
    let message = tokio::time::timeout(LIMIT, next).await.unwrap().unwrap();
    let headers = message.headers.unwrap();
    assert_eq!(headers.get("content-type").unwrap().as_str(), "application/cloudevents+json");
    let body: Value = serde_json::from_slice(&message.payload).unwrap();
    for (key, value) in [("specversion", "1.0"), ("id", "1"), ("subject", "g")] {
        assert_eq!(body[key], value, "{body}");
    }
    assert_eq!(body["type"], "vedette.event.+odown");
    assert_eq!(body["data"]["payload"], "master g 10.0.0.1 6379");
    stage.end().await;
}

/// A mail server for one session: what it was sent, and an answer to the mail itself.
async fn mail_server(answer: &'static str) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (tell, mails) = mpsc::channel(4);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (from, mut to) = stream.into_split();
            let mut lines = BufReader::new(from).lines();
            to.write_all(b"220 here\r\n").await.unwrap();
            let mut mail: Option<String> = None;
            while let Ok(Some(line)) = lines.next_line().await {
                let reply = match &mut mail {
                    Some(text) if line == "." => {
                        tell.send(std::mem::take(text)).await.unwrap();
                        mail = None;
                        answer
                    }
                    Some(text) => {
                        text.push_str(&line);
                        text.push('\n');
                        continue;
                    }
                    None if line == "DATA" => {
                        mail = Some(String::new());
                        "354 go on"
                    }
                    None if line.starts_with("QUIT") => "221 bye",
                    None => "250 fine",
                };
                to.write_all(format!("{reply}\r\n").as_bytes()).await.unwrap();
            }
        }
    });
    (url, mails)
}

fn mail_config(server: String) -> EmailConfig {
    EmailConfig {
        server: Some(server),
        from: "Vedette <vedette@example.com>".into(),
        to: vec!["ops@example.com".into(), "Night <night@example.com>".into()],
        ..EmailConfig::default()
    }
}

#[tokio::test]
async fn a_mail_reaches_the_server_with_an_id_that_is_the_same_in_each_try() {
    let (server, mut mails) = mail_server("250 taken").await;
    let stage = Stage::set(|config| config.sink.email = mail_config(server)).await;
    stage.tell(&odown("v1:a:1")).await;
    let mail = tokio::time::timeout(LIMIT, mails.recv()).await.unwrap().unwrap();
    for part in [
        "Message-ID: <v1.a.1@vedette>",
        "Subject: [vedette] g: +odown",
        "ops@example.com",
        "night@example.com",
        "event ids: v1:a:1",
    ] {
        assert!(mail.contains(part), "{part}: {mail}");
    }
    stage.end().await;
}

#[tokio::test]
async fn a_mail_that_is_refused_for_ever_is_given_up_and_one_that_is_not_is_tried_again() {
    let (server, _mails) = mail_server("554 never").await;
    let outcome = Email::new(&mail_config(server)).unwrap().deliver(&[odown("1")]).await;
    assert!(matches!(&outcome, Outcome::Refused(why) if why.contains("554")), "{outcome:?}");
    let (server, _mails) = mail_server("451 later").await;
    let outcome = Email::new(&mail_config(server)).unwrap().deliver(&[odown("1")]).await;
    assert!(matches!(&outcome, Outcome::Retry(_)), "{outcome:?}");
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("smtp://{}", gone.local_addr().unwrap());
    drop(gone);
    let config = EmailConfig { limit_ms: 5_000, ..mail_config(server) };
    let sent = Email::new(&config).unwrap();
    let sent =
        tokio::time::timeout(Duration::from_secs(20), async { sent.deliver(&[odown("1")]).await });
    assert!(matches!(sent.await.unwrap(), Outcome::Retry(_)));
}
