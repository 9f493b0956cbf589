//! Whatever a client sends: no panic, no growth, and every answer is well-formed.
//!
//! The ordinary run is short. For a long one, in seconds:
//! `VEDETTE_FUZZ_SECONDS=600 cargo test --release -p vedette-gateway fuzz -- --nocapture`

use crate::commands::tests::{ENDS, answers};
use crate::commands::{Answers, Next};
use crate::config::ClientsConfig;
use crate::metrics::Left;
use crate::reply::{Proto, Reply};
use crate::request;
use crate::session::Told;
use crate::users::{Rights, UserConfig};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::sync::Arc;
use std::time::Duration;
use vedette_model::Secret;
use vedette_runtime::Clock;

/// Bytes of a request in these tests, so that limits are met often.
const REQUEST_LIMIT: usize = 2_048;
/// No answer of this small gateway is longer.
const ANSWER_LIMIT: usize = 262_144;

/// What clients say, and what sounds like it.
const WORDS: [&str; 96] = [
    "PING",
    "QUIT",
    "HELLO",
    "AUTH",
    "CLIENT",
    "COMMAND",
    "ACL",
    "INFO",
    "ROLE",
    "SENTINEL",
    "PUBLISH",
    "SUBSCRIBE",
    "PSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE",
    "SHUTDOWN",
    "MASTERS",
    "MASTER",
    "REPLICAS",
    "SLAVES",
    "SENTINELS",
    "PRIMARIES",
    "PRIMARY",
    "GET-MASTER-ADDR-BY-NAME",
    "GET-PRIMARY-ADDR-BY-NAME",
    "IS-MASTER-DOWN-BY-ADDR",
    "CKQUORUM",
    "MYID",
    "HELP",
    "FLUSHCONFIG",
    "PENDING-SCRIPTS",
    "INFO-CACHE",
    "CONFIG",
    "DEBUG",
    "SIMULATE-FAILURE",
    "FAILOVER",
    "COORDINATED",
    "RESET",
    "MONITOR",
    "REMOVE",
    "SET",
    "GET",
    "ID",
    "LIST",
    "KILL",
    "INFO",
    "SETNAME",
    "GETNAME",
    "SETINFO",
    "lib-name",
    "lib-ver",
    "REPLY",
    "ON",
    "OFF",
    "TRACKING",
    "NO-EVICT",
    "PAUSE",
    "UNPAUSE",
    "GETREDIR",
    "UNBLOCK",
    "TYPE",
    "normal",
    "pubsub",
    "ADDR",
    "LADDR",
    "USER",
    "SKIPME",
    "yes",
    "no",
    "MAXAGE",
    "WHOAMI",
    "USERS",
    "COUNT",
    "DOCS",
    "default",
    "ops",
    "o",
    "orders",
    "quorum",
    "+switch-master",
    "+sdown",
    "*",
    "[",
    "[^",
    "\\",
    "__sentinel__:hello",
    "everything",
    "sentinel",
    "10.0.0.1",
    "6379",
    "0",
    "1",
    "2",
    "3",
    "-1",
    "9223372036854775808",
];

/// A word, mostly of the list.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let listed = || prop::sample::select(&WORDS[..]);
    prop_oneof![
        20 => listed().prop_map(|word| word.as_bytes().to_vec()),
        4 => listed().prop_map(|word| word.to_lowercase().into_bytes()),
        3 => prop::collection::vec(any::<u8>(), 0..40),
        1 => "[\r\n\t \"'\\\\a-z]{0,20}".prop_map(String::into_bytes),
        1 => (any::<u8>(), 0..3_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

/// A request as it is sent, or something like it.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let words = || prop::collection::vec(word(), 0..8);
    let list = words().prop_map(|words| {
        let mut text = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            text.extend(format!("${}\r\n", word.len()).into_bytes());
            text.extend(word);
            text.extend(b"\r\n");
        }
        text
    });
    let line = words().prop_map(|words| [words.join(&b' '), b"\r\n".to_vec()].concat());
    let whole = prop_oneof![6 => list, 2 => line];
    let broken = (whole, any::<prop::sample::Index>(), any::<u8>(), 0..4_u8);
    prop_oneof![
        1 => prop::collection::vec(any::<u8>(), 0..200),
        1 => "[*$0-9a\r\n-]{0,60}".prop_map(String::into_bytes),
        12 => broken.prop_map(|(mut text, at, byte, how)| {
            if !text.is_empty() {
                let at = at.index(text.len());
                match how {
                    0 => text[at] = byte,
                    1 => text.truncate(at),
                    2 => text.insert(at, byte),
                    _ => {}
                }
            }
            text
        }),
    ]
}

