//! From the commit of a new master to each subscriber.

use super::side::Side;
use anyhow::{Context as _, Result, ensure};
use serde::Serialize;
use std::time::Instant;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use vedette_harness::{LIMIT, now, signed_ms};

/// When subscribers heard of the new master, ms. Absent is what nobody can see of Sentinel: when it
/// was committed.
#[derive(Debug, Serialize)]
pub struct Heard {
    /// From the commit on the bus to the first of them.
    pub first_ms: Option<f64>,
    /// To half of them.
    pub half_ms: Option<f64>,
    /// To the last.
    pub last_ms: Option<f64>,
    /// From the first to the last.
    pub spread_ms: f64,
}

/// Changes the master, and waits until each of them has heard of it.
///
/// # Errors
/// If it is not changed, or one of them does not hear of it.
pub async fn heard(subscribers: Vec<TcpStream>, side: &Side) -> Result<Heard> {
    let mut tasks: JoinSet<_> = subscribers.into_iter().map(hears).collect();
    let mark = side.mark();
    side.change().await?;
    let mut heard = Vec::with_capacity(tasks.len());
    let limit = "not every subscriber has heard of the new master";
    while let Some(at) = tokio::time::timeout(LIMIT, tasks.join_next()).await.context(limit)? {
        heard.push(at??);
    }
    heard.sort_unstable();
    of(&heard, side.committed(mark).await?).context("nobody has subscribed")
}

/// When this one heard.
async fn hears(mut stream: TcpStream) -> Result<Instant> {
    let mut said = vec![0; 512];
    let count = stream.read(&mut said).await?;
    let at = now();
    let text = String::from_utf8_lossy(&said[..count]);
    ensure!(text.starts_with("*3\r\n$7\r\nmessage\r\n$14\r\n+switch-master\r\n"), "{text:?}");
    Ok(at)
}

fn of(heard: &[Instant], committed: Option<Instant>) -> Option<Heard> {
    let (first, last) = (*heard.first()?, *heard.last()?);
    let since = |at| committed.map(|committed| signed_ms(at, committed));
    Some(Heard {
        first_ms: since(first),
        half_ms: since(heard[(heard.len() - 1) / 2]),
        last_ms: since(last),
        spread_ms: signed_ms(last, first),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn half_have_heard_when_the_later_half_is_still_to_come() {
        let zero = now();
        let at = |ms| zero + Duration::from_millis(ms);
        let heard = [at(5), at(10), at(100), at(200)];
        let seen = of(&heard, Some(zero)).unwrap();
        let all = (seen.first_ms, seen.half_ms, seen.last_ms, seen.spread_ms);
        assert_eq!(all, (Some(5.0), Some(10.0), Some(200.0), 195.0));
        assert_eq!(of(&heard, None).unwrap().last_ms, None);
        assert!(of(&[], Some(zero)).is_none());
    }
}
