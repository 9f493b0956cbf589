//! Webhooks against a small HTTP server.

use crate::support::{Answer, Receiver, event};
use std::time::Duration;
use vedette_model::{Event, EventName, Secret};
use vedette_notifier::webhook::Webhook;
use vedette_protocol::notice::Outcome;

fn webhook(url: &str, limit_ms: u64) -> Webhook {
    let token = Some(Secret::new("s3cret".into()));
    Webhook::new(url.parse().unwrap(), token, Duration::from_millis(limit_ms)).unwrap()
}

fn odown() -> Event {
    event("v1-42", EventName::Odown, "master g 10.0.0.1 6379")
}

async fn outcome(answer: Answer) -> Outcome {
    let receiver = Receiver::start(&[answer]).await;
    let outcome = webhook(&receiver.url, 5_000).deliver(&[odown()]).await;
    assert_eq!(receiver.requests().len(), 1, "one request per try");
    outcome
}

#[tokio::test]
async fn an_event_is_posted_as_its_public_json() {
    let receiver = Receiver::start(&[]).await;
    let event = odown();
    assert_eq!(
        webhook(&receiver.url, 5_000).deliver(std::slice::from_ref(&event)).await,
        Outcome::Delivered
    );
    let [request] = &receiver.requests()[..] else { panic!("one request") };
    assert_eq!(request.head[0], "POST /hook HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/json"));
    assert_eq!(request.header("vedette-event-id"), Some("v1-42"));
    assert_eq!(request.header("vedette-event"), Some("+odown"));
    assert_eq!(request.header("authorization"), Some("Bearer s3cret"));
    assert_eq!(serde_json::from_str::<Event>(&request.body).unwrap(), event);
}

#[tokio::test]
async fn what_may_pass_is_tried_again() {
    for status in ["500 Oops", "503 Busy", "429 Slow Down", "408 Too Slow"] {
        let outcome = outcome(Answer::Status(status)).await;
        assert!(
            matches!(&outcome, Outcome::Retry(why)
                if why.contains(&status[..3]) && why.ends_with("words")),
            "{status}: {outcome:?}"
        );
    }
    let outcome = outcome(Answer::HangUp).await;
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_will_not_pass_is_refused() {
    for status in ["400 Bad", "401 Who", "404 Where", "302 There", "307 There"] {
        let outcome = outcome(Answer::Status(status)).await;
        assert!(
            matches!(&outcome, Outcome::Refused(why) if why.contains(&status[..3])),
            "{status}: {outcome:?}"
        );
    }
}

#[tokio::test]
async fn silence_ends_at_the_limit() {
    let receiver = Receiver::start(&[Answer::Silence]).await;
    let outcome = webhook(&receiver.url, 100).deliver(&[odown()]).await;
    assert!(
        matches!(&outcome, Outcome::Retry(why) if why.contains("within 100 ms")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_again_and_its_path_is_not_told() {
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let url = format!("http://{address}/path-with-a-key");
    let outcome = webhook(&url, 5_000).deliver(&[odown()]).await;
    let Outcome::Retry(why) = outcome else { panic!("{outcome:?}") };
    assert!(why.contains(&address.to_string()) && why.contains("refused"), "{why}");
    assert!(!why.contains("path-with-a-key"), "{why}");
}

#[tokio::test]
async fn an_id_that_no_header_may_hold_is_refused() {
    let receiver = Receiver::start(&[]).await;
    let event = Event { id: "two\r\nlines".into(), ..odown() };
    let outcome = webhook(&receiver.url, 5_000).deliver(std::slice::from_ref(&event)).await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome:?}");
    assert!(receiver.requests().is_empty());
}

#[tokio::test]
async fn a_webhook_over_tls_is_made_and_finds_no_tls_at_a_plain_receiver() {
    let receiver = Receiver::start(&[]).await;
    let url = receiver.url.replace("http://", "https://");
    let outcome = webhook(&url, 5_000).deliver(&[odown()]).await;
    assert!(matches!(outcome, Outcome::Retry(_)), "{outcome:?}");
    assert!(receiver.requests().is_empty());
}