/// A gateway with an admin, with or without a login.
fn gateway(locked: bool) -> Arc<Answers> {
    let mut config = ClientsConfig { max_request_bytes: REQUEST_LIMIT, ..ClientsConfig::default() };
    config.repeat_last_switch = true;
    if locked {
        let password = Some(Secret::new("o".into()));
        let user = UserConfig { password, rights: Rights::Admin, ..UserConfig::default() };
        config.users.insert("ops".into(), user);
    }
    answers(config)
}

/// Whether all of it is replies, one after the other. `HELLO` answers in the protocol it changes to.
fn is_well_formed(text: &[u8], protos: [Proto; 2]) -> bool {
    protos.iter().any(|proto| {
        let mut rest = Bytes::copy_from_slice(text);
        while !rest.is_empty() {
            let decoded = match proto {
                Proto::Two => redis_protocol::resp2::decode::decode_bytes(&rest)
                    .map(|decoded| decoded.map(|(_, length)| length)),
                Proto::Three => redis_protocol::resp3::decode::complete::decode_bytes(&rest)
                    .map(|decoded| decoded.map(|(_, length)| length)),
            };
            match decoded {
                Ok(Some(length)) => rest = rest.slice(length..),
                Ok(None) | Err(_) => return false,
            }
        }
        true
    })
}

/// One client from its first byte to its last.
fn talk(answers: &Answers, pieces: &[Vec<u8>]) -> Result<(), TestCaseError> {
    let mut client = answers.welcome(ENDS);
    let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
    let mut left = None;
    for piece in pieces {
        input.extend_from_slice(piece);
        while left.is_none() {
            let before = client.proto();
            match request::next(&mut input, &answers.limits(&client)) {
                Ok(Some(words)) if words.is_empty() => {}
                Ok(Some(words)) => {
                    left = match answers.run(&mut client, &words, &mut output) {
                        // What it waits for is the office's to answer.
                        Next::Go | Next::Wait(_) => None,
                        Next::Leave(why) => Some(why),
                    };
                    let protos = [before, client.proto()];
                    let shown = String::from_utf8_lossy(&output).into_owned();
                    prop_assert!(is_well_formed(&output, protos), "{words:?}: {shown:?}");
                }
                Ok(None) => break,
                Err(error) => {
                    Reply::err(error.to_string()).write(client.proto(), &mut output);
                    let shown = String::from_utf8_lossy(&output).into_owned();
                    prop_assert!(is_well_formed(&output, [before; 2]), "{shown:?}");
                    left = Some(Left::Malformed);
                }
            }
            prop_assert!(output.len() <= ANSWER_LIMIT, "{} bytes for one answer", output.len());
            output.clear();
        }
        if left.is_some() {
            break;
        }
        prop_assert!(input.len() <= 65_536, "{} bytes wait", input.len());
        client.hear(&Told::new("+sdown".into(), "master orders 10.0.0.1 6379".into()), &mut output);
        prop_assert!(is_well_formed(&output, [client.proto(); 2]));
        output.clear();
    }
    answers.farewell(&client);
    prop_assert_eq!(answers.present(true).clients, 0);
    Ok(())
}

#[test]
fn whatever_comes_it_neither_panics_nor_grows_and_answers_are_well_formed() {
    let seconds = std::env::var("VEDETTE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(0));
    let config = Config { cases: 512, failure_persistence: None, ..Config::default() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let _inside = runtime.as_ref().expect("a runtime for the clock").enter();
    let clock = Clock::start();
    let (since, mut rounds) = (clock.now(), 0_u64);
    loop {
        let gateways = [gateway(false), gateway(true)];
        let conversation = (any::<bool>(), prop::collection::vec(sent(), 0..24));
        TestRunner::new(config.clone())
            .run(&conversation, |(locked, pieces)| talk(&gateways[usize::from(locked)], &pieces))
            .expect("nothing a client sends does harm");
        rounds += 1;
        if clock.now().since(since) >= time {
            break;
        }
    }
    println!("{} conversations", rounds * 512);
}
